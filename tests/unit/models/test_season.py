"""What is usual at each hour, from a week of rows."""

from datetime import UTC, datetime, timedelta, timezone

import numpy as np
import polars as pl
import pytest

from models.data.windows import add_features
from models.manifest import HOURS, SignalReference
from models.season import cell_of, hour_cells, hours_of, profile
from stream_app.pipeline.sums import Bins, PartitionSums

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


HOURS_OF_A_YEAR = [datetime(2024, 1, 1, tzinfo=UTC) + timedelta(hours=hour, minutes=59) for hour in range(366 * 24)]


def zoned(times: list[datetime]) -> list[datetime]:
    """The same moments as producers in many time zones write them."""
    zones = [timezone(timedelta(minutes=15 * quarter)) for quarter in range(-48, 57, 5)]
    return [time.astimezone(zones[i % len(zones)]) for i, time in enumerate(times)]


@pytest.mark.parametrize("written", [list, zoned, lambda times: [time.replace(tzinfo=None) for time in times]])
def test_training_and_serving_give_every_hour_of_the_year_the_same_cell(written):
    trained = hour_cells(pl.Series(HOURS_OF_A_YEAR))
    assert trained is not None
    assert [cell_of(time) for time in written(HOURS_OF_A_YEAR)] == trained.tolist()
    assert set(trained) == set(range(HOURS))


def test_the_pipeline_counts_every_hour_of_the_year_in_its_cell():
    sums = PartitionSums(Bins([SignalReference("score", 0.0, 1.0, 3.0, [0.0], [0.5, 0.5])], None))
    sums.add_times(zoned(HOURS_OF_A_YEAR))
    assert sums.hours == np.bincount(hour_cells(pl.Series(HOURS_OF_A_YEAR)), minlength=HOURS).tolist()


def test_the_weekend_flag_of_data_files_is_the_weekend_of_the_cells():
    times = pl.DataFrame({"event_time": HOURS_OF_A_YEAR}).with_row_index("event_id").cast({"event_id": pl.String})
    rows = times.with_columns(entity=pl.lit("1"), terminal_id=pl.lit("1"), amount=1.0, fraud=pl.lit(value=False))
    assert [flag == 1 for flag in add_features(rows)["during_weekend"]] == [cell_of(at) >= 24 for at in HOURS_OF_A_YEAR]
