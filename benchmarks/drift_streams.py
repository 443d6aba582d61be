"""Streams for the drift benchmark: the Handbook's weeks as they are, resampled, and with something gone wrong in them.

Everything goes through the product's own classes: the trained graph, the hot path's sums, the aggregator. Only Kafka is
left out, so that millions of transactions take minutes.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from itertools import groupby

import msgspec
import numpy as np
import polars as pl
import torch
from msgspec.structs import replace

from benchmarks.material import TRAINING_DAYS
from models.data.drift import Drift, DriftKind
from models.definition import cards, segmented
from models.inputs import matrix
from models.manifest import Manifest
from models.places import Places
from models.recipe import TrainingConfig
from models.runtime import run
from models.season import SATURDAY, cell_of
from models.training import train
from schemas.drift import DriftAlert, DriftSummary
from stream_app.drift.aggregator import Aggregator
from stream_app.drift.host import Replica
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
    """Scored transactions.

    Attributes:
        signals: float32 [signals, n].
        raw: float32 [inputs, n].
        anomalous: bool [n].
        times: Event times [n].
        segments: int64 [n], number of the segment that each is in, 0 for none.
    """

    signals: np.ndarray
    raw: np.ndarray
    anomalous: np.ndarray
    times: np.ndarray
    segments: np.ndarray

    def take(self, order: np.ndarray) -> "Rows":
        """These rows, in this order."""
        one_each = (self.anomalous, self.times, self.segments)
        return Rows(self.signals[:, order], self.raw[:, order], *(column[order] for column in one_each))

    def __len__(self) -> int:
        return len(self.times)


def trained(frame: pl.DataFrame, segment_by: str = "") -> Model:
    """The model of the benchmark's protocol: the first week, with the defaults."""
    week = frame.filter(pl.col("event_time") < frame["event_time"][0] + timedelta(days=TRAINING_DAYS))
    return Model(*train(week, segmented(cards(), segment_by), TrainingConfig(), "card-fraud", "1"))


def scored(frame: pl.DataFrame, model: Model) -> Rows:
    """What the hot path knows of each transaction."""
    raw = matrix(frame, model.manifest.inputs)
    said = run(model.graph, raw)
    return Rows(
        signal_matrix(raw, said),
        np.ascontiguousarray(raw.T),
        said.score >= model.manifest.calibration.threshold,
        np.array(frame["event_time"].to_list(), dtype=object),
        segments_of(frame, model),
    )


def segments_of(frame: pl.DataFrame, model: Model) -> np.ndarray:
    """Number of the segment of each transaction, int64 [n]; 0 for none."""
    segments = model.manifest.segments
    if segments is None:
        return np.zeros(frame.height, dtype=np.int64)
    places = Places(segments.groups, (segment.value for segment in segments.watched))
    return np.array([places.of(value) for value in frame[segments.field]], dtype=np.int64)


def seasonal(frame: pl.DataFrame) -> pl.DataFrame:
    """Amounts that follow the clock as real spending does: +-25 % by hour, +20 % at weekends."""
    hour, weekend = pl.col("event_time").dt.hour(), pl.col("event_time").dt.weekday() >= SATURDAY
    factor = (1 + 0.25 * (2 * np.pi * (hour - 6) / 24).sin()) * pl.when(weekend).then(1.2).otherwise(1.0)
    return frame.with_columns((pl.col("amount") * factor).round(2))


def resampled(rows: Rows, seed: int) -> Rows:
    """The same weeks once more: each transaction drawn from all of its hour of the day, weekdays and weekends apart.

    From that one hour alone it would carry the hour's own chance beside that of the draw, and vary twice as much.
    """
    cells = np.array([cell_of(time) for time in rows.times])
    rng, order = np.random.default_rng(seed), np.empty(len(rows), dtype=np.int64)
    for cell in np.unique(cells):
        own = np.flatnonzero(cells == cell)
        order[own] = rng.choice(own, len(own))
    drawn = rows.take(order)
    return Rows(drawn.signals, drawn.raw, drawn.anomalous, rows.times, drawn.segments)


def summaries(rows: Rows, model: Model, partition: np.ndarray | None = None) -> Iterator[DriftSummary]:
    """One for each partition in each commit of `SUMMARY_ROWS` transactions.

    Args:
        rows: In the order of the stream.
        model: That scored them.
        partition: int [n], which partition each is on. None: there is one.
    """
    bins = Bins(model.manifest.signals, model.manifest.relations)
    segments = model.manifest.segments
    labels = ["", *(segments.label(segment) for segment in segments.watched)] if segments else [""]
    where = np.zeros(len(rows), dtype=np.int64) if partition is None else partition
    places = dict.fromkeys(np.unique(where).tolist(), 0)
    for begin in range(0, len(rows), SUMMARY_ROWS * CHUNKS):
        end = min(begin + SUMMARY_ROWS * CHUNKS, len(rows))
        commit = np.arange(end - begin) // SUMMARY_ROWS
        key = (commit * (max(places) + 1) + where[begin:end]) * len(labels) + rows.segments[begin:end]
        order = np.argsort(key, kind="stable")
        keys, starts = np.unique(key[order], return_index=True)
        parts = [PartitionSums(bins) for _ in keys]
        order += begin
        bins.add(parts, starts, rows.signals[:, order], rows.raw[:, order])
        for sums, own in zip(parts, np.split(order, starts[1:]), strict=True):
            sums.add_times(rows.times[own].tolist())
            sums.anomalies = int(np.count_nonzero(rows.anomalous[own]))
        counted = zip(keys.tolist(), parts, strict=True)
        for place, those in groupby(counted, key=lambda item: item[0] // len(labels)):
            owner = place % (max(places) + 1)
            summary = _summary(bins, owner, places[owner], [(labels[k % len(labels)], sums) for k, sums in those])
            places[owner] = summary.to_offset
            yield summary


def _summary(bins: Bins, owner: int, start: int, parts: list[tuple[str, PartitionSums]]) -> DriftSummary:
    """Of one partition in one commit; what is in no segment comes first."""
    sums = parts[0][1] if not parts[0][0] else PartitionSums(bins)
    segments = [(label, part) for label, part in parts if label]
    for _, part in segments:
        sums.include(part)
        sums.anomalies += part.anomalies
    summary = bins.summary(owner, (start, start + sums.scored), sums, SHA, "benchmark")
    return replace(summary, by_segment={label: bins.segment(part) for label, part in segments})


def alerts(rows: Rows, model: Model, partition: np.ndarray | None = None) -> list[DriftAlert]:
    """What the aggregator says of a stream."""
    state = Aggregator(Settings(), {SHA: model.manifest}.get)
    return [
        alert
        for offset, summary in enumerate(summaries(rows, model, partition))
        for alert in state.update(summary, offset)
    ]


def alerts_of_heirs(rows: Rows, model: Model, killed: Sequence[int]) -> list[DriftAlert]:
    """What is published where aggregators are killed after so many summaries of the log: each heir folds it anew."""
    log = [msgspec.json.encode(summary) for summary in summaries(rows, model)]
    published: list[DriftAlert] = []
    for end in (*killed, len(log)):
        replica, known = Replica(Settings(), {SHA: model.manifest}.get), {(a.alert_id, a.phase) for a in published}
        said = [alert for offset, value in enumerate(log[:end]) for alert in replica.take(offset, value)]
        published += [alert for alert in said if (alert.alert_id, alert.phase) not in known]
    return published


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
