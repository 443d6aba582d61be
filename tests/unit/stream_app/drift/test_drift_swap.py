"""What began with a swap is the model's, and what a model has raised is over once it serves no longer."""

from collections.abc import Callable

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from models.manifest import Manifest
from schemas.drift import DriftAlert, DriftCause, DriftPhase, DriftSummary
from schemas.scoring import ModelRef
from stream_app.drift.aggregator import FORGOTTEN, LEFT_SUMMARIES, Aggregator
from stream_app.drift.host import Replica
from stream_app.drift.published import SERVES_NO_LONGER
from stream_app.drift.swap import AT_THE_SWAP, OF_THE_MODEL_ALONE
from stream_app.rollout.swap_log import Swap
from tests.unit.stream_app.drift.streams import (
    MANIFEST,
    OTHER_SHA,
    SETTINGS,
    SHA,
    START,
    column,
    doubled,
    fold,
    manifest,
    segmented,
    summaries,
    world,
)

QUIET, AFTER = 4096, 8192
GOOD, BAD = ModelRef("small", "1", SHA), ModelRef("other", "1", OTHER_SHA)
BOTH = {SHA: MANIFEST, OTHER_SHA: manifest("other")}
DEPLOYED = Swap(START, "root@host", "better", None, BAD, GOOD, "s2")


def grown(rows: np.ndarray) -> None:
    for name in ("amount", "count", "average"):
        rows[:, column(f"input:{name}")] += 0.5


def strange(rows: np.ndarray) -> None:
    """What a model makes of inputs that are as ever."""
    for signal in ("latent:0", "residual:amount"):
        rows[:, column(signal)] += 1.0


def watching(
    swap: Swap | None = DEPLOYED, models: dict[str, Manifest] = BOTH, lasting: Swap | None = None
) -> Aggregator:
    return Aggregator(SETTINGS, models.get, {SHA: lasting, OTHER_SHA: swap}.get)


def swapped(fault: Callable[[np.ndarray], None], at: int = 0, rows: int = AFTER) -> list[DriftSummary]:
    """A quiet model, then another one whose transactions have a fault from the `at`-th on."""
    broken = world(rows, 3)
    fault(broken[at:])
    return [*summaries(world(QUIET)), *summaries(broken, sha256=OTHER_SHA, start=QUIET)]


@pytest.mark.parametrize("fault", [grown, strange, doubled])
def test_drift_that_begins_with_a_swap_is_the_models_and_not_the_populations(fault):
    raised, confirmed = fold(swapped(fault), watching())
    for alert in (raised, confirmed):
        assert alert.cause.startswith(
            "Began with the swap to other 1 (deployed 2026-01-01 00:00:00 UTC by root@host): the model, not the "
        )
        assert alert.action == "Return to small 1: stream-app rollback"
        assert (alert.cause_kind, alert.retraining_helps) == (DriftCause.SWAP, False)
        assert (alert.swap.at, alert.swap.issuer, alert.swap.before) == (START, "root@host", GOOD)


def test_the_evidence_is_what_moved():
    of_model, _ = fold(swapped(strange), watching())
    assert "Only what it makes of the stream has moved (" in of_model.cause
    of_inputs = fold(swapped(grown), watching())[-1]
    assert of_inputs.cause.endswith("trained on since its first events: amount, average and count.")


@pytest.mark.parametrize(
    ("fault", "at", "kind"),
    [
        (doubled, AT_THE_SWAP - 128, DriftCause.SWAP),
        (doubled, 1024, DriftCause.FIELD_BROKEN),
        (strange, 1024, DriftCause.SWAP),
        (strange, OF_THE_MODEL_ALONE + 1024, DriftCause.RELATION_BROKEN),
    ],
)
def test_what_begins_later_is_not_the_swaps_and_what_only_the_model_shows_may_begin_a_little_later(fault, at, kind):
    assert fold(swapped(fault, at), watching())[-1].cause_kind is kind


@pytest.mark.parametrize("swap", [None, replace(DEPLOYED, left=GOOD), replace(DEPLOYED, before=None)])
def test_an_unknown_swap_a_rollback_and_a_first_model_are_no_cause(swap):
    assert fold(swapped(doubled), watching(swap))[-1].cause_kind is DriftCause.FIELD_BROKEN


def test_a_model_that_the_log_begins_with_has_no_swap_in_sight():
    assert fold(swapped(doubled)[QUIET // 64 :], watching())[-1].cause_kind is DriftCause.FIELD_BROKEN


def test_what_was_away_under_the_model_before_is_not_the_swaps():
    before, after = world(2 * QUIET), world(AFTER, 3)
    doubled(before[QUIET:])
    doubled(after)
    log = [*summaries(before), *summaries(after, sha256=OTHER_SHA, start=2 * QUIET)]
    assert {alert.cause_kind for alert in fold(log, watching())} == {DriftCause.FIELD_BROKEN}


def test_in_a_segment_too():
    country = np.where(np.arange(14 * 4096) % 4 == 0, "AT", "DE")
    watched = segmented(country)
    labels = np.array([f"country={name}" for name in country[:AFTER]])
    rows = world(AFTER, 3)
    there = rows[labels == "country=AT"]
    doubled(there)
    rows[labels == "country=AT"] = there
    quiet = summaries(world(QUIET), segment_of=labels[:QUIET])
    bad = summaries(rows, sha256=OTHER_SHA, start=QUIET, segment_of=labels)
    found = fold([*quiet, *bad], watching(models={SHA: watched, OTHER_SHA: replace(watched, name="other")}))
    assert {alert.segment for alert in found} == {"country=AT"}
    assert all("Began with the swap to other 1" in alert.cause for alert in found)


def rolled_back(partitions: int = 2) -> list[DriftSummary]:
    """A bad model between two stretches of the good one."""
    bad = world(QUIET, 3)
    doubled(bad)
    return [
        *summaries(world(QUIET), partitions),
        *summaries(bad, partitions, sha256=OTHER_SHA, start=QUIET),
        *summaries(world(QUIET, 5), partitions, start=2 * QUIET),
    ]


def test_after_a_rollback_the_other_models_incidents_are_over_and_say_why():
    raised, confirmed, over = fold(rolled_back(), watching())
    assert [a.phase for a in (raised, confirmed, over)] == list(DriftPhase)
    assert {a.alert_id for a in (raised, confirmed, over)} == {raised.alert_id}
    assert (confirmed.over_because, over.over_because) == ("", SERVES_NO_LONGER)
    assert over.cause == confirmed.cause
    assert confirmed.raised_at <= over.raised_at


def test_while_a_partition_is_still_served_by_it_they_go_on():
    log, bad_until = rolled_back(), 2 * QUIET // 64
    alerts = fold(log[: bad_until + 1], watching())  # the first partition has gone back, the second has not
    assert DriftPhase.OVER not in [a.phase for a in alerts]
    assert fold(log[: bad_until + 2], watching())[-1].phase is DriftPhase.OVER


def test_a_partition_without_events_does_not_keep_them_open():
    bad = world(QUIET, 3)
    doubled(bad)
    log = [*summaries(bad, 2), *summaries(world(64 * LEFT_SUMMARIES, 5), 1, sha256=OTHER_SHA, start=QUIET)]
    alerts = fold(log, watching())
    assert [a.phase for a in alerts] == list(DriftPhase)
    assert alerts[-1].over_because == SERVES_NO_LONGER


def taken(replica: Replica, log: list[DriftSummary], start: int) -> list[DriftAlert]:
    return [a for i, summary in enumerate(log, start) for a in replica.take(i, msgspec.json.encode(summary))]


ROLLED_BACK = rolled_back()
UNDISTURBED = fold(ROLLED_BACK, watching())


@settings(max_examples=8)
@given(killed=st.integers(0, len(ROLLED_BACK)), grown_to=st.integers(0, len(ROLLED_BACK)))
def test_an_owner_that_is_killed_anywhere_is_followed_by_the_same_ends(killed, grown_to):
    def owner() -> Replica:
        return Replica(SETTINGS, BOTH.get, swap_to={OTHER_SHA: DEPLOYED}.get)

    published = taken(owner(), ROLLED_BACK[:killed], 0)
    known = {(alert.alert_id, alert.phase) for alert in published}
    heir, until = owner(), max(killed, grown_to)
    published += [a for a in taken(heir, ROLLED_BACK[:until], 0) if (a.alert_id, a.phase) not in known]
    assert published + taken(heir, ROLLED_BACK[until:], until) == UNDISTURBED


def test_what_lasts_on_the_topic_and_nowhere_else_is_over():
    state = watching()
    raised = fold(swapped(doubled), state)
    left = replace(raised[0], alert_id="drift:a:1", model=GOOD)
    forgotten = replace(raised[0], alert_id="drift:b:1")
    ends = state.orphans([*raised, left, forgotten], raised)
    assert [(a.alert_id, a.phase, a.over_because) for a in ends] == [
        ("drift:a:1", DriftPhase.OVER, SERVES_NO_LONGER),
        ("drift:b:1", DriftPhase.OVER, FORGOTTEN),
    ]


def test_nothing_is_over_where_no_summary_is_kept_or_the_reference_cannot_be_had():
    (raised, *_) = fold(swapped(doubled), watching())
    assert watching().orphans([raised], []) == []
    blind = watching(models={SHA: MANIFEST})
    fold(swapped(doubled), blind)
    assert blind.orphans([raised], []) == []
