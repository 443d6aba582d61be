import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.windows import totals as totals_module
from models.windows.plan import WindowsError
from models.windows.totals import HEAD, QUANTUM, HopTotals
from models.windows.view import TotalsView
from schemas.definition import Window
from tests.unit.models.windows.oracle import MICRO, OracleWindow, of_values

HOUR, DAY = 3600 * MICRO, 86_400 * MICRO
MAY = 17_652 * DAY
WINDOWS = [
    OracleWindow("count", "1h", delay="5m"),
    OracleWindow("mean", "2d", "label", delay="1d"),
    OracleWindow("sum", "1d", "amount", delay="1h"),
    OracleWindow("mean", "1d", "amount", delay="2h"),
    OracleWindow("count", "30d", delay="7d"),
]
HOPS = [300 * MICRO, HOUR, DAY]


def published(totals, view, partition, now):
    for record in totals.finished(now):
        view.add(partition, record)


def streamed(events, partitions, cuts):
    """Values of the events, each in its partition, all of which publish what is over before one reads."""
    totals = [HopTotals(WINDOWS) for _ in range(partitions)]
    view = TotalsView(WINDOWS, 100, range(partitions))
    found = np.empty((len(events), len(WINDOWS)), np.float32)
    for start, end in zip([0, *cuts], [*cuts, len(events)], strict=True):
        for partition in {event[0] % partitions for event in events[start:end]}:
            rows = [n for n in range(start, end) if events[n][0] % partitions == partition]
            keys = np.array([events[n][1] for n in rows], np.int64)
            times = np.array([events[n][2] for n in rows], np.int64)
            for one in range(partitions):
                published(totals[one], view, one, int(times[0]))
            found[rows] = view.look(keys, times)
        for event in events[start:end]:
            one = (np.array([value], np.int64) for value in event[1:3])
            totals[event[0] % partitions].add(*one, np.array([[event[3], event[4]]]))
    assert view.incomplete == 0
    return found


def hop_starts(events):
    """Where a hop begins: a batch that a worker reads is looked up before its own totals are published."""
    return [n for n in range(1, len(events)) if events[n][2] // HOPS[0] != events[n - 1][2] // HOPS[0]]


def expected(events):
    rows = []
    for _, key, time, *_ in events:
        row = []
        for window in WINDOWS:
            hop_us = window.hop_s * MICRO
            last = time // hop_us - window.delay_hops - 1
            covered = [e for e in events if e[1] == key and last - window.hops < e[2] // hop_us <= last]
            values = [value for e in covered if math.isfinite(value := e[3] if window.of == "label" else e[4])]
            row.append(float(len(covered)) if window.aggregate == "count" else of_values(window.aggregate, values, 0))
        rows.append(row)
    return rows


@st.composite
def histories(draw):
    """Partition, merchant, time, label, amount, in the order of time."""
    events, now = [], MAY
    for _ in range(draw(st.integers(1, 50))):
        now += draw(st.sampled_from([0, 1, 60 * MICRO, 400 * MICRO, HOUR, 5 * HOUR, DAY, 6 * DAY]))
        amount = draw(st.sampled_from([0.1, 12.34, 99.99, 7e6, math.nan, math.inf]))
        events.append(
            (draw(st.integers(0, 7)), draw(st.sampled_from([5, 6, 2**63 - 1])), now, 1.0 * draw(st.booleans()), amount)
        )
    return events


@settings(max_examples=60, deadline=None)
@given(events=histories(), partitions=st.integers(1, 4), more=st.lists(st.integers(1, 49)))
def test_any_partitions_and_batches_give_the_same_bits(events, partitions, more):
    starts = hop_starts(events)
    whole = streamed(events, 1, starts)
    cuts = sorted({*starts, *(cut for cut in more if cut < len(events))})
    assert streamed(events, partitions, cuts).tobytes() == whole.tobytes()
    np.testing.assert_allclose(whole, np.array(expected(events)), rtol=1e-6, atol=30 * QUANTUM)


def test_a_label_counts_in_the_hop_of_its_event_from_when_it_arrives():
    totals, view = HopTotals(WINDOWS), TotalsView(WINDOWS, 10)
    keys, times = np.array([5, 5]), np.array([MAY, MAY + HOUR])
    totals.add(keys, times, np.zeros((2, 2)))
    published(totals, view, 0, MAY + 2 * DAY)
    asked = (np.array([5]), np.array([MAY + 2 * DAY]))
    assert view.look(*asked)[0, 1] == 0.0
    view.add_labels(keys[:1], times[:1], np.array([1.0]))
    assert view.look(*asked)[0, 1] == 0.5
    assert view.look(*asked)[0, 0] == 0.0
    view.add_labels(keys[:1], times[:1], np.array([-1.0]))
    assert view.look(*asked)[0, 1] == 0.0


def test_labels_of_a_history_and_labels_that_come_later_are_the_same_bits():
    rng = np.random.default_rng(4)
    keys, times, labels = rng.integers(1, 4, 300), np.sort(rng.integers(MAY, MAY + 9 * DAY, 300)), rng.random(300) < 0.2
    known, later = HopTotals(WINDOWS), HopTotals(WINDOWS)
    views = TotalsView(WINDOWS, 10), TotalsView(WINDOWS, 10)
    known.add(keys, times, np.stack([labels, np.ones(300)], axis=1))
    later.add(keys, times, np.stack([np.zeros(300), np.ones(300)], axis=1))
    published(known, views[0], 0, MAY + 9 * DAY)
    published(later, views[1], 0, MAY + 9 * DAY)
    views[1].add_labels(keys[labels], times[labels], np.ones(labels.sum()))
    asked = np.repeat([1, 2, 3], 3), np.tile([MAY + 9 * DAY, MAY + 10 * DAY, MAY + 11 * DAY], 3)
    assert views[1].look(*asked).tobytes() == views[0].look(*asked).tobytes()
    assert (views[0].look(*asked)[:, 1] > 0).any()


def test_the_newest_time_that_is_over_is_that_of_the_shortest_hops():
    totals, view = HopTotals(WINDOWS), TotalsView(WINDOWS, 10)
    assert view.newest_us is None
    published(totals, view, 0, MAY + 5 * HOUR + 301 * MICRO)
    assert view.newest_us == MAY + 5 * HOUR + 300 * MICRO


def test_what_a_partition_has_not_published_is_counted_as_incomplete():
    totals, other, view = HopTotals(WINDOWS), HopTotals(WINDOWS), TotalsView(WINDOWS, 10, [0, 1])
    asked = (np.array([5, 6]), np.array([MAY, MAY + 2 * DAY]))
    view.look(*asked)
    assert view.incomplete == 2
    published(totals, view, 0, MAY + DAY)
    published(other, view, 1, MAY + 3 * DAY)
    view.look(*asked)
    assert view.incomplete == 3
    published(totals, view, 0, MAY + 3 * DAY)
    view.look(*asked)
    assert view.incomplete == 3
    view.look(asked[0], asked[1] - 6 * DAY)
    assert view.incomplete == 3 + 1  # one is more than a week and a day late: what it looks at is no longer held


@pytest.mark.parametrize(("over", "delay", "seen"), [("13d", "20d", 26), ("7d", "7d", 14)])
def test_a_partition_that_is_a_week_behind_another_still_sees_all_that_it_looks_at(over: str, delay: str, seen: int):
    """A worker that reads a backlog takes one partition after another; of two, each has an event a day."""
    window = Window("shop", "count", over, delay=delay)
    partitions, view = [HopTotals([window]) for _ in range(2)], TotalsView([window], 100, range(2))
    days, asked = np.arange(47, dtype=np.int64), (np.array([7]), np.array([MAY + 39 * DAY]))
    for partition, reached in ((1, 39), (0, 46)):
        read = days[: reached + 1]
        partitions[partition].add(np.full(read.size, 7), MAY + read * DAY, np.empty((read.size, 0)))
        for record in partitions[partition].finished(int(MAY + reached * DAY)):
            view.add(partition, record)
    assert view.look(*asked).tolist() == [[float(seen)]]
    assert view.incomplete == 0


def test_what_is_not_over_survives_a_restart():
    totals, view, rng = HopTotals(WINDOWS), TotalsView(WINDOWS, 100), np.random.default_rng(0)
    events = rng.integers(0, 50, 200), np.sort(rng.integers(MAY, MAY + DAY, 200)), rng.random((200, 2))
    totals.add(*events)
    again = HopTotals(WINDOWS)
    again.restore(totals.checkpoint())
    assert again.finished(MAY + 5 * DAY) == totals.finished(MAY + 5 * DAY)
    with pytest.raises(WindowsError, match="same definition"):
        view.add(0, b"nonsense")


def test_a_later_owner_lets_go_of_what_was_published_and_counts_the_rest():
    rng = np.random.default_rng(1)
    events = rng.integers(0, 50, 200), np.sort(rng.integers(MAY, MAY + 3 * DAY, 200)), rng.random((200, 2))
    first, second = HopTotals(WINDOWS), HopTotals(WINDOWS)
    first.add(*(column[:120] for column in events))
    at_120 = first.finished(int(events[1][119]))
    first.add(*(column[120:] for column in events))
    second.add(*(column[:120] for column in events))
    for record in at_120:
        second.let_go(*second.head(record))
    second.add(*(column[120:] for column in events))
    assert second.over == first.over
    assert second.finished(MAY + 9 * DAY) == first.finished(MAY + 9 * DAY)


def test_many_entities_are_published_and_kept_in_records_of_bounded_size(monkeypatch):
    monkeypatch.setattr(totals_module, "RECORD_BYTES", 500)
    totals, view, parts = HopTotals(WINDOWS), TotalsView(WINDOWS, 1000), TotalsView(WINDOWS, 1000)
    totals.add(np.arange(300), np.full(300, MAY + HOUR), np.ones((300, 2)))
    again = HopTotals(WINDOWS)
    again.restore(totals.checkpoint())
    whole, small = again.finished(MAY + DAY), totals.finished(MAY + DAY)
    assert small == whole
    assert max(map(len, small)) < 600
    assert len(small) > 30
    for record in small[:-1]:
        view.add(0, record)
    assert not view.has(0, totals.over)
    view.add(0, small[-1])
    assert view.has(0, totals.over)
    monkeypatch.undo()
    other = HopTotals(WINDOWS)
    other.add(np.arange(300), np.full(300, MAY + HOUR), np.ones((300, 2)))
    published(other, parts, 0, MAY + DAY)
    asked = np.arange(300), np.full(300, MAY + 2 * DAY)
    assert view.look(*asked).tobytes() == parts.look(*asked).tobytes()
    for record in small[:3]:
        again.let_go(*again.head(record))
    assert again.over == totals.over


def test_events_that_wait_are_added_up_some_at_a_time(monkeypatch):
    monkeypatch.setattr(totals_module, "MOST_WAITING", 64)
    rng = np.random.default_rng(5)
    events = rng.integers(0, 90, 1000), rng.integers(MAY, MAY + 3 * DAY, 1000), rng.random((1000, 2))
    one, many = HopTotals(WINDOWS), HopTotals(WINDOWS)
    one.add(*events)
    for start in range(0, 1000, 7):
        many.add(*(column[start : start + 7] for column in events))
    assert many.finished(MAY + 2 * DAY) == one.finished(MAY + 2 * DAY)
    assert many.finished(MAY + 9 * DAY) == one.finished(MAY + 9 * DAY)


def test_an_event_that_names_no_entity_is_in_no_record():
    totals = HopTotals(WINDOWS)
    totals.add(np.zeros(5, np.int64), np.full(5, MAY), np.ones((5, 2)))
    assert max(map(len, totals.finished(MAY + DAY))) == HEAD.size


@settings(max_examples=200, deadline=None)
@given(data=st.binary(max_size=300), keep=st.integers(0, 300))
def test_nonsense_is_refused(data, keep):
    totals, view = HopTotals(WINDOWS), TotalsView(WINDOWS, 100)
    totals.add(np.array([1, 2]), np.array([MAY, MAY]), np.ones((2, 2)))
    sound = totals.finished(MAY + DAY)[0]
    mixed = sound[:keep] + data
    if mixed[: len(sound)] == sound and len(mixed) == len(sound):
        return
    try:
        view.add(0, mixed)
    except WindowsError:
        assert view.figures.entities == 0


@pytest.mark.parametrize("window", [OracleWindow("std", "1d", "amount", delay="1h"), OracleWindow("count", "1d")])
def test_windows_that_totals_cannot_hold_are_refused(window):
    with pytest.raises(WindowsError, match="delay of at least one hop"):
        TotalsView([window], 10)
