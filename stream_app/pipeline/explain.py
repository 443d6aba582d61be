"""Finds the anomalies: rows over the threshold, how rare they are, and the inputs that contribute most."""

import numpy as np

from models.manifest import Calibration
from models.runtime import Scored
from schemas.scoring import Severity
from stream_app.pipeline.batch import Reasoned


def explain(scored: Scored, calibration: Calibration, top: int) -> Reasoned:
    """Pick and explain the anomalies of a batch.

    Args:
        scored: The model's outputs for m rows.
        calibration: Of that model.
        top: How many inputs to name with each anomaly.
    """
    rows = np.flatnonzero(scored.score >= calibration.threshold)
    if not rows.size:  # as a rule, where batches are small
        return Reasoned(rows, np.empty(0), [], np.empty((0, top), dtype=np.int64), np.empty((0, top)))
    contributions = scored.contributions[rows].astype(np.float64)
    strongest = np.argsort(-contributions, axis=1, kind="stable")[:, :top]
    total = contributions.sum(axis=1, keepdims=True)
    shares = np.take_along_axis(contributions / np.where(total > 0, total, 1.0), strongest, axis=1)
    p_values = calibration.p_values(scored.score[rows])
    severities = [_severity(p_value, calibration.budget) for p_value in p_values]
    return Reasoned(rows, p_values, severities, strongest, shares)


def _severity(p_value: float, budget: float) -> Severity:
    """By the p-value as a share of the alert budget: critical up to a hundredth, high up to a tenth."""
    if p_value <= budget / 100:
        return Severity.CRITICAL
    return Severity.HIGH if p_value <= budget / 10 else Severity.MEDIUM
