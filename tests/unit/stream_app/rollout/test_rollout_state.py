"""Any log of commands has one meaning, whoever reads it, from whenever, however often a record is repeated."""

import tracemalloc
from datetime import UTC, datetime, timedelta

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.rollout import Abort, Activate, Command, Rollback, Stage, StagePurpose
from schemas.scoring import ModelRef
from stream_app.rollout.state import Rollout
from stream_app.rollout.swap_log import Entry, decode, encode
from stream_app.testing.memory_cluster import MemoryMessage
from tests.unit.stream_app.rollout.swap_log import fold

START = datetime(2026, 1, 1, tzinfo=UTC)


def model(version: str) -> ModelRef:
    return ModelRef("card-fraud", version, version.rjust(64, "0"))


def stage(
    version: str,
    command_id: str | None = None,
    expires_at: datetime | None = None,
    role: StagePurpose = StagePurpose.SERVE,
) -> Stage:
    return Stage(
        command_id=command_id or f"stage-{version}",
        issuer="ann",
        issued_at=START,
        expires_at=expires_at,
        uri=f"/models/{version}.pt",
        model=model(version),
        role=role,
    )


def activate(stage_id: str, command_id: str | None = None) -> Activate:
    return Activate(
        command_id=command_id or f"activate-{stage_id}", issuer="controller@w1", issued_at=START, stage_id=stage_id
    )


def abort(stage_id: str) -> Abort:
    return Abort(command_id=f"abort-{stage_id}", issuer="controller@w1", issued_at=START, stage_id=stage_id)


def rollback(command_id: str = "back", expires_at: datetime | None = None, to: str = "") -> Rollback:
    sha256 = model(to).sha256 if to else None
    return Rollback(command_id=command_id, issuer="ann", issued_at=START, expires_at=expires_at, to=sha256)


def log(*commands: Command | bytes | None, at: datetime = START) -> list[Entry]:
    values = [c if isinstance(c, bytes) or c is None else encode(c) for c in commands]
    return fold(MemoryMessage(value, place, at) for place, value in enumerate(values))


def versions(state: Rollout) -> tuple[str | None, str | None, str | None]:
    """Serving, previous, pending."""
    pending = state.pending.release if state.pending else None
    return tuple(r.model.version if r else None for r in (state.serving, state.previous, pending))


def deployed(*names: str) -> list[Command]:
    return [command for name in names for command in (stage(name), activate(f"stage-{name}"))]


def test_a_stage_waits_until_its_activation() -> None:
    assert versions(log(stage("1"))[-1].after) == (None, None, "1")
    assert versions(log(*deployed("1"))[-1].after) == ("1", None, None)


def test_an_activation_makes_what_served_the_previous_model() -> None:
    assert versions(log(*deployed("1", "2"))[-1].after) == ("2", "1", None)


def test_a_newer_stage_replaces_a_pending_one_whose_activation_then_changes_nothing() -> None:
    entries = log(stage("1"), stage("2"), activate("stage-1"))
    assert versions(entries[-1].after) == (None, None, "2")
    assert entries[-1].refused == "stage stage-1 is not pending"


def test_an_abort_drops_its_own_stage_only() -> None:
    assert versions(log(stage("1"), abort("stage-1"))[-1].after) == (None, None, None)
    assert versions(log(stage("1"), abort("another"))[-1].after) == (None, None, "1")


def test_a_long_history_shares_what_its_states_have_in_common() -> None:
    """Each had a copy of all ids once: a worker grew by a tenth over a thousand swaps, and ever faster."""
    records = [
        MemoryMessage(encode(command), place, START) for place, command in enumerate(deployed(*map(str, range(1500))))
    ]
    tracemalloc.start()
    entries = fold(records)
    taken, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert versions(entries[-1].after) == ("1499", "1498", None)
    assert taken < 10_000_000  # it is 3 MB; with copies 217 MB


def test_a_rollback_swaps_and_a_second_one_does_not_put_the_bad_model_back() -> None:
    first = log(*deployed("1", "2"), rollback("back"))[-1].after
    second = log(*deployed("1", "2"), rollback("back"), rollback("again"))[-1]
    assert (versions(first), first.command_id, first.before) == (("1", "2", None), "back", None)
    assert (versions(second.after), second.refused) == (("1", "2", None), "there is no model left to go back to")


def test_a_second_rollback_has_the_model_before_for_its_aim_and_naming_the_bad_one_puts_it_back() -> None:
    bad = [*deployed("1", "2", "3"), rollback("back")]
    before = log(*bad)[-1].after.before
    assert before is not None
    assert before.model.version == "1"
    assert versions(log(*bad, rollback("named", to="3"))[-1].after) == ("3", "2", None)


def test_a_rollback_that_had_to_be_staged_leaves_no_way_back_to_what_it_left() -> None:
    back = stage("1", "back", role=StagePurpose.ROLLBACK)
    after = log(*deployed("1", "2", "3"), back, activate("back"))[-1].after
    assert (versions(after), after.before, after.probation) == (("1", "3", None), None, None)


def test_what_was_rolled_back_from_is_a_way_back_once_it_was_deployed_again() -> None:
    again = [stage("2", "again"), activate("again")]
    after = log(*deployed("1", "2"), rollback(), *again, *deployed("3"))[-1].after
    assert [release.model.version for release in after.earlier] == ["2", "1"]


def test_a_rollback_drops_a_pending_stage_so_that_nothing_goes_live_behind_it() -> None:
    entries = log(*deployed("1", "2"), stage("3"), rollback(), activate("stage-3"))
    assert versions(entries[-1].after) == ("1", "2", None)


def test_a_rollback_without_a_previous_model_is_ignored_with_the_reason() -> None:
    entries = log(*deployed("1"), rollback())
    assert versions(entries[-1].after) == ("1", None, None)
    assert entries[-1].refused == "there is no model left to go back to"


def test_staging_what_serves_already_is_ignored_so_that_the_way_back_is_not_lost() -> None:
    entries = log(*deployed("1", "2"), stage("2", "again"))
    assert versions(entries[-1].after) == ("2", "1", None)
    assert entries[-1].refused == "card-fraud 2 serves already"


def test_what_serves_is_taken_from_another_place_and_the_way_back_stays() -> None:
    moved = msgspec.structs.replace(stage("2", "again"), uri="/elsewhere/2.pt")
    entries = log(*deployed("1", "2"), moved, activate("again"))
    assert [entry.refused for entry in entries[-2:]] == [None, None]
    state = entries[-1].after
    assert (versions(state), state.serving.uri) == (("2", "1", None), "/elsewhere/2.pt")
    assert (state.before.model.version, state.probation) == ("1", entries[3].after.probation)


def test_expiry_is_judged_by_the_timestamp_of_the_record() -> None:
    limit = START + timedelta(seconds=1)
    on_time = log(stage("1", expires_at=limit), at=limit)
    late = log(stage("1", expires_at=limit), at=limit + timedelta(milliseconds=1))
    assert versions(on_time[-1].after) == (None, None, "1")
    assert versions(late[-1].after) == (None, None, None)
    assert "expired" in (late[-1].refused or "")


def test_an_expired_stage_can_not_be_activated() -> None:
    limit = START + timedelta(seconds=1)
    staged = MemoryMessage(encode(stage("1", expires_at=limit)), 0, START)
    activated = MemoryMessage(encode(activate("stage-1")), 1, limit + timedelta(seconds=1))
    entry = fold([staged, activated])[-1]
    assert versions(entry.after) == (None, None, "1")
    assert "expired" in (entry.refused or "")


@pytest.mark.parametrize(
    "value",
    [
        None,
        b"",
        b"\xff\xfe",
        b"[]",
        b"null",
        b'{"type":"stage"}',
        b'{"type":"explode","command_id":"x"}',
        encode(stage("1")).replace(b"0001", b"000G"),
        b'{"type":"rollback","command_id":"","issuer":"x","issued_at":"2026-01-01T00:00:00Z"}',
        b"[" * 100_000,
        b'{"a":' * 10_000,
        b"x" * 1_000_000,
    ],
)
def test_a_record_that_is_no_command_changes_nothing_and_says_why(value: bytes | None) -> None:
    entries = log(*deployed("1"), value, *deployed("2"))
    assert entries[2].command is None
    assert entries[2].refused
    assert entries[2].after == entries[1].after
    assert versions(entries[-1].after) == ("2", "1", None)


def written(moves: list[tuple[str, str, int, int]]) -> list[MemoryMessage]:
    """A log out of moves: most commands fit, some are late, strange, or about a stage of long ago."""
    records: list[MemoryMessage] = []
    stages = ["nothing"]
    for place, (move, version, back, seconds) in enumerate(moves):
        about = stages[-1 - back % len(stages)]
        expires_at = START + timedelta(seconds=5) if back == 3 else None
        match move:
            case "stage" | "return":
                role = StagePurpose.SERVE if move == "stage" else StagePurpose.ROLLBACK
                command: Command = stage(version, f"id-{place}", expires_at, role)
                stages.append(f"id-{place}")
            case "named":
                command = rollback(f"id-{place}", to=version)
            case "activate":
                command = activate(about)
            case "abort":
                command = abort(about)
            case _:
                command = rollback(f"id-{place}", expires_at)
        value = {"noise": b"noise", "tombstone": None}.get(move, encode(command))
        records.append(MemoryMessage(value, place, START + timedelta(seconds=seconds)))
    return records


MOVES = st.tuples(
    st.sampled_from(
        [
            "stage",
            "stage",
            "activate",
            "activate",
            "activate",
            "abort",
            "rollback",
            "rollback",
            "named",
            "return",
            "noise",
            "tombstone",
        ]
    ),
    st.sampled_from(["1", "2", "3"]),
    st.sampled_from([0, 0, 0, 1, 3]),
    st.integers(0, 9),
)
LOGS = st.lists(MOVES, max_size=30).map(written)
VERSIONS = st.sampled_from(["1", "2", "3"])
IDS = st.sampled_from([f"id-{n}" for n in range(8)])
EXPIRY = st.sampled_from([None, START, START + timedelta(seconds=5)])
COMMANDS = st.one_of(
    st.builds(stage, VERSIONS, IDS, EXPIRY),
    st.builds(activate, IDS, IDS),
    st.builds(abort, IDS),
    st.builds(rollback, IDS, EXPIRY),
)


@given(COMMANDS)
def test_a_command_survives_the_wire(command: Command) -> None:
    assert decode(encode(command)) == command


@given(LOGS, st.data())
def test_a_worker_that_joins_at_any_time_ends_where_all_others_are(
    records: list[MemoryMessage], data: st.DataObject
) -> None:
    joined = data.draw(st.integers(0, len(records)))
    before = fold(records[:joined])
    after = fold(records[joined:], before[-1].after if before else Rollout())
    assert [*before, *after] == fold(records)


@given(LOGS, st.data())
def test_a_repeated_record_changes_nothing(records: list[MemoryMessage], data: st.DataObject) -> None:
    repeated: list[MemoryMessage] = []
    for record in records:
        repeated.append(record)
        again = data.draw(st.lists(st.sampled_from(repeated), max_size=2))
        repeated += [r for r in again if _decodes(r)]
    plain, noisy = fold(records), fold(repeated)
    assert (noisy[-1].after if noisy else Rollout()) == (plain[-1].after if plain else Rollout())


@given(LOGS)
def test_what_is_refused_never_changes_which_models_are_kept(records: list[MemoryMessage]) -> None:
    before = Rollout()
    for entry in fold(records):
        if entry.refused is not None:
            assert (entry.after.kept, entry.after.command_id) == (before.kept, before.command_id)
        before = entry.after


@given(LOGS)
def test_a_rollback_never_returns_to_what_was_rolled_back_from_unless_it_was_deployed_again(
    records: list[MemoryMessage],
) -> None:
    left: set[str] = set()
    before = Rollout()
    for entry in fold(records):
        serving, command = entry.after.serving, entry.command
        if serving is not None and serving != before.serving:
            if isinstance(command, Rollback) and command.to is None:
                assert serving.model.sha256 not in left
            left.discard(serving.model.sha256)  # deployed, or named
            returned = before.pending is not None and before.pending.role is StagePurpose.ROLLBACK
            if before.serving is not None and (isinstance(command, Rollback) or returned):
                left.add(before.serving.model.sha256)
        assert left.isdisjoint(release.model.sha256 for release in entry.after.earlier)
        assert serving not in entry.after.earlier
        before = entry.after


@given(LOGS)
def test_nothing_serves_that_was_not_staged_and_a_way_back_is_never_a_way_to_itself(
    records: list[MemoryMessage],
) -> None:
    entries = fold(records)
    staged = {e.command.model.sha256 for e in entries if isinstance(e.command, Stage) and e.refused is None}
    for entry in entries:
        assert {release.model.sha256 for release in entry.after.kept} <= staged
        if entry.after.previous is not None:
            assert entry.after.serving is not None
            assert entry.after.serving.model != entry.after.previous.model


def _decodes(record: MemoryMessage) -> bool:
    try:
        decode(record.value())
    except ValueError:
        return False
    return True
