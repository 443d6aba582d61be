"""Counts how two models differ on the same rows: the evidence of the guard, without anything of a single row.

Counts of rows add up over commits, workers and partitions. Similarities of latents are one number for a block of rows.
"""

from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from models.manifest import Manifest
from models.runtime import Scored
from models.similarity import linear_cka
from schemas.comparison import TAIL, Pairs
from stream_app.pipeline.serving import SecondModel, Serving

LEVELS = (0.05, 0.1, 0.2, 0.5)
# Rows near the threshold, by their p-value in alert budgets: these show whether two calibrations differ. Rows far
# beyond it are strange to any model, and rows below it differ from one training to the next.
NEAR = (0.3, 1.25)
BLOCK = 64  # rows of one similarity: small, because each is one bet of the guard
CLIP_SD = 4.0  # one extreme event must not be the whole similarity
SMALLEST_P = 1e-12

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Counts:
    """See `schemas.comparison.Comparison`."""

    rows: int
    alerts: Pairs
    levels: list[float]
    exceedances: list[Pairs]
    tail_shift: list[int]
    similarities: list[float]


class ComparisonCounter:
    """Champion against candidate, on the rows that both have scored.

    Args:
        serving: The model in service.
        second: The candidate, or the previous model, which then is the champion.
    """

    def __init__(self, serving: Serving, second: SecondModel) -> None:
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
            first: Outputs of the serving model on m rows.
            second: Outputs of the other one.
            usable: bool [m], the rows that the other one could score.
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
        """The counts since the last call."""
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
        """Int64 [bins], log of champion's by candidate's p-value, of rows whose mean p-value is near the threshold."""
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
        similarities = linear_cka(*(rows[:whole].reshape(-1, BLOCK, rows.shape[1]) for rows in (x, y)))
        self._similarities += similarities[~np.isnan(similarities)].tolist()

    def _ordered(self, first: T, second: T) -> tuple[T, T]:
        """Champion, candidate."""
        return (first, second) if self._second_is_candidate else (second, first)


def _standard(latent: np.ndarray, manifest: Manifest) -> np.ndarray:
    """Latents in standard deviations of the model's own reference, clipped: float64 [m, latents]."""
    sd = np.sqrt(np.maximum(np.diag(np.array(manifest.latent_covariance)), 1e-12))
    return np.asarray(np.clip((latent - np.array(manifest.latent_mean)) / sd, -CLIP_SD, CLIP_SD))


def _pairs(champion: np.ndarray, candidate: np.ndarray) -> tuple[int, int, int]:
    both = int(np.count_nonzero(champion & candidate))
    return both, int(np.count_nonzero(champion)) - both, int(np.count_nonzero(candidate)) - both
