"""Rows that never happened, for the head to tell from those that did: a few things of an event changed at a time.

A thing is an input, or all windows over one value, which change together or one alone. A quarter of the new values are
another event's, so that each is usual and only their meeting is not; the others lie between the median and well beyond
what was ever seen, on the side to which the input leans. What is not judged by itself comes from another event at
times, so that it gives nothing away.
"""

import numpy as np

from models.features import things_of
from models.tails import LEANS
from schemas.definition import Definition

MOST_THINGS = 3  # that change in one row
BEYOND = 3.0  # how far new values lie at most, in distances of the extreme from the median
TOGETHER = 0.5  # share of rows in which all windows over a thing change
ELSEWHERE = 0.3  # share of rows whose circumstances are another event's
SWAPPED = 0.25  # share of new values that are another event's
JITTER = 0.15  # of windows that change together


def pseudo_anomalies(cleaned: np.ndarray, definition: Definition, count: int, rng: np.random.Generator) -> np.ndarray:
    """Make rows of cleaned inputs.

    Args:
        cleaned: float32 [rows, inputs], as `Preprocessing.clean` gives them, of training rows.
        definition: What the columns are.
        count: How many.
        rng: Decides everything.

    Returns:
        float32 [count, inputs].
    """
    rows = len(cleaned)
    made = cleaned[rng.integers(0, rows, count)].astype(np.float64)
    things = things_of(definition)
    circumstances = sorted(set(range(cleaned.shape[1])) - {column for thing in things for column in thing})
    moved = np.flatnonzero(rng.random(count) < ELSEWHERE)
    made[moved[:, None], circumstances] = cleaned[rng.integers(0, rows, moved.size)][:, circumstances]
    changed = rng.integers(1, min(MOST_THINGS, len(things)) + 1, count)
    order = rng.random((count, len(things))).argsort(axis=1)
    sides = _Sides(cleaned)
    for place, thing in enumerate(things):
        hit = np.flatnonzero(order[:, place] < changed)
        together, only = rng.random(hit.size) < TOGETHER, rng.integers(0, len(thing), hit.size)
        how_far, swapped = rng.random(hit.size), rng.random(hit.size) < SWAPPED
        for member, column in enumerate(thing):
            here = together | (only == member)
            far = np.clip(how_far[here] + rng.normal(0, JITTER, here.sum()) * (len(thing) > 1), 0, 1)
            values = sides.values(column, far, rng)
            values = np.where(swapped[here], cleaned[rng.integers(0, rows, far.size), column], values)
            made[hit[here], column] = values
    return made.astype(np.float32)


class _Sides:
    """Where new values of each input lie."""

    def __init__(self, cleaned: np.ndarray) -> None:
        values = cleaned.astype(np.float64)
        self._low, self._high, self._median = values.min(axis=0), values.max(axis=0), np.median(values, axis=0)
        self._skewness = ((values - values.mean(axis=0)) ** 3).mean(axis=0) / (values.std(axis=0) ** 3 + 1e-9)

    def values(self, column: int, far: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """float64 [k] of an input, each `far` (0 to 1) on the way from the median to beyond its extreme."""
        low, high, median, leans = (a[column] for a in (self._low, self._high, self._median, self._skewness))
        up = np.full(far.size, leans > LEANS) if abs(leans) > LEANS else rng.random(far.size) < 0.5
        above, below = median + far * (high - median) * BEYOND, median - far * (median - low) * BEYOND
        values: np.ndarray = np.where(up, above, np.maximum(below, low) if low >= 0 else below)
        return values
