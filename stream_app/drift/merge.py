"""Sums of summaries: of any partitions and commits, the same whatever the split, up to the order of float additions."""

from dataclasses import dataclass, fields
from itertools import chain

import numpy as np

from schemas.drift import DriftSummary, SignalSums


@dataclass(frozen=True, eq=False)
class Sums:
    """Sufficient statistics of some events; columns are signals, in the order of the model's manifest.

    Attributes:
        scored: Events scored.
        dead_lettered: Records refused beside them.
        anomalies: Of the scored, those over the threshold.
        present: int64 [signals], values that were not missing.
        total: float64 [signals], sum of the values that were not missing.
        tail: int64 [signals], values beyond the reference's tail quantile.
        histogram: int64 [bins of all signals, one after the other].
        clipped: float64 [signals], sum of the clipped values.
        squares: float64 [signals], sum of their squares.
        products: float64 [products of the relations], sums.
        raw: float64 [inputs], sum of each in its own unit.
        hours: int64 [HOURS], events by hour.
    """

    scored: int
    dead_lettered: int
    anomalies: int
    present: np.ndarray
    total: np.ndarray
    tail: np.ndarray
    histogram: np.ndarray
    clipped: np.ndarray
    squares: np.ndarray
    products: np.ndarray
    raw: np.ndarray
    hours: np.ndarray

    @classmethod
    def of(cls, summary: DriftSummary, sums: SignalSums) -> "Sums":
        """Of one summary and its sums."""
        present = summary.scored - np.array(sums.missing, dtype=np.int64)
        return cls(
            scored=summary.scored,
            dead_lettered=summary.dead_lettered,
            anomalies=summary.anomalies,
            present=present,
            total=np.where(present > 0, sums.mean, 0.0) * present,
            tail=np.array(sums.tail, dtype=np.int64),
            histogram=np.fromiter(chain.from_iterable(sums.histogram), dtype=np.int64),
            clipped=np.array(sums.clipped, dtype=np.float64),
            squares=np.array(sums.squares, dtype=np.float64),
            products=np.array(sums.products, dtype=np.float64),
            raw=np.array(sums.raw, dtype=np.float64),
            hours=np.array(sums.hours, dtype=np.int64),
        )

    @property
    def mean(self) -> np.ndarray:
        """float64 [signals], of the values that were not missing; 0 where all were."""
        mean: np.ndarray = self.total / np.maximum(self.present, 1)
        return mean

    def __add__(self, other: "Sums") -> "Sums":
        """Of both together."""
        return Sums(*(getattr(self, field.name) + getattr(other, field.name) for field in fields(self)))
