"""What is usual at each hour, from a week of rows."""

from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl
import pytest

from models.manifest import HOURS
from models.season import hours_of, profile

MONDAY = datetime(2026, 1, 5, tzinfo=UTC)
WEEKEND = np.arange(HOURS) >= 24
NIGHT = np.arange(HOURS) % 24 <= 6


def week(rows: int, seed: int) -> tuple[pl.Series, np.ndarray, np.random.Generator]:
    """Event times of a week, most of them around noon, and the flags of night and weekend."""
    rng = np.random.default_rng(seed)
    second = np.clip(rng.normal(43_200, 20_000, rows), 0, 86_399)
    at = np.sort(rng.integers(0, 7, rows) * 86_400 + second)
    times = pl.Series([MONDAY + timedelta(seconds=float(s)) for s in at])
    flags = np.stack([times.dt.hour().to_numpy() <= 6, times.dt.weekday().to_numpy() >= 6], axis=1)
    return times, flags.astype(float), rng


@pytest.mark.parametrize("seed", range(4))
def test_what_the_flags_of_the_clock_make_of_a_signal_is_learnt_from_one_weekend(seed):
    times, flags, rng = week(67_000, seed)
    hours = hours_of(times, flags)
    usual = np.where(WEEKEND & NIGHT, -0.25, 0.0)
    found = profile(usual[hours.cells] + rng.standard_normal(len(times)), hours)
    assert np.abs(found - usual).max() <= 0.06  # a hundredth of the rows are of that kind, each off by 1


@pytest.mark.parametrize("seed", range(4))
def test_a_signal_without_a_season_gets_a_flat_profile(seed):
    times, flags, rng = week(67_000, seed)
    assert np.abs(profile(rng.standard_normal(len(times)), hours_of(times, flags))).max() <= 0.04


def test_a_season_that_no_flag_knows_is_learnt_too():
    times, flags, rng = week(67_000, 0)
    hours = hours_of(times, flags[:, :0])
    usual = np.sin(2 * np.pi * np.arange(HOURS) / 24)
    found = profile(usual[hours.cells] + rng.standard_normal(len(times)), hours)
    assert np.abs(found - usual).max() <= 0.3  # a cell of the night has a hundred rows


def test_a_week_that_is_too_short_has_no_hours():
    times, flags, _ = week(10_000, 0)
    short = times < MONDAY + timedelta(days=5)
    assert hours_of(times.filter(short), flags[short.to_numpy()]) is None
