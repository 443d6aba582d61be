"""Vital signs of patients as they are typed in, the same for the same seed, as CSV.

    python -m examples.vitals.observations build/observations.csv

Nurses measure every hour or two, and make mistakes: digits exchanged, a decimal point lost, pressures in each other's
field, a sign left out, the values of another patient. A value of that kind is often one that somebody else might have.
"""

import argparse
from pathlib import Path

import numpy as np
import polars as pl

START_US = 1_709_251_200_000_000  # 2024-03-01
HOUR_US = 3_600_000_000
SIGNS = ("heart_rate", "systolic", "diastolic", "temperature", "saturation", "base_excess")
BETWEEN = np.array([13, 16, 9, 0.5, 1.5, 3.0])  # standard deviations of patients' levels, by `SIGNS`
WITHIN = np.array([4, 6, 4, 0.2, 0.8, 0.7])  # and of one patient around it
USUAL = np.array([82, 124, 74, 36.9, 96, -1.0])
PARTS = np.array([1, 1, 1, 10, 1, 10])  # they are written in whole numbers, or tenths
MISSING = 0.08
WRONG = 0.012


def observations(patients: int = 120, days: int = 30, seed: int = 0) -> pl.DataFrame:
    """In the order of time; `base_excess` (mmol/l) may be negative, `wrong` is what an anomaly should find."""
    rng = np.random.default_rng(seed)
    admitted = rng.uniform(0, max(days - 4, 1), patients) * 24
    hours = [start + rng.uniform(0.7, 2.0, 90).cumsum() for start in admitted]
    patient = np.repeat(np.arange(patients), [each.size for each in hours])
    at = np.concatenate(hours)
    stays = at < days * 24
    patient, at = patient[stays], at[stays]
    level = USUAL + BETWEEN * rng.normal(size=(patients, len(SIGNS)))
    wave = np.sin(2 * np.pi * (at / 24)[:, None] + rng.uniform(0, 6, (patients, 1))[patient])
    values = level[patient] + WITHIN * (0.5 * wave + rng.normal(size=(at.size, len(SIGNS))))
    values[:, 4] = np.minimum(values[:, 4], 100)
    values = np.round(values * PARTS) / PARTS
    wrong = rng.random(at.size) < WRONG
    values[wrong] = [_mistaken(rng, row, values[rng.integers(at.size)]) for row in values[wrong]]
    values[rng.random(values.shape) < MISSING] = np.nan
    columns = {sign: pl.Series(values[:, place]).fill_nan(None) for place, sign in enumerate(SIGNS)}
    times = pl.Series(START_US + (at * HOUR_US).astype(np.int64)).cast(pl.Datetime("us", "UTC")).dt.truncate("1m")
    frame = pl.DataFrame({"charted": times, "patient": patient + 4000, **columns, "wrong": wrong}).sort("charted")
    return frame.select(pl.format("obs-{}", pl.int_range(pl.len())).alias("observation"), pl.all())


def _mistaken(rng: np.random.Generator, row: np.ndarray, other: np.ndarray) -> np.ndarray:
    """One mistake in a row."""
    row, kind = row.copy(), rng.integers(5)
    if kind == 0:  # 84 becomes 48
        row[0] = (row[0] % 10) * 10 + row[0] // 10 % 10 if row[0] % 11 else row[0] + 60
    elif kind == 1:
        row[3] = row[3] * 10
    elif kind == 2:
        row[[1, 2]] = row[[2, 1]]
    elif kind == 3:
        row[5] = -row[5] + np.sign(-row[5]) * 4
    else:
        row = other
    return row


def main() -> None:
    """Write them."""
    parser = argparse.ArgumentParser(description="Vital signs of patients, as CSV.")
    parser.add_argument("out", type=Path)
    parser.add_argument("--patients", type=int, default=120)
    parser.add_argument("--days", type=int, default=30)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    given.out.parent.mkdir(parents=True, exist_ok=True)
    observations(given.patients, given.days, given.seed).write_csv(given.out)


if __name__ == "__main__":
    main()
