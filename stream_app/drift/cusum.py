"""Page's cumulative sums (1954) of all statistics at once.

A sum grows while its statistic stays away from the reference by more than an allowance, and falls back to 0 otherwise.
Half of the smallest shift that matters is the allowance that finds that shift soonest (Lorden 1971, Procedures for
reacting to a change in distribution); a fixed reference makes it quicker than a window that first has to learn.
"""

from dataclasses import dataclass
from math import log

import numpy as np

from schemas.drift import StatisticKind
from stream_app.drift.standardise import Observation, Reference

# In standard deviations of a block. Second moments have a heavier tail than means.
LIMITS = {
    StatisticKind.MEAN: 24.0,
    StatisticKind.SPREAD: 30.0,
    StatisticKind.TAIL: 22.0,
    StatisticKind.PRODUCT: 22.0,
    StatisticKind.SHARE: 18.0,
}
# Factor on the error of the reference: a few customers decide a second moment.
REFERENCE_ERRORS = {
    StatisticKind.MEAN: 1.0,
    StatisticKind.SPREAD: 1.5,
    StatisticKind.TAIL: 1.0,
    StatisticKind.PRODUCT: 1.5,
    StatisticKind.SHARE: 0.0,
}
LEAST_ALLOWANCE = 0.5
SHARE_ALLOWANCE = 1.5
# Most that one block counts: a stuck client is no drift of the stream.
LARGEST_STEP = 20.0


@dataclass(frozen=True, slots=True)
class Bound:
    """Sensitivity of the detectors.

    Attributes:
        effect: Smallest shift that matters, in reference standard deviations.
        monitors: How many monitors of the same stream share the error bounds.
        reference_error: How far a mean of the reference itself may be off, in its standard deviations.
    """

    effect: float
    monitors: int = 1
    reference_error: float = 0.0


class Cusum:
    """Two sums for each statistic, upwards and downwards.

    Attributes:
        reference_error: float64 [statistics], how far the reference may be off.
        begins: int64 [statistics], number of the block in which the present rise began.
    """

    def __init__(self, reference: Reference, bound: Bound) -> None:
        statistics = reference.statistics
        # By chance a sum is so high with odds of exp(-2 * allowance * limit): a share of the error costs its logarithm
        shared = log(bound.monitors) / (2 * LEAST_ALLOWANCE)
        self._limit = np.array([LIMITS[s.kind] for s in statistics]) + shared
        self._shares = reference.shares
        self._least_shift = bound.effect / 2
        self.reference_error = bound.reference_error * np.array([REFERENCE_ERRORS[s.kind] for s in statistics])
        self._sums = np.zeros((2, len(statistics)))
        self._begins = np.zeros((2, len(statistics)), dtype=np.int64)

    def update(self, observation: Observation, block: int) -> list[int]:
        """Take the next block.

        Args:
            observation: Of the block.
            block: Its number.

        Returns:
            Columns that are over their limit now.
        """
        score = np.clip(np.nan_to_num(observation.shift / observation.noise), -LARGEST_STEP, LARGEST_STEP)
        allowance = np.maximum(self._least_shift / observation.noise, LEAST_ALLOWANCE)
        allowance += self.reference_error / observation.noise
        allowance[self._shares] = SHARE_ALLOWANCE
        risen = self._sums + np.stack([score, -score]) - allowance
        self._begins = np.where((self._sums > 0) & (risen > 0), self._begins, block)
        self._sums = np.clip(risen, 0.0, 2 * self._limit)
        return np.flatnonzero((self._sums >= self._limit).any(axis=0)).tolist()

    @property
    def begins(self) -> np.ndarray:
        """int64 [statistics], number of the block in which the larger sum began to rise."""
        begins: np.ndarray = np.take_along_axis(self._begins, self._sums.argmax(axis=0)[None], axis=0)[0]
        return begins

    def reset(self, columns: list[int]) -> None:
        """Begin anew."""
        self._sums[:, columns] = 0.0
