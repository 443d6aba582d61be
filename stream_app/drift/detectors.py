"""Finds statistics that have left their reference: cumulative sums see a step soon, River's ADWIN a slow change.

ADWIN (Bifet and Gavalda 2007) compares the two halves of every cut of its window, so it needs no threshold; one error
bound is shared over all statistics (Bonferroni). It is handed several blocks at a time: it looks for what is slow. It
sees changes in either direction, the end of a drift as well as its beginning: a gate asks how far from the reference
the last blocks are, and lets the first pass.
"""

from collections import deque
from collections.abc import Iterable

import numpy as np
from river._river_rust.drift import AdaptiveWindowing

from schemas.drift import StatisticKind
from stream_app.drift.cusum import Bound, Cusum
from stream_app.drift.standardise import Observation, Reference

CLIP = 4.0
POOLED_EVENTS = 256
RECENT_EVENTS = 1024
# A change that ADWIN has seen may need more of the pooled blocks to show in the recent mean; then it was too small.
LATCH_POOLED = 8
GRACE_POOLED = 4
DELTA = 0.002  # ADWIN's error bound, shared by all statistics and all monitors of a model


def blocks_of(events: int, block_events: int) -> int:
    """How many blocks hold so many events."""
    return max(-(-events // block_events), 1)


class Detectors:
    """The detectors of one model.

    Args:
        block_events: Events in a block.

    Attributes:
        recent: Mean shift of the last blocks, float64 [statistics]; 0 where nothing was observed.
    """

    def __init__(self, reference: Reference, block_events: int, bound: Bound) -> None:
        columns = [
            i for i, s in enumerate(reference.statistics) if s.kind not in {StatisticKind.SHARE, StatisticKind.TAIL}
        ]
        self._delta = DELTA / bound.monitors / max(len(columns), 1)
        self._windows = {column: self._window() for column in columns}
        self.cusum = Cusum(reference, bound)
        self._pooled = blocks_of(POOLED_EVENTS, block_events)
        # In standard errors: ADWIN's bound has a part in the units of the values, which would hide small shifts.
        self._precision = (self._pooled * block_events) ** 0.5
        self._effect = bound.effect + self.cusum.reference_error
        self._recent: deque[np.ndarray] = deque(maxlen=blocks_of(RECENT_EVENTS, block_events))
        self._latched: dict[int, int] = {}
        self.recent = np.zeros(len(reference.statistics))

    def update(self, observation: Observation, block: int) -> dict[int, int]:
        """Take the next block.

        Args:
            observation: Of the block.
            block: Its number.

        Returns:
            Columns of the statistics that have left their reference, each with the block in which that began.
        """
        self._recent.append(np.clip(observation.shift, -CLIP, CLIP))
        self.recent = np.nan_to_num(_mean(self._recent))
        over = self.cusum.update(observation, block)
        begins = self.cusum.begins if over else ()
        findings = {column: int(begins[column]) for column in over}
        if (block + 1) % self._pooled == 0:
            self._feed_windows(block)
        far = np.abs(self.recent) >= self._effect
        for column in [column for column in self._latched if far[column]]:
            del self._latched[column]
            findings.setdefault(column, block - len(self._recent) + 1)
        return findings

    def _feed_windows(self, block: int) -> None:
        pooled = _mean(list(self._recent)[-self._pooled :])
        self._latched = {column: last for column, last in self._latched.items() if last >= block}
        for column, window in self._windows.items():
            if np.isnan(pooled[column]):
                continue
            if window.update(float(pooled[column]) * self._precision):
                self._windows[column] = self._window()
                self._latched[column] = block + LATCH_POOLED * self._pooled

    def _window(self) -> AdaptiveWindowing:
        """What `river.drift.ADWIN` wraps, and replaces after each detection.

        Importing that takes pandas, SciPy and scikit-learn along: 165 MB and seconds of CPU in every worker.
        """
        return AdaptiveWindowing(delta=self._delta, clock=1, min_window_length=1, grace_period=GRACE_POOLED)

    def reset(self, columns: Iterable[int] | None) -> None:
        """Forget the past of statistics whose incident is over. None: of all."""
        chosen = list(range(len(self._recent[-1]))) if columns is None else list(columns)
        self.cusum.reset(chosen)
        for column in chosen:
            self._latched.pop(column, None)


def _mean(shifts: Iterable[np.ndarray]) -> np.ndarray:
    """Mean of each statistic over the blocks that observed it; NaN if none did."""
    seen = np.array(list(shifts))
    known = ~np.isnan(seen)
    counts = known.sum(axis=0)
    means: np.ndarray = np.where(counts > 0, np.where(known, seen, 0.0).sum(axis=0) / np.maximum(counts, 1), np.nan)
    return means


def change_interval(values: np.ndarray, found: int, level: float) -> tuple[int, int]:
    """The stretch in which values are away from 0: Page's cumulative sums (1954) from the finding to both sides.

    The stretch maximises the likelihood of a normal mean that is `level` in it and 0 outside, the alternative of an
    epidemic change (Levin and Kline 1985).

    Args:
        values: float64 [n], the newest last.
        found: Index of a value that is away.
        level: How far, about.

    Returns:
        Index of its first value, and of the one after its last.
    """
    evidence = np.sign(level) * values - abs(level) / 2
    begins = int(np.argmax(np.cumsum(evidence[found::-1])[::-1]))
    return begins, found + 1 + int(np.argmax(np.cumsum(evidence[found:])))
