"""Streams of summaries for tests: a small world with a season, its reference, and faults that can be put into it."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from functools import cache

import numpy as np
import polars as pl
from msgspec.structs import replace

from models.manifest import Calibration, Manifest, signal_layout
from models.reference import input_relations, signals
from models.runtime import Scored
from models.segments import describe
from schemas.definition import Definition, EventFields, Input
from schemas.drift import DriftAlert, DriftPhase, DriftSummary, SegmentSummary
from stream_app.drift.aggregator import Aggregator
from stream_app.pipeline.sums import Bins, PartitionSums
from stream_app.settings import Settings
from stream_app.testing.tiny_model import tiny_manifest

INPUTS = [
    Input("amount", "amount", "EUR", "reject"),
    Input("count", "features.count", "1/d", "impute", "window"),
    Input("average", "features.average", "EUR", "impute", "window"),
    Input("during_night", "features.during_night", "flag", "impute", "calendar"),
]
LATENTS = 2
LAYOUT = signal_layout(INPUTS, LATENTS)
SHA = "a" * 64
OTHER_SHA = "b" * 64
DAY_ROWS = 4096
SUMMARY_ROWS = 64
START = datetime(2026, 1, 1, tzinfo=UTC)
SETTINGS = Settings()

Fault = Callable[[np.ndarray], None]


def world(rows: int, seed: int = 1) -> np.ndarray:
    """Signals of quiet transactions, float32 [rows, signals]: a third of each day is night, and the score shows it."""
    rng = np.random.default_rng(seed)
    night = (np.arange(rows) % DAY_ROWS < DAY_ROWS / 3).astype(float)
    amount, count = rng.standard_gamma(2, rows) - 2, rng.standard_normal(rows)
    average = 0.8 * count + 0.6 * rng.standard_normal(rows)
    latent = np.stack([count + 2 * night, amount], axis=1)
    residual = rng.standard_normal((rows, len(INPUTS))) * 0.3
    score = (residual**2).sum(axis=1) + 0.5 * night
    return np.column_stack([score, amount, count, average, night, latent, residual]).astype(np.float32)


def manifest(name: str = "small") -> Manifest:
    """A model whose reference is a quiet fortnight of this world."""
    rows = world(14 * DAY_ROWS, seed=0)
    n = len(INPUTS)
    raw = rows[:, 1 : n + 1]
    scored = Scored(rows[:, 0], raw, raw, rows[:, n + 1 : n + 3], raw, rows[:, n + 3 :])
    return replace(
        tiny_manifest("1"),
        name=name,
        definition=Definition("small", EventFields("id", "at", "card"), tuple(INPUTS)),
        latent_size=LATENTS,
        calibration=Calibration(0.01, 10.0, [0.0, 10.0], [1.0, 0.01]),
        signals=signals(INPUTS, raw, scored),
        latent_mean=[0.0] * LATENTS,
        latent_covariance=[[1.0, 0.0], [0.0, 1.0]],
        golden=[],
        relations=input_relations(INPUTS, raw, scored),
    )


MANIFEST = manifest()


def column(signal: str) -> int:
    return LAYOUT.index(signal)


def doubled(rows: np.ndarray) -> None:
    """Amounts in another unit: far off, and not reconstructed."""
    rows[:, column("input:amount")] = rows[:, column("input:amount")] * 2 + 2
    rows[:, column("residual:amount")] -= 1.5


def stuck(rows: np.ndarray) -> None:
    """A field that says the same of everybody; the network makes of it what its correlated field says."""
    rows[:, column("residual:count")] += rows[:, column("input:count")] + 0.5
    rows[:, column("input:count")] = -0.5


def segmented(segment_of: np.ndarray, field: str = "country") -> Manifest:
    """The same model, watched by a field too: a text for each row of the reference."""
    rows, n = world(14 * DAY_ROWS, seed=0), len(INPUTS)
    raw = rows[:, 1 : n + 1]
    scored = Scored(rows[:, 0], raw, raw, rows[:, n + 1 : n + 3], raw, rows[:, n + 3 :])
    values = pl.Series(field, segment_of.astype(str))
    segments = describe(field, values, MANIFEST.signals, MANIFEST.relations, raw, scored)
    return replace(MANIFEST, segments=segments)


def summaries(
    rows: np.ndarray,
    partitions: int = 2,
    sha256: str = SHA,
    anomalies: float = 0.01,
    start: int = 0,
    segment_of: np.ndarray | None = None,
) -> Iterator[DriftSummary]:
    """Of consecutive rows, one partition after the other; event time runs by 20 s a transaction.

    Args:
        rows: float32 [n, signals], NaN where missing.
        partitions: Among how many the summaries go round.
        sha256: The model that scored them.
        anomalies: Share of alerts.
        start: How many transactions came before.
        segment_of: Label of the segment of each, empty for none. None: the model has no segments.
    """
    bins = Bins(MANIFEST.signals, MANIFEST.relations)
    by_segment = [{}] * len(rows) if segment_of is None else parts(bins, rows, segment_of, start)
    starts = np.arange(0, len(rows), SUMMARY_ROWS)
    for i, sums, segments in zip(starts.tolist(), split(bins, rows, starts), by_segment, strict=False):
        at, end = start + i, start + min(i + SUMMARY_ROWS, len(rows))
        turn, partition = divmod(at // SUMMARY_ROWS, partitions)
        sums.anomalies = round(end * anomalies) - round(at * anomalies)
        sums.add_times([event_time(at), event_time(end - 1)])
        span = (turn * SUMMARY_ROWS, turn * SUMMARY_ROWS + end - at)
        yield replace(bins.summary(partition, span, sums, sha256, "worker-1"), by_segment=segments)


def parts(bins: Bins, rows: np.ndarray, segment_of: np.ndarray, start: int) -> list[dict[str, SegmentSummary]]:
    """What each summary says of the segments of its rows, the first of all being transaction `start`."""
    found: list[dict[str, SegmentSummary]] = [{} for _ in range(0, len(rows), SUMMARY_ROWS)]
    labels, numbers = np.unique(segment_of, return_inverse=True)
    keys = np.arange(len(rows)) // SUMMARY_ROWS * len(labels) + numbers
    order = np.argsort(keys, kind="stable")
    distinct, starts = np.unique(keys[order], return_index=True)
    own = np.split(order, starts[1:])
    for key, sums, of in zip(distinct.tolist(), split(bins, rows[order], starts), own, strict=True):
        summary, label = divmod(key, len(labels))
        if labels[label]:
            sums.add_times([event_time(start + row) for row in of.tolist()])
            found[summary][str(labels[label])] = bins.segment(sums)
    return found


def split(bins: Bins, rows: np.ndarray, starts: np.ndarray) -> list[PartitionSums]:
    """Sums of consecutive rows (float32 [n, signals]), of which each part begins at one of `starts`."""
    sums = [PartitionSums(bins) for _ in starts]
    bins.add(sums, starts, rows.T, rows.T[1 : len(INPUTS) + 1])
    return sums


def add(bins: Bins, sums: PartitionSums, rows: np.ndarray) -> None:
    """Rows (float32 [n, signals]) to the sums of one partition; inputs in the model's own units."""
    bins.add([sums], np.array([0]), rows.T, rows.T[1 : len(INPUTS) + 1])


def event_time(transaction: int) -> datetime:
    return START + timedelta(seconds=20 * transaction)


@cache
def stream(before: int, after: int, fault: Fault, seed: int = 1, anomalies_after: float = 0.01) -> list[DriftSummary]:
    """A quiet stream into which a fault comes; made once for all tests, so not to be changed."""
    rows = world(before + after, seed)
    fault(rows[before:])
    quiet = summaries(rows[:before])
    return [*quiet, *summaries(rows[before:], start=before, anomalies=anomalies_after)]


def aggregator(drift_effect_sd: float = SETTINGS.drift_effect_sd, **references: Manifest) -> Aggregator:
    settings = SETTINGS.model_copy(update={"drift_effect_sd": drift_effect_sd})
    return Aggregator(settings, (references or {SHA: MANIFEST}).get)


def fold(log: list[DriftSummary], state: Aggregator | None = None, start: int = 0) -> list[DriftAlert]:
    state = state or aggregator()
    return [alert for offset, summary in enumerate(log, start) for alert in state.update(summary, offset)]


def confirmed(log: list[DriftSummary], state: Aggregator | None = None) -> list[DriftAlert]:
    """One alert for each incident, when its cause is named."""
    return [alert for alert in fold(log, state) if alert.phase is DriftPhase.CONFIRMED]
