"""A block's statistics in, findings out: River's ADWIN says that something changed, a gate that it matters.

ADWIN (Bifet and Gavalda 2007) compares the two halves of every cut of its window, so it needs no season's length and no
threshold; one error bound is shared over all statistics (Bonferroni). It sees changes in either direction, the end of a
drift as well as its beginning: the gate asks how far from the reference the last blocks are, and lets the first pass.
"""

from collections import deque

import numpy as np

CLIP = 4.0
RECENT_BLOCKS = 4
# A change that ADWIN has seen may need more blocks to fill the recent mean; after that it was too small.
LATCH_BLOCKS = 8


class Detectors:
    """One ADWIN for each statistic, and the gate.

    Args:
        statistics: How many.
        block_events: Transactions in a block. ADWIN is handed standard errors of such a block: its bound has a part in
            the units of the values, and on plain means that part would hide shifts below half a standard deviation.
        delta: Error bound of all together.
        effect: Smallest distance from the reference that matters, in its standard deviations.
    """

    def __init__(self, statistics: int, block_events: int, delta: float, effect: float) -> None:
        from river.drift import ADWIN  # seconds of imports, which would stand before a worker's first score

        self._windows = [
            ADWIN(  # type: ignore[no-untyped-call]
                delta=delta / statistics, clock=1, min_window_length=1, grace_period=RECENT_BLOCKS
            )
            for _ in range(statistics)
        ]
        self._precision = block_events**0.5
        self._effect = effect
        self._blocks = 0
        self._recent: deque[np.ndarray] = deque(maxlen=RECENT_BLOCKS)
        self._latched: dict[int, int] = {}

    def update(self, statistics: np.ndarray) -> list[int]:
        """Take the next block.

        Args:
            statistics: float64 [statistics], in reference standard deviations; NaN is no observation.

        Returns:
            Columns of the statistics that have left their reference.
        """
        clipped = np.clip(statistics, -CLIP, CLIP)
        self._recent.append(clipped)
        for column in np.flatnonzero(~np.isnan(clipped)).tolist():
            window = self._windows[column]
            window.update(float(clipped[column]) * self._precision)  # type: ignore[no-untyped-call]
            if window.drift_detected:  # holds until the next update only
                self._latched[column] = self._blocks + LATCH_BLOCKS
        self._blocks += 1
        away = self.away
        findings = [column for column in self._latched if away[column]]
        self._latched = {
            column: last for column, last in self._latched.items() if not away[column] and last >= self._blocks
        }
        return findings

    @property
    def away(self) -> np.ndarray:
        """Which are away from the reference now (bool [statistics]), whether or not a change was seen."""
        seen = np.array(self._recent)
        counts = np.maximum((~np.isnan(seen)).sum(axis=0), 1)
        beyond: np.ndarray = np.abs(np.nansum(seen, axis=0) / counts) >= self._effect
        return beyond


def change_point(values: np.ndarray) -> int:
    """Where values that are away from 0 by now have left it: the estimate of Page's cumulative sums (1954).

    ADWIN says that there was a change, but drops its window bucket by bucket, so what it keeps begins too early.

    Args:
        values: float64 [n], the newest last; NaN where nothing was observed, which counts as 0.

    Returns:
        Index of the first value after the change.
    """
    known = np.nan_to_num(values)
    level = known[-RECENT_BLOCKS:].mean()
    evidence = np.sign(level) * known - abs(level) / 2
    return int(np.argmax(np.cumsum(evidence[::-1])[::-1]))
