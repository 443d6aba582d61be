"""Sums of summaries: the same whatever the split and the order, and what a straightforward computation gives."""

from itertools import pairwise

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from stream_app.drift.merge import Sums
from stream_app.pipeline.sums import Bins, PartitionSums
from tests.unit.stream_app.drift.streams import LAYOUT, MANIFEST, SHA, add, event_time, world

BINS = Bins(MANIFEST.signals, MANIFEST.relations)


def sums_of(rows: np.ndarray, first: int = 0) -> Sums:
    partition = PartitionSums(BINS)
    if len(rows):
        add(BINS, partition, rows)
        partition.add_times([event_time(first + i) for i in range(len(rows))])
    summary = BINS.summary(0, (first, first + len(rows)), partition, SHA, "worker-1")
    return Sums.of(summary, summary.sums)


@given(
    seed=st.integers(0, 1000),
    rows=st.integers(1, 200),
    cuts=st.lists(st.integers(0, 200), max_size=6),
    missing=st.floats(0, 1),
    order=st.randoms(use_true_random=False),
)
def test_any_split_in_any_order_gives_the_sums_of_all_rows(seed, rows, cuts, missing, order):
    matrix = world(rows, seed)
    matrix[np.random.default_rng(seed).random(matrix.shape) < missing] = np.nan
    bounds = [0, *sorted(min(cut, rows) for cut in cuts), rows]
    parts = [sums_of(matrix[a:b], a) for a, b in pairwise(bounds)]
    order.shuffle(parts)

    merged = parts[0]
    for part in parts[1:]:
        merged = merged + part

    present = ~np.isnan(matrix)
    counts = np.maximum(present.sum(axis=0), 1)
    mean = np.where(present, matrix, 0).sum(axis=0, dtype=np.float64) / counts
    assert merged.scored == rows
    assert merged.present.tolist() == present.sum(axis=0).tolist()
    np.testing.assert_allclose(merged.mean, mean, atol=2e-5)
    whole = sums_of(matrix)
    assert merged.tail.tolist() == whole.tail.tolist()
    assert merged.histogram.tolist() == whole.histogram.tolist()
    assert merged.hours.tolist() == whole.hours.tolist()
    for name in ("clipped", "squares", "products", "raw"):
        np.testing.assert_allclose(getattr(merged, name), getattr(whole, name), rtol=1e-4, atol=2e-3)


def test_a_signal_that_is_missing_everywhere_leaves_the_others_values_alone():
    absent, present = world(10), world(10)
    absent[:, 1] = np.nan
    merged = sums_of(absent) + sums_of(present)
    assert merged.present[1] == 10
    np.testing.assert_allclose(merged.mean[1], present[:, 1].mean(), rtol=1e-5)
    assert len(merged.mean) == len(LAYOUT)
