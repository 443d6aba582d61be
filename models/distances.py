"""Counts in the reference's bins in, distances from the reference out: how different, without a verdict.

Sampling alone gives a PSI of about (bins - 1) / n, and what follows the calendar has a large one every night.
"""

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
    """

    psi: float
    kl: float
    js: float


def distances(counts: np.ndarray, shares: np.ndarray) -> Distances:
    """Compare a histogram with the reference.

    Args:
        counts: int [bins], the window's.
        shares: float64 [bins], the reference's, sum 1.
    """
    window = _smooth(counts, float(counts.sum()))
    reference = _smooth(shares * counts.sum(), float(counts.sum()))
    middle = (window + reference) / 2
    there, back = _divergence(window, reference), _divergence(reference, window)
    return Distances(psi=there + back, kl=there, js=(_divergence(window, middle) + _divergence(reference, middle)) / 2)


def _smooth(counts: np.ndarray, total: float) -> np.ndarray:
    return (counts + PSEUDO_COUNT) / (total + PSEUDO_COUNT * len(counts))


def _divergence(p: np.ndarray, q: np.ndarray) -> float:
    return float(p @ np.log(p / q))
