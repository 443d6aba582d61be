"""Reference rows and their times in, what is usual at each hour out: so that night and weekend are not taken for drift.

Cells are the hours of the day (UTC), on weekdays and on weekends. The mean of a cell is shrunk to the overall mean by
as much as chance explains the differences between cells: a signal without a season gets a flat profile.
"""

from collections.abc import Sequence
from datetime import timedelta

import numpy as np
import polars as pl

from models.manifest import HOURS

SATURDAY = 6
# Less than that, and a cell is one day's accident.
SHORTEST = timedelta(days=6)
FEWEST_ROWS = 20  # in each cell
DIGITS = 4  # of what the manifest keeps
PRIOR_ROWS = 100.0  # of the overall shares in each cell's


def hour_cells(event_times: pl.Series) -> np.ndarray | None:
    """The cell of each reference row, int64 [n]; None where the rows are too few or too short a time for a season.

    Args:
        event_times: Of the rows, ascending, in UTC.
    """
    cells = event_times.dt.hour().to_numpy() + 24 * (event_times.dt.weekday().to_numpy() >= SATURDAY)
    long_enough = event_times[-1] - event_times[0] >= SHORTEST
    full = np.bincount(cells, minlength=HOURS).min() >= FEWEST_ROWS
    return cells.astype(np.int64) if long_enough and full else None


def profile(values: np.ndarray, cells: np.ndarray) -> np.ndarray:
    """Mean of each cell, shrunk to the overall mean.

    The variance between cells beyond what chance gives is that of DerSimonian and Laird (1986); a cell keeps the share
    of its deviation that this variance has in the total (empirical Bayes, Efron and Morris 1975).

    Args:
        values: float64 [n].
        cells: int64 [n].

    Returns:
        float64 [HOURS].
    """
    counts, sums, squares = (
        np.bincount(cells, weights=weights, minlength=HOURS) for weights in (None, values, values**2)
    )
    overall = values.mean()
    means = np.where(counts > 0, sums / np.maximum(counts, 1), overall)
    within = max(float((squares.sum() - (counts * means**2).sum()) / len(values)), 1e-9)
    weights = counts / within
    common = (weights * means).sum() / weights.sum()
    excess = (weights * (means - common) ** 2).sum() - (np.count_nonzero(counts) - 1)
    between = max(excess / (weights.sum() - (weights**2).sum() / weights.sum()), 0.0)
    kept = between / (between + within / np.maximum(counts, 1))
    shrunk: np.ndarray = overall + kept * (means - overall)
    return shrunk


def bin_shares(bins: np.ndarray, cells: np.ndarray, shares: Sequence[float]) -> np.ndarray:
    """Share of each bin in each cell, shrunk to the overall shares by a prior of `PRIOR_ROWS` rows.

    Args:
        bins: int64 [n].
        cells: int64 [n].
        shares: Overall.

    Returns:
        float64 [HOURS, bins], rows sum to 1.
    """
    width = len(shares)
    counts = np.bincount(cells * width + bins, minlength=HOURS * width).reshape(HOURS, width)
    found: np.ndarray = (counts + PRIOR_ROWS * np.asarray(shares)) / (counts.sum(axis=1, keepdims=True) + PRIOR_ROWS)
    return found
