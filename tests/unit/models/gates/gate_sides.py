"""Comparisons whose scores, latents and labels a test chooses: what a gate says depends on nothing else."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import numpy as np
import polars as pl

from models.calibration import calibrate
from models.gates.comparison import GateComparison, Side
from models.gates.limits import Limits, load_limits

FIRST = datetime(2018, 7, 25, tzinfo=UTC)
ROWS = 8000
CUSTOMERS = 400
DAYS = 4


def rows(seed: int = 0) -> pl.DataFrame:
    rng = np.random.default_rng(seed)
    second = np.sort(rng.integers(0, DAYS * 86_400, ROWS))
    return pl.DataFrame(
        {
            "event_time": [FIRST + timedelta(seconds=int(s)) for s in second],
            "entity": rng.integers(0, CUSTOMERS, ROWS).astype(str),
            "fraud": rng.random(ROWS) < 0.02,
        }
    )


def scores(frame: pl.DataFrame, seed: int = 0, skill: float = 3.0) -> np.ndarray:
    """Lognormal, with the frauds higher by `skill` standard deviations."""
    noise = np.random.default_rng(seed).normal(size=frame.height)
    return np.exp(noise + skill * frame["fraud"].to_numpy()).astype(np.float32)


def side(score: np.ndarray, latent: np.ndarray | None = None, budget: float = 0.03, times: float = 1.0) -> Side:
    """A model that gave these scores; `times` is how far its threshold is from the calibrated one."""
    calibration = calibrate(score, budget)
    calibration = replace_struct(calibration, threshold=calibration.threshold * times)
    runtime: Any = SimpleNamespace(manifest=SimpleNamespace(calibration=calibration))
    if latent is None:
        latent = np.random.default_rng(1).normal(size=(len(score), 5))
    return Side(runtime, np.zeros((len(score), 1), np.float32), score, latent)


def replace_struct(struct: Any, **fields: Any) -> Any:
    from msgspec.structs import replace as replaced

    return replaced(struct, **fields)


def comparison(candidate: Side, champion: Side, frame: pl.DataFrame, labelled: bool = True) -> GateComparison:
    fraud = frame["fraud"].to_numpy() if labelled else None
    return GateComparison(candidate, champion, frame, fraud, np.ones(frame.height, dtype=bool))


def limits(**tables: dict[str, Any]) -> Limits:
    """The defaults, with some fields of some tables in their place."""
    found = load_limits()
    return replace_struct(found, **{name: replace_struct(getattr(found, name), **t) for name, t in tables.items()})


def without_labels(given: GateComparison) -> GateComparison:
    return replace(given, fraud=None)
