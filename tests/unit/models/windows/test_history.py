from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl
import pytest

from models.windows import history as history_module
from models.windows.history import state_of, windows_of
from models.windows.state import WindowState
from tests.unit.models.windows.oracle import OracleWindow

pytestmark = pytest.mark.slow

DAY_US = 86_400_000_000
WINDOWS = [
    OracleWindow(*what, entity=entity, delay=delay)
    for over in ("1d", "7d", "30d")
    for entity, what, delay in (
        ("card.id", ("count", over), ""),
        ("card.id", ("mean", over, "amount"), ""),
        ("shop", ("count", over), "7d"),
        ("shop", ("mean", over, "label"), "7d"),
    )
]


def history(rows):
    rng = np.random.default_rng(3)
    seconds = np.sort(rng.integers(0, 60 * 86_400, rows))
    return pl.DataFrame(
        {
            "time": [datetime(2018, 4, 1, tzinfo=UTC) + timedelta(seconds=int(s)) for s in seconds],
            "card.id": rng.integers(0, 300, rows),
            "shop": rng.integers(0, 100, rows).astype(str),
            "amount": rng.lognormal(3, 1, rows).round(2),
            "label": (rng.random(rows) < 0.05).astype(float),
        }
    )


def searched(frame, entity, value, window):
    """Count and sum by binary search in sorted keys of entity and hop: another way to the same figures."""
    hop_us, ids = window.hop_s * 10**6, frame[entity].rank("dense").to_numpy().astype(np.int64)
    hops = frame["time"].dt.epoch("us").to_numpy() // hop_us
    rows, wide = np.arange(frame.height), 10**7
    order = np.lexsort((rows, ids))
    keys = ids[order] * wide + hops[order]
    sums = np.r_[0, np.cumsum(frame[value].to_numpy()[order])]
    now = keys - window.delay_hops
    first = np.searchsorted(keys, now - window.hops)
    end = np.searchsorted(keys, now) if window.delay_hops else rows
    count, total = np.empty(frame.height), np.empty(frame.height)
    count[order], total[order] = end - first, sums[end] - sums[first]
    return count, total


def test_a_history_has_the_counts_and_means_that_a_search_finds():
    frame = history(30_000)
    found = windows_of(frame, WINDOWS, time="time", entity="card.id")
    for column, window in enumerate(WINDOWS):
        count, total = searched(frame, window.entity, window.of or "amount", window)
        with np.errstate(invalid="ignore"):
            expected = count if window.aggregate == "count" else total / count
        np.testing.assert_allclose(found[:, column], expected, rtol=1e-5, atol=1e-7)


def test_a_history_of_nothing_has_no_rows():
    assert windows_of(history(10).clear(), WINDOWS, time="time", entity="card.id").shape == (0, 12)


def test_a_log_goes_on_from_a_history_that_stands_before_its_first_offset():
    frame, own = history(4000), [window for window in WINDOWS if window.entity == "card.id"]
    own.append(OracleWindow("since_last", "30d", entity="card.id"))
    whole = windows_of(frame, own, time="time", entity="card.id")
    before, state = WindowState(own, 1000), WindowState(own, 1000)
    state_of(frame[:3000], before, time="time", entity="card.id", end=0, advance=lambda done: None)
    records = list(before.changed())
    assert len(records) == frame[:3000]["card.id"].n_unique()
    state.restore(records)
    state.step(batch_of(frame[3000:3001], state, first=0))
    changed = list(state.changed())
    assert len(changed) == 1
    after = batch_of(frame[3001:], state, first=1)
    assert state.step(after).tobytes() == whole[3001:].tobytes()


def batch_of(frame, state, first):
    ((_, batch),) = history_module._batches(frame, frame["time"].dt.epoch("us").to_numpy(), "card.id", state, first)
    return batch
