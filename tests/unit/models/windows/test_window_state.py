import math
from datetime import UTC, datetime

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.windows.compiled import Batch
from models.windows.plan import WindowsError, ring_words
from models.windows.state import WindowState
from tests.unit.models.windows.oracle import MICRO, Event, OracleWindow, run

MINUTE, HOUR, DAY = 60 * MICRO, 3600 * MICRO, 86_400 * MICRO
APRIL = int(datetime(2018, 4, 1, tzinfo=UTC).timestamp()) * MICRO
WINDOWS = [
    OracleWindow("count", "5m"),
    OracleWindow("count", "1h"),
    OracleWindow("mean", "1d", "amount"),
    OracleWindow("sum", "7d", "amount"),
    OracleWindow("std", "7d", "amount"),
    OracleWindow("deviation", "30d", "amount"),
    OracleWindow("min", "30d", "amount"),
    OracleWindow("max", "1h", "points"),
    OracleWindow("mean", "2d", "points", delay="1d"),
    OracleWindow("count", "7d", delay="7d"),
    OracleWindow("since_last", "7d"),
    OracleWindow("distinct", "1d", "shop"),
    OracleWindow("is_new", "30d", "shop"),
    OracleWindow("is_new", "1d", "shop"),
]
LATE = [0, 1, MINUTE, 7 * MINUTE, HOUR, 5 * HOUR, DAY, 3 * DAY, 8 * DAY, 40 * DAY]


def batch_of(log, first=0):
    """Events as the engine takes them; what is missing is NaN, or the key 0."""
    numbers = [[event.values.get("amount", math.nan), event.values.get("points", math.nan)] for event in log]
    shops = [[event.values.get("shop") or 0] for event in log]
    return Batch(
        np.arange(first, first + len(log)),
        np.array([event.entity for event in log], np.int64),
        np.array([event.time for event in log], np.int64),
        np.array(numbers, np.float64).reshape(-1, 2),
        np.array(shops, np.int64).reshape(-1, 1),
    )


def stepped(state, log, cuts=(), first=0):
    """The whole log in batches that end at the cuts."""
    ends = sorted({cut for cut in cuts if 0 < cut < len(log)} | {len(log)})
    starts = [0, *ends[:-1]]
    return np.vstack([state.step(batch_of(log[a:b], first + a)) for a, b in zip(starts, ends, strict=True)])


@st.composite
def logs(draw, entities=4, most=60):
    """Late events, equal times, clocks that run backwards, keys that are hot, missing values."""
    log, now = [], APRIL + draw(st.integers(0, DAY))
    for _ in range(draw(st.integers(1, most))):
        now += draw(st.sampled_from([0, 0, 1, MINUTE, 20 * MINUTE, HOUR, 9 * HOUR, 2 * DAY, 13 * DAY, -HOUR]))
        time = now - draw(st.sampled_from(LATE)) if draw(st.integers(0, 3)) == 0 else now
        values = {
            "amount": draw(st.sampled_from([0.1, 12.34, 12.34, 7e6, -3.0, math.nan, math.inf])),
            "points": draw(st.sampled_from([1.0, 2.0, 3.0, math.nan])),
            "shop": draw(st.sampled_from([None, 11, 12, 13, -(2**62)])),
        }
        log.append(Event(draw(st.sampled_from([7, 7, 7, *range(entities)])), time, values))
    return log


def agree(found, expected):
    np.testing.assert_allclose(found, np.array(expected), rtol=2e-6, atol=1e-9)


@settings(max_examples=150, deadline=None)
@given(log=logs())
def test_values_are_what_the_meaning_says(log):
    agree(stepped(WindowState(WINDOWS, 100), log), run(WINDOWS, log))


@settings(max_examples=60, deadline=None)
@given(log=logs(), cuts=st.lists(st.integers(1, 60)))
def test_any_split_into_batches_gives_the_same_bits(log, cuts):
    whole = stepped(WindowState(WINDOWS, 100), log)
    assert stepped(WindowState(WINDOWS, 100), log, cuts).tobytes() == whole.tobytes()


@settings(max_examples=60, deadline=None)
@given(log=logs())
def test_bits_depend_on_no_other_entity_and_no_other_window(log):
    whole = stepped(WindowState(WINDOWS, 100), log)
    mine = [event for event in log if event.entity == 7]
    alone = stepped(WindowState(WINDOWS, 100), mine) if mine else np.empty((0, len(WINDOWS)), np.float32)
    assert alone.tobytes() == whole[[event.entity == 7 for event in log]].tobytes()
    for column in (3, 4, 8):
        numbers = {"amount": 0, "points": 1}[WINDOWS[column].of]
        batch = batch_of(log)
        single = WindowState([WINDOWS[column]], 100).step(
            batch._replace(numbers=batch.numbers[:, [numbers]].copy(), identities=np.empty((len(log), 0), np.int64))
        )
        assert single[:, 0].tobytes() == whole[:, column].tobytes()


@settings(max_examples=80, deadline=None)
@given(log=logs(entities=8), bound=st.integers(1, 6), kills=st.lists(st.tuples(st.integers(0, 60), st.integers(0, 15))))
def test_a_restart_from_a_checkpoint_changes_no_bit(log, bound, kills):
    """Checkpoints at places in the log, kills some events later; the log is replayed from the last checkpoint."""
    whole = stepped(WindowState(WINDOWS, bound), log)
    state, topic, done = WindowState(WINDOWS, bound), [], 0
    for place, later in sorted((min(at, len(log)), later) for at, later in kills):
        if place <= done:
            continue
        assert stepped(state, log[done:place], first=done).tobytes() == whole[done:place].tobytes()
        topic += state.changed()
        done = place
        if log[done : done + later]:
            stepped(state, log[done : done + later], first=done)
        state = WindowState(WINDOWS, bound)
        state.restore(topic)
    if log[done:]:
        assert stepped(state, log[done:], first=done).tobytes() == whole[done:].tobytes()
    fresh = WindowState(WINDOWS, bound)
    stepped(fresh, log)
    topic += state.changed()
    assert {k: v for k, v in dict(topic).items() if v is not None} == dict(fresh.changed())


def test_what_was_longest_unseen_is_forgotten_first():
    state = WindowState([OracleWindow("count", "1d")], 2)
    batch = batch_of([Event(entity, APRIL, {}) for entity in (1, 2, 1, 3, 1, 2, 2)])
    batch = batch._replace(numbers=np.empty((7, 0)), identities=np.empty((7, 0), np.int64))
    assert state.step(batch)[:, 0].tolist() == [0, 0, 1, 0, 2, 0, 1]
    assert state.figures.entities == 2
    assert state.figures.forgotten == 2


def test_what_was_forgotten_is_a_record_without_content():
    state = WindowState(WINDOWS, 2)
    stepped(state, [Event(1, APRIL, {}), Event(2, APRIL, {})])
    first = dict(state.changed())
    stepped(state, [Event(3, APRIL, {}), Event(4, APRIL, {}), Event(1, APRIL, {})], first=2)
    second = dict(state.changed())
    assert len(first) == 2
    assert sorted(int.from_bytes(key) for key, record in second.items() if record is None) == [2, 3]
    assert sorted(int.from_bytes(key) for key, record in second.items() if record is not None) == [1, 4]
    assert list(state.changed()) == []


def test_only_what_changed_is_in_a_checkpoint():
    state = WindowState(WINDOWS, 100)
    stepped(state, [Event(entity, APRIL, {}) for entity in range(50)])
    assert len(list(state.changed())) == 50
    stepped(state, [Event(entity, APRIL, {}) for entity in (3, 4, 3)], first=50)
    assert sorted(int.from_bytes(key) for key, _ in state.changed()) == [3, 4]


def test_many_entities_with_long_pasts_find_memory_and_keep_it_small():
    rng, windows = np.random.default_rng(0), [OracleWindow("count", "1d"), OracleWindow("mean", "30d", "amount")]
    state, others, rows = WindowState(windows, 20_000), WindowState(windows, 20_000), 400_000
    times = np.sort(rng.integers(APRIL, APRIL + 60 * DAY, rows))
    batch = Batch(
        np.arange(rows),
        rng.integers(0, 20_000, rows) * 7919,
        times,
        rng.lognormal(3, 1, (rows, 1)),
        np.empty((rows, 0), np.int64),
    )
    whole = state.step(batch)
    parts = [Batch(*(column[at : at + 777] for column in batch)) for at in range(0, rows, 777)]
    assert np.vstack([others.step(part) for part in parts]).tobytes() == whole.tobytes()
    assert state.figures.bytes / 20_000 < 450
    back = WindowState(windows, 20_000)
    back.restore(state.changed())
    later = batch._replace(positions=batch.positions + rows, times=batch.times + 60 * DAY)
    assert back.step(later).tobytes() == state.step(later).tobytes()


@pytest.mark.parametrize("year", [1900, 1990, 2100, 9999])
def test_a_time_far_away_moves_only_its_own_entity(year):
    far = int(datetime(year, 6, 1, tzinfo=UTC).timestamp()) * MICRO
    log = [Event(1, APRIL, {"amount": 5.0}), Event(1, APRIL + HOUR, {"amount": 6.0}), Event(2, far, {"amount": 1.0})]
    log += [Event(1, APRIL + 2 * HOUR, {"amount": 7.0}), Event(2, far + HOUR, {"amount": 1.0}), Event(2, APRIL, {})]
    agree(stepped(WindowState(WINDOWS, 10), log), run(WINDOWS, log))


def test_a_time_that_hops_cannot_number_is_an_error_of_the_caller():
    with pytest.raises(ValueError, match="impossible"):
        stepped(WindowState(WINDOWS, 10), [Event(1, 2**62, {})])


def test_late_events_and_those_that_came_too_late_are_counted():
    state = WindowState(WINDOWS, 10)
    stepped(state, [Event(1, time, {}) for time in (APRIL, APRIL - MINUTE, APRIL - 2 * DAY, APRIL - 90 * DAY)])
    assert (state.figures.late, state.figures.lost) == (3, 2)


def test_of_many_values_the_one_seen_longest_ago_is_forgotten():
    windows = [OracleWindow("distinct", "30d", "shop"), OracleWindow("is_new", "30d", "shop")]
    state, shops = WindowState(windows, 10), [*range(1, 101), 1, 100]
    log = [Event(1, APRIL + n * HOUR, {"shop": shop}) for n, shop in enumerate(shops)]
    batch = batch_of(log)._replace(numbers=np.empty((len(log), 0)))
    found = state.step(batch)
    assert found[-2:].tolist() == [[64.0, 1.0], [64.0, 0.0]]


@pytest.mark.parametrize("damage", ["cut", "longer", "other", "hop", "count", "nan", "length", "empty", "key"])
def test_a_record_that_this_layout_did_not_write_is_refused(damage):
    state = WindowState(WINDOWS, 10)
    stepped(state, [Event(1, APRIL + n * DAY, {"amount": 1.0, "shop": 3}) for n in range(9)])
    ((key, record),) = state.changed()
    words = np.frombuffer(bytearray(record), np.int64)
    section, base = words.view(np.int16)[12:16], words.view(np.int16)[15]
    match damage:
        case "other":
            words[0] += 1
        case "hop":
            words.view(np.int32)[2 * base] += 10**6
        case "count":
            words.view(np.int32)[2 * base + section[1]] = -1
        case "nan":
            _, length, _, offset = words.view(np.int16)[16:20].tolist()  # the ring of hours, which has sums
            words.view(np.float64)[offset + ring_words(length, int(state.layout.plan.rings[1, 2]), 0)] = math.nan
        case "length":
            section[1] = 32_000
    damaged = {"cut": record[:-8], "longer": record + b"12345678", "empty": b""}.get(damage, words.tobytes())
    with pytest.raises(WindowsError, match="not written for these windows"):
        WindowState(WINDOWS, 10).restore([(key[:-1] if damage == "key" else key, damaged)])


@settings(max_examples=200, deadline=None)
@given(record=st.binary(max_size=400), keep=st.integers(0, 400))
def test_nonsense_is_refused_and_never_ends_the_process(record, keep):
    state = WindowState(WINDOWS, 10)
    stepped(state, [Event(1, APRIL, {"amount": 1.0, "shop": 3})])
    ((key, sound),) = state.changed()
    mixed = sound[:keep] + record[keep:]
    fresh = WindowState(WINDOWS, 10)
    try:
        fresh.restore([(key, mixed)])
    except WindowsError:
        assert fresh.figures.entities == 0
        return
    stepped(fresh, [Event(int.from_bytes(key), APRIL + n * HOUR, {"amount": 2.0}) for n in range(5)])


@pytest.mark.parametrize(
    "windows", [[OracleWindow(kind, "400d", f"v{n}") for n in range(30) for kind in ("std", "min", "max")]]
)
def test_windows_that_would_take_too_much_of_each_entity_are_refused(windows):
    with pytest.raises(WindowsError, match="KiB"):
        WindowState(windows, 10)
