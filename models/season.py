"""What is usual at each hour, learnt from reference rows, so that night and weekend are not taken for drift.

Cells are the hours of the day (UTC), on weekdays and on weekends. The mean of a cell is shrunk to that of the hours at
which the model reads the same flags, and theirs to the overall mean, by as much as chance explains the differences: a
signal without a season gets a flat profile.
"""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl

from models.manifest import HOURS

SATURDAY = 6  # ISO, as both polars and `datetime.isoweekday` count
LAST_NIGHT_HOUR = 6
# Less than that, and a cell is one day's accident.
SHORTEST = timedelta(days=6)
FEWEST_ROWS = 20  # in each cell
DIGITS = 4  # of what the manifest keeps
PRIOR_ROWS = 100.0  # of the overall shares in each cell's


def cell_of(moment: datetime) -> int:
    """The cell of an event's time; a time without a zone is UTC, as in data files."""
    with suppress(OverflowError):  # in the first and last hours of the calendar it stays in the producer's zone
        moment = moment.astimezone(UTC) if moment.tzinfo else moment
    return moment.hour + 24 * (moment.isoweekday() >= SATURDAY)


def is_weekend(event_time: pl.Expr) -> pl.Expr:
    """Whether events are on a Saturday or Sunday, UTC."""
    return event_time.dt.weekday() >= SATURDAY


def is_night(event_time: pl.Expr) -> pl.Expr:
    """Whether events are before 7:00, UTC."""
    return event_time.dt.hour() <= LAST_NIGHT_HOUR


def hour_cells(event_times: pl.Series) -> np.ndarray | None:
    """The cell (`cell_of`) of each reference row, int64 [n]; None if rows or time are too few for a season.

    Args:
        event_times: Of the rows, ascending, in UTC.
    """
    cells = event_times.dt.hour().to_numpy() + 24 * (event_times.dt.weekday().to_numpy() >= SATURDAY)
    long_enough = event_times[-1] - event_times[0] >= SHORTEST
    full = np.bincount(cells, minlength=HOURS).min() >= FEWEST_ROWS
    return cells.astype(np.int64) if long_enough and full else None


@dataclass(frozen=True, eq=False)
class Hours:
    """When reference rows were.

    Attributes:
        cells: int64 [n], the cell of each row.
        alike: int64 [HOURS], the same number for cells in which the flags of the clock are the same.
    """

    cells: np.ndarray
    alike: np.ndarray


def hours_of(event_times: pl.Series, flags: np.ndarray) -> Hours | None:
    """The hours of the rows; None as for `hour_cells`.

    Args:
        event_times: Of the rows, ascending, in UTC.
        flags: float [n, flags], those inputs that follow from the clock, NaN where missing.
    """
    cells = hour_cells(event_times)
    if cells is None:
        return None
    counts = np.bincount(cells, minlength=HOURS)
    sums = [np.bincount(cells, weights=flag, minlength=HOURS) for flag in np.nan_to_num(flags).T]
    flags_at = np.round(np.array(sums).reshape(-1, HOURS) / counts)
    return Hours(cells, np.unique(flags_at, axis=1, return_inverse=True)[1].reshape(HOURS))


def profile(values: np.ndarray, hours: Hours) -> np.ndarray:
    """Mean of each cell, shrunk to the mean of the cells alike, which is shrunk to the overall mean.

    Args:
        values: float64 [n].
        hours: Of the values.

    Returns:
        float64 [HOURS].
    """
    counts, sums, squares = (
        np.bincount(hours.cells, weights=weights, minlength=HOURS) for weights in (None, values, values**2)
    )
    overall = float(values.mean())
    means = np.where(counts > 0, sums / np.maximum(counts, 1), overall)
    within = max(float((squares.sum() - (counts * means**2).sum()) / len(values)), 1e-9)
    of_alike = np.bincount(hours.alike, weights=counts)
    means_alike = np.bincount(hours.alike, weights=sums) / np.maximum(of_alike, 1)
    towards = _shrunk(means_alike, np.full(len(of_alike), overall), of_alike / within)[hours.alike]
    return _shrunk(means, towards, counts / within)


def _shrunk(means: np.ndarray, towards: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Means shrunk to others by as much as chance explains the differences.

    The variance of the differences beyond what chance gives is that of DerSimonian and Laird (1986); a mean keeps the
    share of its difference that this variance has in the total (empirical Bayes, Efron and Morris 1975).

    Args:
        means: float64 [k].
        towards: float64 [k].
        weights: float64 [k], one divided by the variance that chance gives each mean.
    """
    away = means - towards
    common = (weights * away).sum() / weights.sum()
    excess = (weights * (away - common) ** 2).sum() - (np.count_nonzero(weights) - 1)
    between = max(excess / max(weights.sum() - (weights**2).sum() / weights.sum(), 1e-9), 0.0)
    shrunk: np.ndarray = towards + between / (between + 1 / np.maximum(weights, 1e-9)) * away
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
