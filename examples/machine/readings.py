"""Readings of the hoists of a harbour, the same for the same seed, as JSON lines.

    python -m examples.machine.readings build/readings.jsonl

Lifting draws current, lowering feeds it back: then it is negative, as temperatures are in winter. Every hoist has a
level of its own. What fails stays within what other hoists have every day: a bearing that wears, a fan that stands
still, a winding that draws too much.
"""

import argparse
import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np

START_MS = 1_704_067_200_000  # 2024-01-01
EVERY_MS = 600_000
PER_DAY = 144
FAILURES = ("bearing", "fan", "winding")
LASTS = 12  # readings of a failure: two hours


def readings(hoists: int = 10, days: int = 28, seed: int = 0) -> Iterator[dict[str, object]]:
    """In the order of time; `sensors` are mm/s, degrees Celsius and ampere, `failed` what an anomaly should find."""
    rng = np.random.default_rng(seed)
    count = days * PER_DAY
    day = np.arange(count) / PER_DAY
    load = rng.choice([0.0, 1.0, -0.5], (hoists, count), p=[0.4, 0.35, 0.25]) * rng.uniform(0.7, 1.0, (hoists, count))
    vibration = rng.uniform(0.5, 4.0, (hoists, 1)) * (0.5 + np.abs(load)) * rng.lognormal(0, 0.08, (hoists, count))
    outside = -4 + 6 * np.sin(2 * np.pi * (day - 0.35)) + rng.normal(0, 1, count).cumsum() / 12
    temperature = outside + rng.uniform(5, 12, (hoists, 1)) + 14 * _warmth(load) + rng.normal(0, 0.6, (hoists, count))
    current = rng.uniform(30, 120, (hoists, 1)) * load + rng.normal(0, 0.8, (hoists, count))
    failure = _failures(rng, hoists, count)
    vibration = np.where(failure == FAILURES.index("bearing"), 2.4 * vibration, vibration)
    temperature = np.where(failure == FAILURES.index("fan"), temperature + 16, temperature)
    current = np.where(failure == FAILURES.index("winding"), 1.7 * current + 12, current)
    late = rng.integers(0, 30_000, (hoists, count))
    for reading in range(count):
        for hoist in range(hoists):
            yield {
                "seq": reading * hoists + hoist + 1,
                "ts": START_MS + reading * EVERY_MS + int(late[hoist, reading]),
                "hoist": f"H-{hoist + 1:02}",
                "sensors": {
                    "vibration": round(float(vibration[hoist, reading]), 3),
                    "temperature": round(float(temperature[hoist, reading]), 2),
                    "current": round(float(current[hoist, reading]), 2),
                },
                "failed": bool(failure[hoist, reading] >= 0),
            }


def _warmth(load: np.ndarray) -> np.ndarray:
    """What is left of the work of the last hours, [hoists, readings]."""
    warmth = np.zeros_like(load)
    for reading in range(1, load.shape[1]):
        warmth[:, reading] = 0.8 * warmth[:, reading - 1] + 0.2 * np.abs(load[:, reading])
    return warmth


def _failures(rng: np.random.Generator, hoists: int, count: int) -> np.ndarray:
    """Which of `FAILURES` a reading shows, -1 for none; from the third day on, one in 150 readings."""
    failure = np.full((hoists, count), -1)
    for _ in range(hoists * count // (150 * LASTS) + 1):
        start = rng.integers(2 * PER_DAY, count - LASTS)
        failure[rng.integers(hoists), start : start + LASTS] = rng.integers(len(FAILURES))
    return failure


def main() -> None:
    """Write them."""
    parser = argparse.ArgumentParser(description="Readings of the hoists of a harbour, as JSON lines.")
    parser.add_argument("out", type=Path)
    parser.add_argument("--hoists", type=int, default=10)
    parser.add_argument("--days", type=int, default=28)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    given.out.parent.mkdir(parents=True, exist_ok=True)
    with given.out.open("w", encoding="utf-8") as file:
        file.writelines(json.dumps(reading) + "\n" for reading in readings(given.hoists, given.days, given.seed))


if __name__ == "__main__":
    main()
