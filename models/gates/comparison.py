"""Candidate and champion on the same transactions: scores, latents and decisions, row by row."""

from dataclasses import dataclass
from datetime import date
from functools import cached_property

import numpy as np
import polars as pl

from models.gates.limits import Limits
from models.inputs import matrix
from models.protocol import BATCH, DAY, EvaluationError, protocol_rows
from models.runtime import Runtime, one_thread


@dataclass(frozen=True)
class Side:
    """One model on the rows.

    Attributes:
        runtime: The model.
        inputs: float32 [rows, its inputs], raw, NaN where missing.
        score: float32 [rows].
        latent: float64 [rows, its latents].
    """

    runtime: Runtime
    inputs: np.ndarray
    score: np.ndarray
    latent: np.ndarray

    @property
    def threshold(self) -> float:
        """Of this model, calibrated to its own budget."""
        return self.runtime.manifest.calibration.threshold

    @cached_property
    def alerts(self) -> np.ndarray:
        """Which rows alert, bool [rows]."""
        return np.asarray(self.score >= self.threshold)

    @cached_property
    def p_values(self) -> np.ndarray:
        """float64 [rows], by this model's calibration, which makes scores of two models comparable."""
        return self.runtime.manifest.calibration.p_values(self.score)


@dataclass(frozen=True)
class GateComparison:
    """Both models on the same rows.

    Attributes:
        candidate: The model that is to serve.
        champion: The model that serves.
        frame: The rows, sorted by time.
        fraud: bool [rows]; None without labels: the column is missing, or has one value only.
        measured: bool [rows], the rows that accuracy is measured on (`models.protocol.protocol_rows`).
    """

    candidate: Side
    champion: Side
    frame: pl.DataFrame
    fraud: np.ndarray | None
    measured: np.ndarray

    @property
    def is_recalibration(self) -> bool:
        """Whether both give the same scores by the same graph, so that the calibration is all that differs."""
        return self.candidate.runtime.differs_in_calibration_alone(self.champion.runtime)

    @cached_property
    def legitimate(self) -> np.ndarray:
        """Row numbers of legitimate events; without labels, of the rows that the champion lets pass."""
        return np.flatnonzero(~(self.champion.alerts if self.fraud is None else self.fraud))


def compare(
    candidate: Runtime,
    champion: Runtime,
    frame: pl.DataFrame,
    limits: Limits,
    since: date | None = None,
    until: date | None = None,
) -> GateComparison:
    """Score the same rows with both.

    Args:
        candidate: The model that is to serve.
        champion: The model that serves.
        frame: As `models.data.frame.read` returns it, with or without labels; before `since`, history that makes
            compromised customers known.
        limits: Give the number of rows to compare: the newest whole days up to it.
        since: First day to compare. None: the first of the frame.
        until: Last day. None: the last of the frame.

    Raises:
        EvaluationError: no rows in these days.
        DefinitionError: the frame lacks an input of a model.
    """
    rows = newest_days(_within(frame, since, until), limits.sample.rows)
    measured = np.ones(rows.height, dtype=bool)
    fraud = rows["fraud"].to_numpy() if "fraud" in rows.columns else None
    if fraud is None or not fraud.any() or fraud.all():
        fraud = None
    else:
        first, last = (rows["event_time"][place].date() for place in (0, -1))
        kept = protocol_rows(frame, first, last, blocks=candidate.manifest.definition.blocks)
        measured = rows["event_id"].is_in(kept["event_id"].implode()).to_numpy()
    return GateComparison(_side(candidate, rows), _side(champion, rows), rows, fraud, measured)


def newest_days(frame: pl.DataFrame, most: int) -> pl.DataFrame:
    """The newest whole days that together have at most so many rows, and the newest day in any case."""
    per_day = frame.group_by(DAY.alias("day")).len().sort("day", descending=True)
    fits = (per_day["len"].cum_sum() <= most).sum()
    first = per_day["day"][max(int(fits), 1) - 1]
    return frame.filter(first <= DAY)


def _within(frame: pl.DataFrame, since: date | None, until: date | None) -> pl.DataFrame:
    kept = frame.filter(DAY.is_between(since or date.min, until or date.max))
    if kept.is_empty():
        raise EvaluationError("no events to compare on in these days: ask for days that the data holds")
    return kept


def _side(runtime: Runtime, rows: pl.DataFrame) -> Side:
    inputs = matrix(rows, runtime.manifest.inputs, runtime.manifest.categories)
    with one_thread():
        scored = [runtime.score(inputs[i : i + BATCH]) for i in range(0, len(inputs), BATCH)]
    latent = np.concatenate([batch.latent for batch in scored]).astype(np.float64)
    return Side(runtime, inputs, np.concatenate([batch.score for batch in scored]), latent)
