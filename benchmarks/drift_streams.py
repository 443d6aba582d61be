"""Streams for the drift benchmark: the Handbook's weeks as they are, resampled, and with something gone wrong in them.

Everything goes through the product's own classes: the trained graph, the hot path's sums, the aggregator. Only Kafka is
left out, so that millions of transactions take minutes.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta

import numpy as np
import polars as pl
import torch

from benchmarks.material import TRAINING_DAYS
from models.data.drift import Drift, DriftKind
from models.features import load_spec, matrix
from models.manifest import Manifest
from models.runtime import run
from models.training import TrainingConfig, train
from schemas.drift import DriftAlert, DriftSummary
from stream_app.drift.aggregator import Aggregator
from stream_app.pipeline.summarise import signal_matrix
from stream_app.pipeline.sums import Bins, PartitionSums
from stream_app.settings import Settings

SHA = "d" * 64
SUMMARY_ROWS = 64
CHUNKS = 16  # summaries that are made in one pass
BEFORE, AFTER = 5_120, 12_288


@dataclass(frozen=True, slots=True)
class Model:
    """A trained graph and its reference."""

    graph: torch.jit.ScriptModule
    manifest: Manifest


@dataclass(frozen=True, slots=True)
class Rows:
    """Scored transactions: signals [signals, n], raw inputs [inputs, n], which are anomalies [n], event times [n]."""

    signals: np.ndarray
    raw: np.ndarray
    anomalous: np.ndarray
    times: np.ndarray

    def take(self, order: np.ndarray) -> "Rows":
        """These rows, in this order."""
        return Rows(self.signals[:, order], self.raw[:, order], self.anomalous[order], self.times[order])

    def __len__(self) -> int:
        return len(self.times)


def trained(frame: pl.DataFrame) -> Model:
    """The model of the benchmark's protocol: the first week, with the defaults."""
    week = frame.filter(pl.col("event_time") < frame["event_time"][0] + timedelta(days=TRAINING_DAYS))
    return Model(*train(week, load_spec(), TrainingConfig(), "card-fraud", "1"))


def scored(frame: pl.DataFrame, model: Model) -> Rows:
    """What the hot path knows of each transaction."""
    raw = matrix(frame, model.manifest.inputs)
    said = run(model.graph, raw)
    return Rows(
        signal_matrix(raw, said),
        np.ascontiguousarray(raw.T),
        said.score >= model.manifest.calibration.threshold,
        np.array(frame["event_time"].to_list(), dtype=object),
    )


def seasonal(frame: pl.DataFrame) -> pl.DataFrame:
    """Amounts that follow the clock as real spending does: +-25 % by hour, +20 % at weekends."""
    hour, weekend = pl.col("event_time").dt.hour(), pl.col("event_time").dt.weekday() >= 6
    factor = (1 + 0.25 * (2 * np.pi * (hour - 6) / 24).sin()) * pl.when(weekend).then(1.2).otherwise(1.0)
    return frame.with_columns((pl.col("amount") * factor).round(2))


def resampled(rows: Rows, seed: int) -> Rows:
    """The same weeks once more: each transaction drawn from all of its hour of the day, weekdays and weekends apart.

    From that one hour alone it would carry the hour's own chance beside that of the draw, and vary twice as much.
    """
    cells = np.array([time.hour + 24 * (time.weekday() >= 5) for time in rows.times])
    rng, order = np.random.default_rng(seed), np.empty(len(rows), dtype=np.int64)
    for cell in np.unique(cells):
        own = np.flatnonzero(cells == cell)
        order[own] = rng.choice(own, len(own))
    drawn = rows.take(order)
    return Rows(drawn.signals, drawn.raw, drawn.anomalous, rows.times)


def summaries(rows: Rows, model: Model, partition: np.ndarray | None = None) -> Iterator[DriftSummary]:
    """One for each partition in each commit of `SUMMARY_ROWS` transactions.

    Args:
        rows: In the order of the stream.
        model: That scored them.
        partition: int [n], which partition each is on. None: there is one.
    """
    bins = Bins(model.manifest.signals, model.manifest.relations)
    where = np.zeros(len(rows), dtype=np.int64) if partition is None else partition
    places = dict.fromkeys(np.unique(where).tolist(), 0)
    for begin in range(0, len(rows), SUMMARY_ROWS * CHUNKS):
        end = min(begin + SUMMARY_ROWS * CHUNKS, len(rows))
        commit = np.arange(end - begin) // SUMMARY_ROWS
        key = commit * (max(places) + 1) + where[begin:end]
        order = np.argsort(key, kind="stable")
        keys, starts = np.unique(key[order], return_index=True)
        owners = (keys % (max(places) + 1)).tolist()
        parts = [PartitionSums(0, bins) for _ in owners]
        order += begin
        bins.add(parts, starts, rows.signals[:, order], rows.raw[:, order])
        for owner, sums, own in zip(owners, parts, np.split(order, starts[1:]), strict=True):
            sums.add_times(rows.times[own].tolist())
            sums.anomalies = int(np.count_nonzero(rows.anomalous[own]))
            sums.from_offset, sums.to_offset = places[owner], places[owner] + len(own)
            places[owner] = sums.to_offset
            yield bins.summary(owner, sums, SHA, "benchmark")


def alerts(rows: Rows, model: Model, partition: np.ndarray | None = None) -> list[DriftAlert]:
    """What the aggregator says of a stream."""
    state = Aggregator(Settings(), {SHA: model.manifest}.get)
    return [
        alert
        for offset, summary in enumerate(summaries(rows, model, partition))
        for alert in state.update(summary, offset)
    ]


@dataclass(frozen=True, slots=True)
class Injected:
    """A stream with a drift in it: `begins` transactions come before."""

    frame: pl.DataFrame
    begins: int


def injected(frame: pl.DataFrame, drift: Drift, after: int = AFTER) -> Injected:
    """The transactions around the beginning of a drift, the later ones drifted."""
    at = int(frame["event_time"].search_sorted(drift.at))
    begins = min(BEFORE, at)
    return Injected(drift.apply(frame[at - begins : at + after]), begins)


SLOW = {DriftKind.SPENDING_GROWING: 80_000}
