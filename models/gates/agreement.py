"""Overlap of the two sets of alerts: their Jaccard index (Jaccard 1912)."""

import numpy as np

from models.gates.comparison import GateComparison
from models.gates.limits import Limits
from models.gates.report import Gate, Measure, judged

NAME = "agreement of alerts"
WHY = "the same number of other alerts is another detector: what analysts and rules have learnt no longer holds"


def gate(comparison: GateComparison, limits: Limits) -> Gate:
    """The overlap must reach the limit."""
    ours, theirs = comparison.candidate.alerts, comparison.champion.alerts
    overlap = Measure("Jaccard index", jaccard(ours, theirs), least=limits.agreement.jaccard_least)
    return judged(NAME, WHY, [overlap], f"{int((ours & ~theirs).sum()):,} gained, {int((theirs & ~ours).sum()):,} lost")


def jaccard(a: np.ndarray, b: np.ndarray) -> float:
    """Size of the intersection relative to the union, 0 to 1; 1 for two empty sets.

    Args:
        a: bool [n].
        b: bool [n].
    """
    either = int((a | b).sum())
    return int((a & b).sum()) / either if either else 1.0
