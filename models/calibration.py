"""Maps scores to p-values and an alert budget to a threshold, fitted on held-out rows without labels."""

import numpy as np

from models.manifest import Calibration

TAIL_ROWS = 100  # rows that the index of the tail is fitted on
FEWEST_ROWS = 10  # that are counted; beyond them is the tail
SMALLEST_P_VALUE = 1e-6


def calibrate(scores: np.ndarray, budget: float) -> Calibration:
    """Fit p-values and threshold.

    Down to the tenth strangest row the exceedance is the empirical one; beyond it is a Pareto tail with Hill's estimate
    of its index (Hill 1975, A simple general approach to inference about the tail of a distribution) from the strangest
    hundred, or tenth where rows are few, so that p-values keep resolving where rows run out.

    Args:
        scores: float [n], positive, n >= 100, of rows that stand for the stream.
        budget: Share of such rows that may alert, in (0, 1).
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
    return Calibration(budget, float(np.interp(-budget, -exceedance, points)), points.tolist(), exceedance.tolist())
