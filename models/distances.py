"""Distances between counts in the reference's bins and the reference; what they mean is for others to judge.

Sampling alone gives a PSI of about (bins - 1) / n. What follows the calendar has a large one every night against a
fixed reference: the one to compare with is mixed of the hours that the window holds.
"""

from statistics import NormalDist
from typing import NamedTuple

import numpy as np

# Added to every bin: one that is empty by chance is no proof that it has become impossible (Jeffreys' prior).
PSEUDO_COUNT = 0.5


class Distances(NamedTuple):
    """How far a window is from the reference.

    Attributes:
        psi: Population stability index, the sum of both Kullback-Leibler divergences (Jeffreys 1946).
        kl: Kullback-Leibler divergence of the window from the reference, in nats.
        js: Jensen-Shannon divergence, in nats: at most ln 2 (Lin 1991).
        wasserstein: Work to move the one to the other, in reference standard deviations (Vallender 1974, in one
            dimension the area between the distribution functions); within a bin nothing is moved.
    """

    psi: float
    kl: float
    js: float
    wasserstein: float


def distances(counts: np.ndarray, shares: np.ndarray, places: np.ndarray | None = None) -> Distances:
    """Compare a histogram with the reference.

    Args:
        counts: int [bins], the window's.
        shares: float64 [bins], the reference's, sum 1.
        places: float64 [bins], where each bin stands, in reference standard deviations. None: as in a normal.
    """
    window = _smooth(counts, float(counts.sum()))
    reference = _smooth(shares * counts.sum(), float(counts.sum()))
    middle = (window + reference) / 2
    there, back = _divergence(window, reference), _divergence(reference, window)
    return Distances(
        psi=there + back,
        kl=there,
        js=(_divergence(window, middle) + _divergence(reference, middle)) / 2,
        wasserstein=float(
            np.abs(np.cumsum(window - reference)[:-1]) @ np.diff(normal_scores(shares) if places is None else places)
        ),
    )


def normal_scores(shares: np.ndarray) -> np.ndarray:
    """Where bins stand: for each the mean of a standard normal variable in the same quantile range.

    The mean of a normal between a and b is (pdf(a) - pdf(b)) / share (Johnson, Kotz and Balakrishnan 1994, 13.10).

    Args:
        shares: float64 [bins], of the reference.
    """
    normal = NormalDist()
    shares = np.maximum(shares, 1e-9) / np.maximum(shares, 1e-9).sum()
    borders = np.clip(np.cumsum(shares)[:-1], 1e-9, 1 - 1e-9)
    density = np.array([0.0, *(normal.pdf(normal.inv_cdf(border)) for border in borders), 0.0])
    scores: np.ndarray = -np.diff(density) / shares
    return scores


def _smooth(counts: np.ndarray, total: float) -> np.ndarray:
    return (counts + PSEUDO_COUNT) / (total + PSEUDO_COUNT * len(counts))


def _divergence(p: np.ndarray, q: np.ndarray) -> float:
    return float(p @ np.log(p / q))
