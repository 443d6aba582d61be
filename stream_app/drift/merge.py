"""Summaries of any partitions in, their sums out: the same whatever the split, up to the order of float additions."""

from dataclasses import dataclass
from itertools import chain

import numpy as np

from models.manifest import HOURS
from schemas.drift import DriftSummary


@dataclass(frozen=True, eq=False)
class Sums:
    """What is known of some transactions; columns are signals, in the order of the model's manifest.

    Attributes:
        scored: Transactions scored.
        dead_lettered: Records refused beside them.
        anomalies: Of the scored, those over the threshold.
        present: int64 [signals], values that were not missing.
        mean: float64 [signals], of those; 0 where there are none.
        m2: float64 [signals], sum of squared deviations from the mean.
        tail: int64 [signals], values beyond the reference's tail quantile.
        histogram: int64 [bins of all signals, one after the other].
        clipped: float64 [signals], sum of the clipped values.
        squares: float64 [signals], sum of their squares.
        products: float64 [products of the relations], sums.
        raw: float64 [inputs], sum of each in its own unit.
        hours: int64 [HOURS], transactions by hour.
    """

    scored: int
    dead_lettered: int
    anomalies: int
    present: np.ndarray
    mean: np.ndarray
    m2: np.ndarray
    tail: np.ndarray
    histogram: np.ndarray
    clipped: np.ndarray
    squares: np.ndarray
    products: np.ndarray
    raw: np.ndarray
    hours: np.ndarray

    @classmethod
    def of(cls, summary: DriftSummary) -> "Sums":
        """The sums that a summary carries."""
        present = summary.scored - np.array(summary.missing, dtype=np.int64)
        return cls(
            scored=summary.scored,
            dead_lettered=summary.dead_lettered,
            anomalies=summary.anomalies,
            present=present,
            mean=np.where(present > 0, summary.mean, 0.0),
            m2=np.where(present > 0, summary.m2, 0.0),
            tail=np.array(summary.tail, dtype=np.int64),
            histogram=np.fromiter(chain.from_iterable(summary.histogram), dtype=np.int64),
            clipped=np.array(summary.clipped, dtype=np.float64),
            squares=np.array(summary.squares, dtype=np.float64),
            products=np.array(summary.products, dtype=np.float64),
            raw=np.array(summary.raw, dtype=np.float64),
            hours=np.array(summary.hours or [0] * HOURS, dtype=np.int64),
        )

    def __add__(self, other: "Sums") -> "Sums":
        """Both together; means and deviations by Chan, Golub and LeVeque (1983), equation 2.1."""
        present = self.present + other.present
        share = other.present / np.maximum(present, 1)
        apart = other.mean - self.mean
        return Sums(
            scored=self.scored + other.scored,
            dead_lettered=self.dead_lettered + other.dead_lettered,
            anomalies=self.anomalies + other.anomalies,
            present=present,
            mean=self.mean + apart * share,
            m2=self.m2 + other.m2 + apart**2 * self.present * share,
            tail=self.tail + other.tail,
            histogram=self.histogram + other.histogram,
            clipped=self.clipped + other.clipped,
            squares=self.squares + other.squares,
            products=self.products + other.products,
            raw=self.raw + other.raw,
            hours=self.hours + other.hours,
        )
