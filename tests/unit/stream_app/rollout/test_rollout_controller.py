"""A stage goes live when every live worker has it, and ends with a reason when one cannot."""

import json
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import msgspec
import pytest

from schemas.rollout import Abort, Activate, ModelStatus, Phase, Rollback
from schemas.scoring import ModelRef
from stream_app.rollout.controller import decide
from stream_app.rollout.state import Pending, Release, Rollout
from stream_app.rollout.statuses import Statuses, WorkerState
from stream_app.rollout.swap_log import encode
from stream_app.testing.memory_cluster import MemoryMessage
from tests.unit.stream_app.rollout.swap_log import fold

NOW = datetime(2026, 1, 1, tzinfo=UTC)
RELEASE = Release(ModelRef("tiny", "2", "2" * 64), "/m.pt")
PENDING = Rollout(pending=Pending("s1", RELEASE, NOW + timedelta(hours=1)))
STAGED = WorkerState(0.0, staged="s1")
SILENT = WorkerState(0.0)
BROKEN = WorkerState(0.0, rejected="s1", reason="golden row 0 differs")


def decision(
    workers: dict[str, WorkerState], waited_s: float = 0.0, now: datetime = NOW, rollout: Rollout = PENDING
) -> Activate | Abort | None:
    return decide(rollout, workers, waited_s, 10.0, "controller@w1", now)


def test_all_live_workers_have_it() -> None:
    command = decision({"w1": STAGED, "w2": STAGED})
    assert isinstance(command, Activate)
    assert command.stage_id == "s1"
    assert command.reason == "staged by w1, w2"


def test_one_is_missing_and_there_is_time() -> None:
    assert decision({"w1": STAGED, "w2": SILENT}, waited_s=9.9) is None


def test_one_is_missing_and_time_is_up() -> None:
    command = decision({"w1": STAGED, "w2": SILENT, "w3": WorkerState(0.0, staged="older")}, waited_s=10.1)
    assert isinstance(command, Abort)
    assert command.reason == "no answer within 10 s from w2, w3"


def test_one_has_rejected_it() -> None:
    command = decision({"w1": STAGED, "w2": BROKEN})
    assert isinstance(command, Abort)
    assert command.reason == "w2: golden row 0 differs"


def test_a_stage_waits_for_its_first_worker_until_it_expires() -> None:
    assert decision({}, waited_s=1e6) is None
    assert isinstance(decision({}, now=NOW + timedelta(hours=2)), Abort)


def test_a_rejection_of_an_older_stage_is_no_answer_to_this_one() -> None:
    assert decision({"w1": WorkerState(0.0, rejected="older", reason="x")}) is None


def test_nothing_is_pending() -> None:
    assert decision({"w1": STAGED}, rollout=Rollout()) is None


@pytest.mark.parametrize("abort_first", [True, False])
def test_of_two_controllers_for_a_moment_the_first_in_the_log_decides(abort_first: bool) -> None:
    stage = msgspec.json.encode(
        {"type": "stage", "command_id": "s1", "issuer": "a", "issued_at": NOW, "uri": "/m", "model": RELEASE.model}
    )
    activate, abort = decision({"w1": STAGED}), decision({"w1": BROKEN})
    assert activate is not None
    assert abort is not None
    first, second = (abort, activate) if abort_first else (activate, abort)
    values = [stage, encode(first), encode(second), encode(first), encode(second)]
    entries = fold(MemoryMessage(value, place) for place, value in enumerate(values))
    assert [entry.refused is None for entry in entries] == [True, True, False, False, False]
    assert (entries[-1].after.serving is None) == abort_first
    assert entries[-1].after.pending is None


def test_the_loser_of_two_controllers_cannot_touch_a_later_stage() -> None:
    late = decision({"w1": BROKEN})
    assert late is not None
    again = Rollout(pending=Pending("s2", RELEASE))
    entry = fold([MemoryMessage(encode(late))], again)[0]
    assert entry.after.pending == again.pending


@dataclass
class Clocks:
    """Two clocks that the test turns."""

    now: float = 100.0
    wall: float = 1_772_366_400.0


def says(worker: str, phase: Phase, command_id: str = "", at_s: float = 0.0, reason: str = "") -> MemoryMessage:
    status = ModelStatus(worker=worker, phase=phase, at=NOW, command_id=command_id, reason=reason)
    return MemoryMessage(msgspec.json.encode(status), at=datetime.fromtimestamp(at_s, UTC))


def test_a_worker_lives_as_long_as_it_speaks_whatever_its_clock_says() -> None:
    clocks = Clocks()
    workers = Statuses(lambda: clocks.now, lambda: clocks.wall)
    for record in (says("slow-clock", Phase.HEARTBEAT, at_s=1.0),):
        workers.read(record, caught_up=True)
    assert set(workers.alive(5.0)) == {"slow-clock"}
    clocks.now += 5.1
    assert workers.alive(5.0) == {}


def test_what_was_written_before_we_looked_counts_with_its_age() -> None:
    clocks = Clocks()
    workers = Statuses(lambda: clocks.now, lambda: clocks.wall)
    for record in (
        says("lost", Phase.HEARTBEAT, at_s=clocks.wall - 60),
        says("here", Phase.HEARTBEAT, at_s=clocks.wall - 1),
    ):
        workers.read(record, caught_up=False)
    assert set(workers.alive(5.0)) == {"here"}


def test_a_worker_that_said_goodbye_is_not_waited_for() -> None:
    workers = Statuses(lambda: 1.0, lambda: 1.0)
    for record in (
        says("w1", Phase.HEARTBEAT),
        says("w1", Phase.STOPPED),
    ):
        workers.read(record, caught_up=True)
    assert workers.alive(5.0) == {}


def test_the_last_answer_of_a_worker_counts() -> None:
    workers = Statuses(lambda: 1.0, lambda: 1.0)
    for record in (
        says("w1", Phase.REJECTED, "s1", reason="disk full"),
        MemoryMessage(b"not json"),
        MemoryMessage(json.dumps({"worker": ""}).encode()),
        says("w1", Phase.STAGED, "s1"),
        says("w1", Phase.HEARTBEAT, "activate-s1"),
        says("w1", Phase.APPLIED, "activate-s2"),  # until a heartbeat confirms that it was committed
    ):
        workers.read(record, caught_up=True)
    worker = workers.workers["w1"]
    assert set(workers.workers) == {"w1"}
    assert (worker.staged, worker.rejected, worker.reason, worker.applied) == ("s1", "", "", "activate-s1")
    assert worker.pulse is not None
    assert worker.pulse.command_id == "activate-s1"


def test_a_decision_after_a_rollback_finds_nothing_pending() -> None:
    before = Release(ModelRef("tiny", "1", "1" * 64), "/1")
    rolled_back = fold(
        [MemoryMessage(encode(Rollback(command_id="r", issuer="ann", issued_at=NOW)))],
        Rollout(serving=RELEASE, previous=before, earlier=(before,), pending=PENDING.pending),
    )[0].after
    assert decision({"w1": STAGED}, rollout=rolled_back) is None
