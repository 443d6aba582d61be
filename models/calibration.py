"""Maps scores to p-values and an alert budget to a threshold, fitted on rows that the model was not fitted to."""

import numpy as np
import polars as pl

from models.budget import BudgetKind, parsed, share_of_events
from models.data.sources import FRAUD
from models.manifest import Calibration

TAIL_ROWS = 100  # rows that the index of the tail is fitted on
FEWEST_ROWS = 10  # that are counted; beyond them is the tail
SMALLEST_P_VALUE = 1e-6


def calibrate(scores: np.ndarray, budget: float, promise: str = "") -> Calibration:
    """Fit p-values and threshold.

    Down to the tenth strangest row the exceedance is the empirical one; beyond it is a Pareto tail with Hill's estimate
    of its index (Hill 1975, A simple general approach to inference about the tail of a distribution) from the strangest
    hundred, or tenth where rows are few, so that p-values keep resolving where rows run out.

    Args:
        scores: float [n], positive, n >= 100, of rows that stand for the stream.
        budget: Share of such rows that may alert, in (0, 1).
        promise: The words that this share comes from; empty where it is what was asked for.
    """
    descending = np.sort(scores.astype(np.float64))[::-1]
    rows = descending.size
    tail = min(TAIL_ROWS, rows // 10)
    index = 1.0 / max(np.log(descending[: tail - 1] / descending[tail - 1]).mean(), 1e-3)
    counted = min(FEWEST_ROWS, tail)
    onset, share = descending[counted - 1], counted / rows
    body = np.geomspace(1.0, share, 80)
    beyond = np.geomspace(share, min(SMALLEST_P_VALUE, share / 10), 40)[1:]
    body_scores = descending[np.ceil(body * rows).astype(int).clip(1, rows) - 1]
    beyond_scores = onset * (share / beyond) ** (1.0 / index)
    points, kept = np.unique(np.concatenate([body_scores, beyond_scores]), return_index=True)
    exceedance = np.concatenate([body, beyond])[kept]
    threshold = float(np.interp(-budget, -exceedance, points))
    return Calibration(budget, threshold, points.tolist(), exceedance.tolist(), promise)


def calibrated(scores: np.ndarray, rows: pl.DataFrame, budget: float | str, times: pl.Series) -> Calibration:
    """Calibrate to a budget in any of its forms (`models.budget`).

    Args:
        scores: float [rows].
        rows: What was scored, with labels or without.
        budget: What may alert.
        times: Of the events that say how many a day has.

    Raises:
        BudgetError: it cannot be had on these rows.
    """
    asked = parsed(budget)
    fraud = rows[FRAUD].cast(pl.Float64).fill_null(float("nan")).to_numpy() if FRAUD in rows.columns else None
    share = share_of_events(asked, times, scores, fraud)
    return calibrate(scores, share, "" if asked.kind is BudgetKind.SHARE else str(budget))
