"""Whether scores keep their meaning: both models' p-values on the same rows, as histograms.

Scores of two models have no common unit; p-values, each by its own calibration, have. Rules and severities read the
p-value.
"""

import numpy as np

from models.distances import Distances, distances
from models.gates.comparison import GateComparison
from models.gates.limits import Limits
from models.gates.report import Gate, Measure, judged

NAME = "score distribution"
WHY = "severities and downstream rules are set on p-values: a candidate whose p-values lie elsewhere moves all of them"
# Ascending; finer towards small p-values, where decisions are made.
EDGES = np.array([0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9])


def gate(comparison: GateComparison, limits: Limits) -> Gate:
    """Both distances must stay within their limits."""
    found = moved(comparison.candidate.p_values, comparison.champion.p_values)
    measures = [
        Measure("PSI", found.psi, most=limits.shift.psi_most),
        Measure("KL divergence", found.kl, most=limits.shift.kl_most),
    ]
    return judged(NAME, WHY, measures)


def moved(p_values: np.ndarray, reference: np.ndarray) -> Distances:
    """How far the distribution of p-values is from the reference's, on `EDGES`.

    Args:
        p_values: float [n].
        reference: float [m].
    """
    return distances(_counts(p_values), _counts(reference) / len(reference))


def _counts(p_values: np.ndarray) -> np.ndarray:
    return np.bincount(np.searchsorted(EDGES, p_values), minlength=len(EDGES) + 1)
