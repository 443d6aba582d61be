"""Segments: what is still in the whole is found where it is; one change is one incident, whoever finds it first."""

from functools import cache

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.manifest import Manifest
from schemas.drift import DriftAlert, DriftCause, DriftPhase, DriftSummary
from stream_app.drift.cusum import Bound, Cusum
from stream_app.drift.standardise import Observation, Reference
from tests.unit.stream_app.drift.streams import (
    DAY_ROWS,
    MANIFEST,
    OTHER_SHA,
    SHA,
    Fault,
    aggregator,
    column,
    confirmed,
    doubled,
    event_time,
    fold,
    segmented,
    stuck,
    summaries,
    world,
)
from tests.unit.stream_app.drift.test_drift_rebuild import owner, taken

pytestmark = pytest.mark.slow

COUNTRIES, SHARES = ("DE", "FR", "AT", "CH"), (0.70, 0.22, 0.04, 0.04)
LABELS = np.array(["", *(f"country={country}" for country in COUNTRIES)])
BEFORE, AFTER = 4096, 16_384


def countries(rows: int, seed: int) -> np.ndarray:
    return np.random.default_rng([seed, 7]).choice(COUNTRIES, rows, p=SHARES)


BY_COUNTRY = segmented(countries(14 * DAY_ROWS, 0))


def watched(manifest: Manifest = BY_COUNTRY):
    return aggregator(**{SHA: manifest})


def shifted(rows: np.ndarray) -> None:
    """Too little to be seen in the whole where it is in one of twenty."""
    rows[:, column("input:amount")] += 0.6
    rows[:, column("residual:amount")] -= 0.2


@cache
def log(fault: Fault, *where: str, seed: int = 1, partitions: int = 2, sha256: str = SHA) -> list[DriftSummary]:
    """A quiet stream, into parts of which a fault comes; into all of it where none is named. Made once."""
    rows, country = world(BEFORE + AFTER, seed), countries(BEFORE + AFTER, seed)
    hit = np.flatnonzero(np.isin(country, where or COUNTRIES) & (np.arange(len(rows)) >= BEFORE))
    faulty = rows[hit]
    fault(faulty)
    rows[hit] = faulty
    return list(summaries(rows, partitions, sha256, segment_of=labels(country)))


def labels(country: np.ndarray) -> np.ndarray:
    return np.char.add("country=", country.astype(str))


def nothing(rows: np.ndarray) -> None:
    pass


@pytest.mark.parametrize("seed", range(3))
def test_a_quiet_stream_raises_nothing_in_any_segment(seed):
    assert fold(log(nothing, seed=seed + 10), watched()) == []


def test_a_drift_in_one_of_twenty_five_is_found_where_it_is_and_nowhere_without_segments():
    stream = log(shifted, "CH")
    assert fold(stream, aggregator()) == []
    (raised,) = [alert for alert in fold(stream, watched()) if alert.phase is DriftPhase.RAISED]
    assert raised.segment == "country=CH"
    assert raised.cause.startswith("In country=CH (4.")
    assert "Broken, or in another unit: amount" in raised.cause
    assert raised.cause_kind is DriftCause.FIELD_BROKEN
    assert abs((raised.since - event_time(BEFORE)).total_seconds()) <= 20 * 64 / 0.04
    (amount,) = [s for s in raised.signals if (s.signal, s.detector) == ("input:amount", "mean")]
    assert amount.shift == pytest.approx(0.6 / 2**0.5, abs=0.2)
    assert amount.current - amount.reference == pytest.approx(0.6, abs=0.25)


@pytest.mark.parametrize("fault", [doubled, stuck, shifted])
def test_a_drift_everywhere_is_one_incident_of_the_whole(fault):
    alerts = fold(log(fault), watched())
    assert {alert.segment for alert in alerts} == {""}
    assert len({alert.alert_id for alert in alerts}) == 1
    assert [alert.phase for alert in alerts] == [DriftPhase.RAISED, DriftPhase.CONFIRMED]
    (plain,) = confirmed(log(fault), aggregator())
    assert alerts[1].cause == plain.cause


@pytest.mark.parametrize("seed", range(3))
def test_the_same_drift_in_two_segments_at_once_is_one_incident(seed):
    alerts = fold(log(shifted, "AT", "CH", seed=seed), watched())
    assert len({alert.alert_id for alert in alerts}) == 1
    assert alerts[0].segment in {"country=AT", "country=CH"}


@pytest.mark.parametrize("where", ["FR", "CH"])
def test_a_drift_that_the_whole_shows_too_is_one_incident_that_says_where_it_is(where):
    alerts = fold(log(doubled, where), watched())
    assert len({alert.alert_id for alert in alerts}) == 1
    assert {alert.segment for alert in alerts} == {f"country={where}"}
    assert alerts[-1].cause_kind is DriftCause.FIELD_BROKEN


def test_an_incident_that_a_segment_found_first_goes_on_under_its_id_when_it_is_everywhere():
    """Small where most transactions are, large in one segment, which shows it first."""
    rows, country = world(BEFORE + AFTER), countries(BEFORE + AFTER, 1)
    late = np.arange(len(rows)) >= BEFORE
    for name, sign in (("input:amount", 1), ("residual:amount", -1)):
        rows[late, column(name)] += sign * np.where(country[late] == "FR", 2.0, 0.15)
    alerts = fold(list(summaries(rows, segment_of=labels(country))), watched())
    assert len({alert.alert_id for alert in alerts}) == 1
    assert [alert.phase for alert in alerts] == [DriftPhase.RAISED, DriftPhase.CONFIRMED]


def test_another_cause_in_a_segment_while_the_whole_has_an_incident_is_raised():
    rows, country = world(2 * AFTER), countries(2 * AFTER, 1)
    doubled(rows[2 * BEFORE :])
    later = np.flatnonzero((country == "FR") & (np.arange(len(rows)) >= 2 * BEFORE + AFTER))
    faulty = rows[later]
    stuck(faulty)
    rows[later] = faulty
    raised = [a for a in fold(list(summaries(rows, segment_of=labels(country))), watched()) if a.phase == "raised"]
    assert len(raised) == 2
    assert "amount" in raised[0].cause
    assert raised[1].segment == "country=FR"
    assert "count" in raised[1].cause


def test_an_incident_in_a_segment_is_over_when_its_transactions_are_as_before():
    length = 2 * AFTER + BEFORE // 2
    rows, country = world(length), countries(length, 1)
    hit = np.flatnonzero((country == "FR") & (np.arange(len(rows)) >= BEFORE) & (np.arange(len(rows)) < BEFORE + AFTER))
    rows[hit, column("input:amount")] += 0.6
    rows[hit, column("residual:amount")] -= 0.2
    alerts = fold(list(summaries(rows, segment_of=labels(country))), watched())
    assert [alert.phase for alert in alerts] == list(DriftPhase)
    assert len({(alert.alert_id, alert.segment) for alert in alerts}) == 1
    assert alerts[1].cause == alerts[2].cause


def lost_in(country: np.ndarray, where: str, begins: int, ends: int, rows: np.ndarray) -> None:
    """A field that does not arrive from one country."""
    hit = np.flatnonzero((country == where) & (np.arange(len(rows)) >= begins) & (np.arange(len(rows)) < ends))
    rows[np.ix_(hit, [column("input:average"), column("residual:average")])] = np.nan


def test_what_lasts_in_a_segment_is_one_incident_with_and_without_segments():
    length = 5 * AFTER + BEFORE
    rows, country = world(length), countries(length, 1)
    lost_in(country, "CH", BEFORE, BEFORE + 2 * AFTER, rows)
    stream = list(summaries(rows, segment_of=labels(country)))
    of_the_whole = {alert.alert_id for alert in fold(stream, aggregator())}
    alerts = fold(stream, watched())
    assert len(of_the_whole) == 1
    assert len({alert.alert_id for alert in alerts}) == 1
    assert {alert.segment for alert in alerts} == {"country=CH"}
    assert [alert.phase for alert in alerts] == list(DriftPhase)


def test_what_a_whole_has_seen_in_a_segment_is_over_by_the_measure_of_the_segment():
    """Too short for the segment's own detectors, long enough for the whole's."""
    length = 3 * AFTER + BEFORE
    rows, country = world(length), countries(length, 1)
    lost_in(country, "CH", BEFORE, BEFORE + 1600, rows)
    alerts = fold(list(summaries(rows, segment_of=labels(country))), watched())
    assert [alert.phase for alert in alerts] == list(DriftPhase)
    assert {(alert.alert_id, alert.segment) for alert in alerts} == {(alerts[0].alert_id, "country=CH")}


@pytest.mark.parametrize("partitions", [1, 4, 16])
def test_the_alerts_are_the_same_on_any_number_of_partitions(partitions):
    def told(alert: DriftAlert):
        return alert.alert_id, alert.phase, alert.segment, alert.cause, alert.since, alert.events_observed

    expected = [told(alert) for alert in fold(log(shifted, "CH"), watched())]
    assert [told(alert) for alert in fold(log(shifted, "CH", partitions=partitions), watched())] == expected
    assert expected


WHERE = {"everywhere": (), "in one": ("CH",), "in a large one": ("FR",), "in two": ("AT", "CH")}
LENGTH = (BEFORE + AFTER) // 64


@cache
def undisturbed(where: str) -> list[DriftAlert]:
    return fold(log(shifted, *WHERE[where]), watched())


@pytest.mark.parametrize("where", WHERE)
@settings(max_examples=3)
@given(killed=st.integers(0, LENGTH), delivered_from=st.integers(0, LENGTH))
def test_an_aggregator_that_is_killed_anywhere_is_followed_by_the_same_alerts(where, killed, delivered_from):
    stream = log(shifted, *WHERE[where])
    published = taken(owner(BY_COUNTRY), stream[:killed], 0)
    known = {(alert.alert_id, alert.phase) for alert in published}
    heir = owner(BY_COUNTRY)
    published += [a for a in taken(heir, stream[:killed], 0) if (a.alert_id, a.phase) not in known]
    again = min(delivered_from, killed)
    published += taken(heir, stream[again:], again)
    assert published == undisturbed(where)
    assert published


@pytest.mark.parametrize(("rows", "segments"), [(1_000, set()), (100_000, {"country=FR"})])
def test_a_reference_of_few_rows_that_is_off_is_no_drift(rows, segments):
    """By a quarter of a standard deviation, of which a thousand rows leave half in doubt."""
    amount = column("input:amount")
    off = [
        msgspec.structs.replace(
            segment, rows=rows, clipped=[x - 0.25 * (i == amount) for i, x in enumerate(segment.clipped)]
        )
        if segment.value == "FR"
        else segment
        for segment in BY_COUNTRY.segments.watched
    ]
    manifest = msgspec.structs.replace(BY_COUNTRY, segments=msgspec.structs.replace(BY_COUNTRY.segments, watched=off))
    assert {alert.segment for alert in fold(log(nothing), watched(manifest))} == segments


def test_a_model_with_other_segments_is_watched_by_its_own_from_its_first_block():
    channels = np.where(np.arange(14 * DAY_ROWS) % 10 == 0, "web", "shop")
    both = {SHA: BY_COUNTRY, OTHER_SHA: segmented(channels, "channel")}
    rows = world(AFTER, 3)
    channel = np.where(np.arange(AFTER) % 10 == 0, "channel=web", "channel=shop")
    web = rows[channel == "channel=web"]
    shifted(web)
    rows[channel == "channel=web"] = web
    quiet = list(summaries(world(BEFORE), segment_of=labels(countries(BEFORE, 1))))
    swapped = summaries(rows, sha256=OTHER_SHA, start=BEFORE, segment_of=channel)
    raised, *_ = fold([*quiet, *swapped], aggregator(**both))
    assert (raised.segment, raised.model.sha256) == ("channel=web", OTHER_SHA)
    assert fold([*quiet, *summaries(world(AFTER, 3), sha256=OTHER_SHA, segment_of=channel)], aggregator(**both)) == []


def test_segments_that_the_model_does_not_know_and_summaries_without_any_leave_the_whole_watched():
    strange = list(summaries(world(BEFORE), segment_of=np.full(BEFORE, "country=XX")))
    rows = world(AFTER, 2)
    doubled(rows)
    raised, *_ = fold([*strange, *summaries(rows, start=BEFORE)], watched())
    assert raised.segment == ""
    assert "amount" in raised.cause


def test_an_alert_of_before_there_were_segments_is_everywhere():
    (alert,) = confirmed(log(doubled), aggregator())
    older = msgspec.json.encode(alert).replace(b',"segment":""', b"")
    assert b'"segment"' not in older
    assert msgspec.json.decode(older, type=DriftAlert) == alert


def test_whoever_shares_the_error_and_doubts_the_reference_needs_more_to_find_something():
    reference = Reference(MANIFEST)
    shift = np.where([s.signal == "input:amount" and s.kind == "mean" for s in reference.statistics], 0.3, 0.0)
    observation = Observation(shift, np.full(len(shift), 1 / 8))

    def blocks_until_found(bound: Bound) -> int:
        sums = Cusum(reference, bound)
        return next(block for block in range(10_000) if sums.update(observation, block))

    alone, shared, doubted = (
        blocks_until_found(bound) for bound in (Bound(0.15), Bound(0.15, 9), Bound(0.15, reference_error=0.1))
    )
    assert (alone, shared, doubted) == (13, 14, 23)
