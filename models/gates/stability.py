"""Whether the latents of legitimate events keep their geometry.

Two latent spaces have no common axes: a retraining may rotate, mirror and scale them without changing their meaning. So
similarities between events are compared: of all pairs by linear CKA, of nearest neighbours by their overlap.
"""

import numpy as np

from models.gates.comparison import GateComparison
from models.gates.limits import Limits
from models.gates.report import Gate, Measure, judged
from models.similarity import linear_cka

NAME = "latent stability"
WHY = (
    "legitimate events that move in the latent space change what is strange: false positives follow, and so do "
    "drift alerts and everything else that reads latents"
)


def gate(comparison: GateComparison, limits: Limits) -> Gate:
    """Both measures must reach their limits."""
    legitimate = comparison.legitimate
    ours, theirs = comparison.candidate.latent, comparison.champion.latent
    rng = np.random.default_rng(limits.sample.seed)
    drawn = rng.choice(legitimate, min(limits.sample.latent_rows, len(legitimate)), replace=False)
    k = limits.stability.neighbours
    overlap = neighbour_overlap(ours[drawn], theirs[drawn], k)
    cka = float(np.nan_to_num(linear_cka(ours[legitimate], theirs[legitimate])))  # 0 for a constant representation
    measures = [
        Measure("CKA", cka, least=limits.stability.cka_least),
        Measure(f"overlap of {k} neighbours", overlap, least=limits.stability.neighbour_overlap_least),
    ]
    return judged(NAME, WHY, measures, f"on {len(legitimate):,} legitimate events")


def neighbour_overlap(x: np.ndarray, y: np.ndarray, k: int) -> float:
    """Mean share of each row's k nearest other rows (Euclidean) that are the same in both, 0 to 1.

    Unchanged by rotation, mirroring and scaling of either. By chance it would be k / (n - 1).

    Args:
        x: float64 [n, a].
        y: float64 [n, b], of the same rows.
        k: How many; where n is smaller, n - 1.
    """
    k = min(k, len(x) - 1)
    if k < 1:
        return 1.0
    return float((_is_neighbour(x, k) & _is_neighbour(y, k)).sum() / (len(x) * k))


def _is_neighbour(x: np.ndarray, k: int) -> np.ndarray:
    """Whether column j is among the k nearest neighbours of row i, bool [n, n]."""
    x = x - x.mean(axis=0)  # the squares below lose digits to a common offset
    square = np.square(x).sum(axis=1)
    distance = square[:, None] - 2 * (x @ x.T) + square
    np.fill_diagonal(distance, np.inf)
    nearest = np.argpartition(distance, k - 1, axis=1)[:, :k]
    found = np.zeros(distance.shape, dtype=bool)
    np.put_along_axis(found, nearest, values=True, axis=1)
    return found
