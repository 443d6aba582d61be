"""The fold: quiet streams raise nothing, a fault raises one alert that says what, when and why; a replay the same."""

import numpy as np
import pytest
from msgspec.structs import replace

from schemas.drift import DriftCause, DriftPhase, DriftSeverity, SegmentSummary
from stream_app.drift.foreign import ForeignSummaryError
from stream_app.drift.monitor import severity
from stream_app.drift.standardise import DEAD_LETTERS
from tests.unit.stream_app.drift.streams import (
    MANIFEST,
    OTHER_SHA,
    SHA,
    aggregator,
    column,
    confirmed,
    doubled,
    event_time,
    fold,
    manifest,
    stream,
    stuck,
    summaries,
    world,
)

pytestmark = pytest.mark.slow

BEFORE, AFTER = 8192, 8192


def nothing(rows: np.ndarray) -> None:
    pass


def missing(rows: np.ndarray) -> None:
    for signal in ("input:average", "residual:average"):
        rows[:, column(signal)] = np.nan


def unrelated(rows: np.ndarray) -> None:
    rows[:, column("residual:average")] *= 3


def grown(rows: np.ndarray) -> None:
    for name in ("amount", "count", "average"):
        rows[:, column(f"input:{name}")] += 0.5


@pytest.mark.parametrize("seed", range(3))
def test_nights_are_no_drift(seed):
    assert fold(list(summaries(world(100_000, seed + 10)))) == []


def test_a_shift_below_the_smallest_that_matters_is_no_alert():
    log = stream(BEFORE, AFTER, grown)
    assert confirmed(log)
    assert fold(log, aggregator(drift_effect_sd=2.0)) == []


def test_a_doubled_amount_is_one_alert_that_names_it():
    (alert,) = confirmed(stream(BEFORE, AFTER, doubled))
    assert {"input:amount", "residual:amount"} <= {s.signal for s in alert.signals}
    assert {s.signal for s in alert.signals if s.signal.startswith("input:")} == {"input:amount"}
    assert alert.cause.startswith("Broken, or in another unit: amount")
    assert not alert.retraining_helps
    shift = next(s for s in alert.signals if s.signal == "input:amount" and s.detector == "mean")
    assert shift.shift == pytest.approx(2 / 2**0.5, abs=0.25)  # from 0 to 2, in deviations of sqrt 2, clipped at 4
    assert shift.current - shift.reference == pytest.approx(2, abs=0.2)
    assert shift.psi > 0.25


def test_an_alert_says_since_when_by_time_and_by_offset():
    (alert,) = confirmed(stream(BEFORE, AFTER, doubled))
    assert alert.since == event_time(BEFORE)
    assert alert.since_offsets == {"0": BEFORE // 2, "1": BEFORE // 2}
    assert alert.events_observed - BEFORE <= 2304


def test_an_incident_is_raised_at_once_confirmed_when_its_cause_is_clear_and_over_in_the_end():
    rows = world(40_000)
    doubled(rows[16_384:24_576])
    raised, sure, over = fold(list(summaries(rows)))
    assert (raised.phase, sure.phase, over.phase) == tuple(DriftPhase)
    assert raised.alert_id == sure.alert_id == over.alert_id
    assert raised.events_observed - 16_384 <= 128
    assert 24_576 + 1024 <= over.events_observed <= 24_576 + 3072
    assert over.cause == sure.cause


@pytest.mark.parametrize("lost", [2, 50])
def test_a_share_that_is_missing_is_one_incident_for_as_long_as_it_is(lost):
    rows = world(60_000)
    for signal in ("input:average", "residual:average"):
        rows[16_384:49_152:lost, column(signal)] = np.nan
    said = fold(list(summaries(rows)))
    assert [alert.phase for alert in said] == list(DriftPhase)
    assert 49_152 + 1024 <= said[-1].events_observed <= 49_152 + 3072


@pytest.mark.parametrize(
    ("fault", "cause", "retraining"),
    [
        (stuck, "Broken, or in another unit: count", False),
        (missing, "average no longer arrives", False),
        (unrelated, "A relation between fields is broken: the model cannot reconstruct average", False),
        (grown, "The population has changed: ", True),
    ],
)
def test_the_signals_that_fire_together_name_the_cause(fault, cause, retraining):
    (alert,) = confirmed(stream(BEFORE, AFTER, fault))
    assert alert.cause.startswith(cause)
    assert alert.retraining_helps is retraining


def test_an_input_that_was_constant_in_training_is_named_as_that_and_no_attack():
    knows_nothing = replace(MANIFEST, constant=["amount"])
    (alert,) = confirmed(stream(BEFORE, AFTER, doubled), aggregator(**{SHA: knows_nothing}))
    assert alert.cause.startswith("amount had one value in all of the training, and has others now")
    assert (alert.cause_kind, alert.retraining_helps) == (DriftCause.FIELD_BROKEN, True)


def test_an_attack_that_is_over_before_its_incident_is_confirmed_is_named_by_what_it_was():
    rows = world(BEFORE + AFTER)
    few = rows[BEFORE : BEFORE + 1024 : 20]
    few[:, column("input:amount")] += 12
    few[:, column("residual:amount")] -= 12
    (alert,) = confirmed(list(summaries(rows)))
    assert alert.cause_kind is DriftCause.ATTACK
    assert alert.cause.startswith("An attack is likely: a few events have extreme values of amount")
    assert abs((alert.since - event_time(BEFORE)).total_seconds()) <= 20 * 128


def test_a_few_far_values_that_move_no_mean_are_an_attack():
    rows = world(BEFORE + AFTER)
    rows[BEFORE : BEFORE + 1024 : 64, column("input:amount")] = 8.0  # one in a block; the 99.9 % quantile is at 7.2
    raised, *_ = fold(list(summaries(rows)))
    assert [(s.signal, s.detector) for s in raised.signals] == [("input:amount", "tail")]
    assert raised.cause_kind is DriftCause.ATTACK
    assert raised.events_observed - BEFORE <= 1024


def test_a_broken_relation_is_no_attack_because_a_few_values_are_far_out():
    rows = world(BEFORE + AFTER)
    unrelated(rows[BEFORE:])
    rows[BEFORE::200, column("input:average")] = 8.0  # five times the usual share beyond the 99.9 % quantile
    (alert,) = confirmed(list(summaries(rows)))
    assert alert.cause_kind is DriftCause.RELATION_BROKEN


def test_a_rise_of_refused_records_is_named():
    log = list(summaries(world(BEFORE + AFTER)))
    changed = [
        s
        if i < len(log) * 2 // 3
        else type(s)(**{f: getattr(s, f) for f in s.__struct_fields__} | {"dead_lettered": 64})
        for i, s in enumerate(log)
    ]
    (alert,) = confirmed(changed)
    assert [s.signal for s in alert.signals] == [DEAD_LETTERS]
    assert alert.cause.startswith("Records are refused more often")


@pytest.mark.parametrize(
    ("rate", "expected"),
    [
        (0.01, DriftSeverity.INFO),
        (0.02, DriftSeverity.WARNING),
        (0.05, DriftSeverity.CRITICAL),
        (0, DriftSeverity.CRITICAL),
    ],
)
def test_severity_is_how_far_the_alert_rate_has_moved(rate, expected):
    (alert,) = confirmed(stream(BEFORE, AFTER, doubled, anomalies_after=rate))
    assert alert.severity is expected
    assert alert.alert_rate_before == pytest.approx(0.01, abs=1e-3)


@pytest.mark.parametrize(
    ("alerts", "events", "expected"),
    [
        (5, 128, DriftSeverity.INFO),
        (10, 384, DriftSeverity.INFO),
        (60, 128, DriftSeverity.CRITICAL),
        (0, 384, DriftSeverity.INFO),
        (0, 3000, DriftSeverity.CRITICAL),
    ],
)
def test_a_few_alerts_among_the_first_transactions_are_no_verdict(alerts, events, expected):
    assert severity(0.01, alerts / events, events) is expected


def test_a_drift_that_comes_back_after_it_was_over_is_a_second_incident():
    rows = world(60_000)
    for begin, end in ((15_000, 25_000), (45_000, 60_000)):
        doubled(rows[begin:end])
    first, second = confirmed(list(summaries(rows)))
    assert first.alert_id != second.alert_id
    assert abs((second.since - event_time(45_000)).total_seconds()) <= 20 * 256


def test_a_second_cause_while_the_first_lasts_is_raised_too():
    rows = world(60_000)
    doubled(rows[10_000:])
    stuck(rows[40_000:])
    first, second = confirmed(list(summaries(rows)))
    assert "amount" in first.cause
    assert {s.signal for s in second.signals} >= {"input:count"}
    assert not any(s.signal in ("input:amount", "residual:amount") for s in second.signals)


def test_the_same_log_raises_the_same_alerts_however_often_it_is_read():
    log = stream(BEFORE, AFTER, stuck)
    assert fold(log) == fold(log)


@pytest.mark.parametrize("stopped_at", [100, 256, 270, 300])
def test_a_replay_from_the_beginning_goes_on_as_if_nothing_had_happened(stopped_at):
    log = stream(BEFORE, AFTER, doubled)
    state = aggregator()
    fold(log[:stopped_at])
    replayed = fold(log[:stopped_at], state)
    assert replayed + fold(log[stopped_at:], state, start=stopped_at) == fold(log)


def test_a_swap_is_no_drift_and_the_new_model_is_watched_from_its_first_block():
    both = {SHA: MANIFEST, OTHER_SHA: manifest("other")}
    log = [*summaries(world(BEFORE)), *summaries(world(AFTER, 2), sha256=OTHER_SHA, start=BEFORE)]
    assert fold(log, aggregator(**both)) == []
    broken = world(AFTER, 3)
    doubled(broken)
    raised, _ = fold(
        [*summaries(world(BEFORE)), *summaries(broken, sha256=OTHER_SHA, start=BEFORE)], aggregator(**both)
    )
    assert (raised.model.name, raised.model.sha256) == ("other", OTHER_SHA)
    assert raised.events_observed <= 128


def test_partitions_that_change_the_model_one_after_the_other_do_not_restart_it():
    log = stream(BEFORE, AFTER, doubled)
    swapped = list(summaries(world(BEFORE), sha256=OTHER_SHA))
    mixed = [*swapped[:-8], *log[:2:2], *swapped[-8:], *log]
    (alert,) = confirmed(mixed, aggregator(**{SHA: MANIFEST, OTHER_SHA: manifest("other")}))
    assert alert.model.sha256 == SHA
    assert alert.events_observed > BEFORE


def test_summaries_of_a_model_that_cannot_be_had_are_passed_over_with_a_line_in_the_log(caplog):
    assert fold(stream(BEFORE, AFTER, doubled), aggregator(**{OTHER_SHA: MANIFEST})) == []
    assert [r.message for r in caplog.records] == [
        f"drift of model {SHA[:12]} is not watched: its manifest cannot be had"
    ]


def test_distances_are_of_the_last_blocks_against_the_reference():
    state = aggregator()
    assert state.distances == {}
    fold(stream(BEFORE, AFTER, doubled), state)
    assert state.distances["input:amount"].psi > 0.25
    assert state.distances["input:average"].psi < 0.05
    assert 0 < state.distances["input:amount"].js < state.distances["input:amount"].kl


def test_a_summary_that_does_not_fit_its_model_is_refused_and_changes_nothing():
    log, state = stream(BEFORE, AFTER, doubled), aggregator()
    foreign = log[0]
    sums = foreign.sums
    assert sums is not None
    refused = [
        replace(foreign, signals=foreign.signals[1:]),
        replace(foreign, sums=replace(sums, mean=[])),
        replace(foreign, sums=replace(sums, histogram=sums.histogram[1:])),
        replace(foreign, sums=replace(sums, missing=[foreign.scored + 1] * len(sums.missing))),
        replace(foreign, by_segment={"x": SegmentSummary(foreign.scored + 1, 0, sums)}),
    ]
    alerts = []
    for offset, summary in enumerate(log):
        for wrong in refused:
            with pytest.raises(ForeignSummaryError):
                state.update(wrong, offset)
        alerts += state.update(summary, offset)
    assert alerts == fold(log)
