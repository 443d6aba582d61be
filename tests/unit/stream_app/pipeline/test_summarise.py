"""Summaries: what a computation over all rows gives, whatever the batches; no offset is left out."""

from datetime import UTC, datetime, timedelta, timezone
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.runtime import Scored
from schemas.drift import DriftSummary, SegmentSummary
from stream_app.pipeline.batch import Decided, Decoded, Raw, Reasoned
from stream_app.pipeline.decode import Decoder
from stream_app.pipeline.summarise import Summaries, signal_matrix
from stream_app.pipeline.sums import Bins, PartitionSums
from stream_app.testing.tiny_model import segments_of
from tests.unit.stream_app.pipeline.rows import DEFINITION, INPUTS, LATENTS, encoded, raw, references, scored

decode = Decoder(DEFINITION, 10_000)
SHA = "0" * 64
SPANS = dict.fromkeys(range(4), (0, 99))  # nothing but the record's own offsets comes of them


def none_anomalous(rows: list[int]) -> Reasoned:
    a = len(rows)
    return Reasoned(np.array(rows, dtype=np.int64), np.zeros(a), [], np.zeros((a, 0)), np.zeros((a, 0)))


def outcome(decoded: Decoded, said: Scored, anomalous: list[int], author: object = None):
    return Decided(author, decoded, said), none_anomalous(anomalous)


def fresh() -> Summaries:
    return Summaries(references(), None, SHA, "worker-1")


def batch(values: list[bytes | None], partitions: list[int], seed: int) -> tuple[Raw, Decoded, Scored]:
    taken = raw(*values, partitions=partitions)
    decoded = decode(taken)
    return taken, decoded, scored(len(decoded.rows), seed)


def test_outcomes_are_counted_for_each_partition():
    summaries = fresh()
    taken, decoded, said = batch([encoded(), b"bad", encoded(), encoded(), None], [0, 0, 1, 1, 1], 0)
    summaries.add(taken, decoded, said, [outcome(decoded, said, [1, 2])])
    first, second = summaries.drain({0: (0, 2), 1: (0, 3)})
    assert (first.partition, first.scored, first.dead_lettered, first.anomalies) == (0, 1, 1, 0)
    assert (second.partition, second.scored, second.dead_lettered, second.anomalies) == (1, 2, 1, 2)
    assert (second.from_offset, second.to_offset) == (0, 3)
    assert summaries.drain({}) == []


def test_a_partition_with_refused_records_alone_is_accounted_for_too():
    summaries = fresh()
    taken, decoded, said = batch([b"bad", b"worse"], [0, 0], 0)
    summaries.add(taken, decoded, said, [outcome(decoded, said, [])])
    (summary,) = summaries.drain({0: (5, 7)})
    assert (summary.scored, summary.dead_lettered, summary.from_offset, summary.to_offset) == (0, 2, 5, 7)
    assert summary.event_time_min is None


def test_what_a_canary_decided_is_counted_apart_and_the_sums_are_of_all_rows():
    taken, decoded, said = batch([encoded()] * 5, [0, 0, 1, 1, 1], 0)
    theirs = np.array([False, True, False, True, True])
    outcomes = [
        outcome(decoded.keep(~theirs), said.take(~theirs), [0]),
        outcome(decoded.keep(theirs), said.take(theirs), [1, 2]),
    ]
    summaries = Summaries(references(), None, SHA, "worker-1", "1" * 64)
    summaries.add(taken, decoded, said, outcomes)
    first, second = summaries.drain(SPANS)
    assert [(s.scored, s.anomalies, s.candidate_decided, s.candidate_anomalies) for s in (first, second)] == [
        (2, 1, 1, 0),
        (3, 2, 2, 2),
    ]
    assert (first.model_sha256, first.candidate_sha256) == (SHA, "1" * 64)
    assert first.sums.mean[0] == pytest.approx(said.score[:2].mean(), abs=1e-5)


@given(st.integers(1, 40), st.lists(st.integers(0, 39), max_size=4), st.integers(0, 1000))
def test_sums_are_those_of_all_rows_however_they_were_cut_into_batches(rows, cuts, seed):
    random = np.random.default_rng(seed)
    features = [{"customer_nb_tx_1d": 2.0} if random.random() < 0.3 else {"terminal_risk_7d": 0.1} for _ in range(rows)]
    values = [encoded(features=f) for f in features]
    said = scored(rows, seed)
    matrix = signal_matrix(decode(raw(*values)).inputs, said).T
    summaries = fresh()
    bounds = sorted({0, rows, *(cut for cut in cuts if cut < rows)})
    for start, end in pairwise(bounds):
        taken = raw(*values[start:end])
        part = type(said)(*(getattr(said, name)[start:end] for name in said.__slots__))
        summaries.add(taken, decode(taken), part, [outcome(decode(taken), part, [])])
    (summary,) = summaries.drain(SPANS)
    present = [column[~np.isnan(column)] for column in matrix.T.astype(np.float64)]
    assert summary.scored == rows
    assert summary.sums.missing == [int(np.isnan(column).sum()) for column in matrix.T]
    for signal, column in enumerate(present):
        expected = np.bincount(np.searchsorted([-1.0, 0.0, 1.0], column, side="left"), minlength=4)
        assert summary.sums.histogram[signal] == expected.tolist()
        assert summary.sums.tail[signal] == int((column > 3.0).sum())
        if len(column):
            assert summary.sums.mean[signal] == pytest.approx(column.mean(), abs=1e-5)


def test_each_partition_has_the_sums_of_its_own_rows_beyond_what_is_held_before_it_is_added():
    random, rows, summaries = np.random.default_rng(0), 20_500, fresh()
    partitions = random.integers(0, 3, rows)
    hours = random.integers(0, 24, rows)
    at = [encoded(event_time=f"2018-07-25T{hour:02}:00:00Z") for hour in range(24)]
    said = scored(rows, 0)
    for start in range(0, rows, 1000):
        mine = slice(start, start + 1000)
        taken = raw(*(at[hour] for hour in hours[mine]), partitions=partitions[mine].tolist())
        part = said.take(np.arange(rows)[mine])
        summaries.add(taken, decode(taken), part, [outcome(decode(taken), part, [])])
    for summary in summaries.drain(SPANS):
        mine = partitions == summary.partition
        inputs = np.tile(decode(raw(at[0])).inputs, (mine.sum(), 1))
        matrix = signal_matrix(inputs, said.take(mine)).astype(np.float64)
        assert summary.scored == mine.sum()
        assert summary.sums.mean == pytest.approx(matrix.mean(axis=1), abs=1e-5)
        assert summary.sums.squares == pytest.approx((np.clip(matrix, -4, 4) ** 2).sum(axis=1), rel=1e-5)
        assert summary.sums.histogram[0] == np.bincount(np.searchsorted([-1, 0, 1], matrix[0]), minlength=4).tolist()
        assert summary.sums.tail == (matrix > 3.0).sum(axis=1).tolist()
        assert summary.sums.raw == pytest.approx(inputs.sum(axis=0, dtype=np.float64))
        assert summary.sums.hours[:24] == np.bincount(hours[mine], minlength=24).tolist()


def test_an_input_that_was_missing_is_no_observation_and_neither_is_its_residual():
    matrix = signal_matrix(decode(raw(encoded(features={"customer_nb_tx_1d": 2.0}))).inputs, scored(1))
    assert np.flatnonzero(np.isnan(matrix[:, 0])).tolist() == [3, 3 + LATENTS + len(INPUTS)]


ZONES = st.integers(-14 * 60, 14 * 60).map(lambda minutes: timezone(timedelta(minutes=minutes)))
MOMENTS = st.datetimes(datetime(2000, 1, 2), datetime(2099, 12, 30))
TIMES = st.builds(lambda time, zone: time.replace(tzinfo=zone), MOMENTS, ZONES)


@given(st.lists(TIMES, min_size=1, max_size=20))
def test_every_event_is_counted_in_one_hour(times):
    sums = PartitionSums(Bins(references(), None))
    sums.add_times(times)
    assert sum(sums.hours) == len(times)
    assert (sums.first_event, sums.last_event) == (min(times), max(times))


def test_hours_are_those_of_utc_weekends_apart():
    sums = PartitionSums(Bins(references(), None))
    friday = datetime(2018, 7, 27, 22, 59, tzinfo=UTC)
    sums.add_times([friday, friday + timedelta(minutes=1), friday.astimezone(timezone(timedelta(hours=9)))])
    sums.add_times([friday + timedelta(days=1)])
    assert {hour: count for hour, count in enumerate(sums.hours) if count} == {22: 2, 23: 1, 24 + 22: 1}


CURRENCIES = ("EUR", "USD", "CHF")
BY_CURRENCY = segments_of("currency", *CURRENCIES)
in_segments = Decoder(DEFINITION, 10_000, BY_CURRENCY)


def by_segment() -> Summaries:
    return Summaries(references(), None, SHA, "worker-1", segments=BY_CURRENCY)


def counted(summary: DriftSummary | SegmentSummary) -> tuple[object, ...]:
    """What is counted, and so adds up exactly."""
    sums = summary.sums
    return summary.scored, summary.anomalies, sums.missing, sums.tail, sums.histogram, sums.hours


def added(summaries: Summaries, records: list[tuple[bytes, int]], said: Scored, rows: list[int], read: Decoder) -> None:
    """Some of the rows as one batch; every third of all is anomalous."""
    taken = raw(*(records[row][0] for row in rows), partitions=[records[row][1] for row in rows])
    decoded, part = read(taken), said.take(np.array(rows, dtype=np.int64))
    anomalous = [at for at, row in enumerate(rows) if row % 3 == 0]
    summaries.add(taken, decoded, part, [outcome(decoded, part, anomalous)])


@given(
    currencies=st.lists(st.sampled_from([*CURRENCIES, "GBP", None]), min_size=1, max_size=30),
    cuts=st.lists(st.integers(0, 29), max_size=4),
    partitions=st.integers(1, 4),
    seed=st.integers(0, 1000),
    order=st.randoms(use_true_random=False),
)
def test_segments_add_up_to_their_rows_and_to_the_partition_whatever_the_batches_and_the_order(
    currencies, cuts, partitions, seed, order
):
    n, random = len(currencies), np.random.default_rng(seed)
    values = [
        encoded(currency=c, features={"terminal_risk_7d": 0.5} if random.random() < 0.5 else {}) for c in currencies
    ]
    places, said = random.integers(0, partitions, n).tolist(), scored(n, seed)
    records = list(zip(values, places, strict=True))
    rows = list(range(n))
    order.shuffle(rows)
    bounds, split, whole = sorted({0, n, *(cut for cut in cuts if cut < n)}), by_segment(), fresh()
    for start, end in pairwise(bounds):
        added(split, records, said, rows[start:end], in_segments)
    added(whole, records, said, list(range(n)), decode)

    for mine, plain in zip(split.drain(SPANS), whole.drain(SPANS), strict=True):
        assert counted(mine) == counted(plain)
        assert (mine.event_time_min, mine.event_time_max) == (plain.event_time_min, plain.event_time_max)
        np.testing.assert_allclose(mine.sums.mean, plain.sums.mean, atol=2e-5)
        assert plain.by_segment == {}
        held = {currencies[row] for row in rows if places[row] == mine.partition}
        assert list(mine.by_segment) == [f"currency={c}" for c in CURRENCIES if c in held]
        for label, segment in mine.by_segment.items():
            alone = fresh()
            own = [r for r in range(n) if places[r] == mine.partition and f"currency={currencies[r]}" == label]
            added(alone, records, said, own, decode)
            (expected,) = alone.drain(SPANS)
            assert counted(segment) == counted(expected)
            for name in ("mean", "clipped", "squares", "raw"):
                np.testing.assert_allclose(getattr(segment.sums, name), getattr(expected.sums, name), atol=1e-3)


def test_an_interval_leaves_nothing_of_a_segment_to_the_next():
    summaries = by_segment()
    for currency in ("USD", "EUR"):
        taken, decoded, said = batch([encoded(currency=currency)], [0], 0)
        decoded = in_segments(taken)
        summaries.add(taken, decoded, said, [outcome(decoded, said, [0])])
        (summary,) = summaries.drain(SPANS)
        assert [(k, s.scored, s.anomalies) for k, s in summary.by_segment.items()] == [(f"currency={currency}", 1, 1)]
        assert (summary.scored, summary.anomalies) == (1, 1)
