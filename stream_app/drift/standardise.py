"""Blocks in, statistics in units of the model's reference out: 0 is as the reference, 1 is one standard deviation away.

Three statistics of a signal. The mean. The spread, from the histogram in normal scores, so that the few far values of
heavy tails do not drown a change of the bulk. The share of missing values, whose reference is 0.

Not every signal is watched. Night and weekend look like drift in whatever depends on the calendar flags: the flags,
and for a model that reads them the score and the latents too. The other inputs and their residuals hardly depend on
them, and score and latents are functions of the inputs: little goes unseen that these do not show.
"""

from enum import StrEnum
from statistics import NormalDist
from typing import NamedTuple

import numpy as np

from models.manifest import Manifest, SignalReference
from stream_app.drift.merge import Sums

CALENDAR = frozenset({"features.during_weekend", "features.during_night"})
DEAD_LETTERS = "dead_letters"
# A distribution on so few bins has hardly a spread that its mean does not tell.
FEWEST_BINS_WITH_SPREAD = 6


class Detector(StrEnum):
    """Which change of a signal, as alerts name it."""

    MEAN = "adwin_mean"
    SPREAD = "adwin_spread"
    SHARE = "adwin_share"


class Statistic(NamedTuple):
    """One column of what the detectors see."""

    signal: str
    detector: Detector


class Standard:
    """The reference of one model, as arrays.

    Args:
        manifest: The model's.

    Attributes:
        statistics: The columns of `of`.
        residuals: Numbers of those that are about a residual.
    """

    def __init__(self, manifest: Manifest) -> None:
        signals, watched = manifest.signals, watched_signals(manifest)
        self._mean = np.array([signal.mean for signal in signals])
        self._std = np.array([signal.std for signal in signals])
        self._starts = np.concatenate(([0], np.cumsum([len(signal.shares) for signal in signals])[:-1]))
        self._scores = np.concatenate([normal_scores(signal) for signal in signals])
        names = [signal.name for signal in signals]
        self._means = [i for i, name in enumerate(names) if name in watched]
        self._spreads = [i for i in self._means if len(signals[i].shares) >= FEWEST_BINS_WITH_SPREAD]
        self._shares = [i for i in self._means if names[i].startswith("input:")]
        self.statistics = (
            *(Statistic(names[i], Detector.MEAN) for i in self._means),
            *(Statistic(names[i], Detector.SPREAD) for i in self._spreads),
            *(Statistic(names[i], Detector.SHARE) for i in self._shares),
            Statistic(DEAD_LETTERS, Detector.SHARE),
        )
        self.residuals = frozenset(i for i, s in enumerate(self.statistics) if s.signal.startswith("residual:"))

    def of(self, sums: Sums) -> np.ndarray:
        """float64 [statistics]; NaN where every value was missing."""
        absent = sums.present == 0
        mean = np.where(absent, np.nan, (sums.mean - self._mean) / self._std)
        counts = np.where(absent, 1, sums.present)
        first = np.add.reduceat(self._scores * sums.histogram, self._starts) / counts
        second = np.add.reduceat(self._scores**2 * sums.histogram, self._starts) / counts
        spread = np.where(absent, np.nan, np.sqrt(np.maximum(second - first**2, 0.0)) - 1)
        missing = 1 - sums.present / sums.scored
        refused = sums.dead_lettered / (sums.scored + sums.dead_lettered)
        return np.concatenate((mean[self._means], spread[self._spreads], missing[self._shares], [refused]))


def watched_signals(manifest: Manifest) -> frozenset[str]:
    """Names of the signals that do not follow the calendar, see the module's docstring."""
    calendar = {entry.name for entry in manifest.inputs if entry.path in CALENDAR}
    return frozenset(
        name
        for name in manifest.signal_names
        if (field := field_of(name)) not in calendar and (field is not None or not calendar)
    )


def field_of(signal: str) -> str | None:
    """The input that a signal is about; None for the score, latents and dead letters."""
    kind, _, name = signal.partition(":")
    return name if kind in {"input", "residual"} else None


def normal_scores(signal: SignalReference) -> np.ndarray:
    """For each bin the mean of a standard normal variable in the same quantile range, scaled to unit variance.

    The mean of a normal between a and b is (pdf(a) - pdf(b)) / share (Johnson, Kotz and Balakrishnan 1994, 13.10).

    Returns:
        float64 [bins]; under the reference's shares their mean is 0 and their variance 1.
    """
    normal = NormalDist()
    shares = np.maximum(signal.shares, 1e-9)
    borders = np.cumsum(shares)[:-1] / shares.sum()
    density = np.array([0.0, *(normal.pdf(normal.inv_cdf(border)) for border in borders), 0.0])
    scores: np.ndarray = -np.diff(density) / (shares / shares.sum())
    deviation = np.sqrt((shares / shares.sum()) @ scores**2)
    return scores / deviation if deviation > 0 else scores
