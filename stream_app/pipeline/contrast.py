"""Two models' outputs on the same rows in, counts out: all that the guard judges by, and nothing of a single row.

Everything but the similarity of the latents is counts of rows, so that commits, workers and partitions add up.
"""

from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from models.manifest import Manifest
from models.runtime import Scored
from schemas.comparison import TAIL, Pairs
from stream_app.pipeline.serving import Second, Serving

LEVELS = (0.05, 0.1, 0.2, 0.5)
# Rows near the threshold, by their p-value in alert budgets: there two calibrations part. Rows far beyond it are
# strange to any model, and those below it differ from one training to the next.
NEAR = (0.3, 1.25)
BLOCK = 64  # rows of one similarity: small, because each is one bet of the guard
CLIP_SD = 4.0  # one extreme transaction must not be the whole similarity
SMALLEST_P = 1e-12

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Counts:
    """What `Contrast` has counted; see `schemas.comparison.Comparison`."""

    rows: int
    alerts: Pairs
    levels: list[float]
    exceedances: list[Pairs]
    tail_shift: list[int]
    similarities: list[float]


class Contrast:
    """Champion against candidate, on the rows that both have scored.

    Args:
        serving: What serves.
        second: What scores beside it: the candidate, or the previous model (which then is the champion).
    """

    def __init__(self, serving: Serving, second: Second) -> None:
        self._second_is_candidate = second.is_candidate
        self._champion, self._candidate = self._ordered(serving.runtime.manifest, second.runtime.manifest)
        budget = max(self._champion.calibration.budget, self._candidate.calibration.budget)
        self._near = tuple(float(np.log(times * budget)) for times in NEAR)
        self._left = (np.empty((0, self._champion.latent_size)), np.empty((0, self._candidate.latent_size)))
        self._reset()

    def _reset(self) -> None:
        self._rows = 0
        self._pairs = np.zeros((1 + len(LEVELS), 3), dtype=np.int64)
        self._shift = np.zeros(len(TAIL), dtype=np.int64)
        self._similarities: list[float] = []

    def add(self, first: Scored, second: Scored, usable: np.ndarray) -> None:
        """Count rows in.

        Args:
            first: What the serving model says of m rows.
            second: What the other one says of them.
            usable: bool [m], the rows that the other could score.
        """
        champion, candidate = self._ordered(first.take(usable), second.take(usable))
        self._rows += len(champion.score)
        alerts = (
            champion.score >= self._champion.calibration.threshold,
            candidate.score >= self._candidate.calibration.threshold,
        )
        p = self._champion.calibration.p_values(champion.score), self._candidate.calibration.p_values(candidate.score)
        picked = [alerts, *((p[0] <= level, p[1] <= level) for level in LEVELS)]
        self._pairs += [_pairs(*masks) for masks in picked]
        self._shift += self._tail_shift(*p)
        self._compare_latents(champion.latent, candidate.latent)

    def drain(self) -> Counts:
        """What was counted since the last time."""
        alerts, *exceedances = (Pairs(*row) for row in self._pairs.tolist())
        counts = Counts(
            self._rows,
            alerts,
            list(LEVELS),
            exceedances,
            self._shift.tolist(),
            [round(s, 6) for s in self._similarities],
        )
        self._reset()
        return counts

    def _tail_shift(self, champion: np.ndarray, candidate: np.ndarray) -> np.ndarray:
        """Log of champion's by candidate's p-value, where their mean is near the threshold, by bins: int64 [bins]."""
        logs = np.log(np.maximum(champion, SMALLEST_P)), np.log(np.maximum(candidate, SMALLEST_P))
        mean = (logs[0] + logs[1]) / 2
        near = (mean > self._near[0]) & (mean <= self._near[1])
        places = np.rint(np.clip((logs[0] - logs[1])[near], TAIL[0], TAIL[-1]) * 10).astype(np.int64) - int(
            TAIL[0] * 10
        )
        return np.bincount(places, minlength=len(TAIL))

    def _compare_latents(self, champion: np.ndarray, candidate: np.ndarray) -> None:
        x = np.vstack((self._left[0], _standard(champion, self._champion)))
        y = np.vstack((self._left[1], _standard(candidate, self._candidate)))
        whole = len(x) // BLOCK * BLOCK
        self._left = x[whole:], y[whole:]
        self._similarities += similarity(x[:whole], y[:whole])

    def _ordered(self, first: T, second: T) -> tuple[T, T]:
        """Champion, candidate."""
        return (first, second) if self._second_is_candidate else (second, first)


def similarity(x: np.ndarray, y: np.ndarray) -> list[float]:
    """Linear CKA of two representations, block by block: 1 for the same up to rotation and scale, 0 for unrelated ones.

    Kornblith et al. 2019, Similarity of neural network representations revisited, section 3.

    Args:
        x: float [k * BLOCK, a].
        y: float [k * BLOCK, b], the same rows.
    """
    x, y = (block.reshape(-1, BLOCK, block.shape[1]) for block in (x, y))
    x, y = x - x.mean(axis=1, keepdims=True), y - y.mean(axis=1, keepdims=True)
    cross, own_x, own_y = (_norm(a, b) for a, b in ((x, y), (x, x), (y, y)))
    spread = np.sqrt(own_x * own_y)
    told = spread > 0
    return [float(value) for value in (cross[told] / spread[told]).clip(0.0, 1.0)]


def _norm(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Squared Frobenius norm of each block's x' y, float [k]."""
    product = np.matmul(x.transpose(0, 2, 1), y)
    return np.asarray(np.einsum("kab,kab->k", product, product))


def _standard(latent: np.ndarray, manifest: Manifest) -> np.ndarray:
    """Latents in standard deviations of the model's own reference, clipped: float64 [m, latents]."""
    sd = np.sqrt(np.maximum(np.diag(np.array(manifest.latent_covariance)), 1e-12))
    return np.asarray(np.clip((latent - np.array(manifest.latent_mean)) / sd, -CLIP_SD, CLIP_SD))


def _pairs(champion: np.ndarray, candidate: np.ndarray) -> tuple[int, int, int]:
    both = int(np.count_nonzero(champion & candidate))
    return both, int(np.count_nonzero(champion)) - both, int(np.count_nonzero(candidate)) - both
