"""Mergeable sums by partition and commit, for drift detection and for the ledger of `stream-app verify`.

Outcomes are counted at once. Signals are held until one call of numpy for all of them is cheap, or the interval ends.
They then become one matrix with a row for each signal, its columns ordered by partition and, if drift is watched by
segments too, by segment: the sums of a partition are those of its segments, added up.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import chain

import numpy as np
from msgspec.structs import replace

from models.manifest import Relations, Segments, SignalReference
from models.runtime import Scored
from schemas.drift import DriftSummary, SegmentSummary
from stream_app.pipeline.batch import Decided, Decoded, Raw, Reasoned
from stream_app.pipeline.sums import Bins, PartitionSums

HELD_VALUES = 80_000  # 2,048 rows of 39 signals: with the arrays derived from them, they fit the cache of a core
HELD_TIMES = 4  # with segments: many parts, each with few rows, for which the calls cost more than the cache saves


@dataclass(frozen=True, slots=True)
class Held:
    """Rows of a micro-batch that are not in the sums yet.

    Attributes:
        places: int64 [m], the partition of each; with k segments, the partition times k + 1 plus the segment's number.
        signals: float32 [signals, m], from `signal_matrix`.
        inputs: float32 [m, inputs], raw.
        event_times: m datetimes.
    """

    places: np.ndarray
    signals: np.ndarray
    inputs: np.ndarray
    event_times: Sequence[datetime]


class Summaries:
    """The summaries of the open commit interval: signals of the serving model on all rows, also where a canary decides.

    Args:
        references: The model's signals, in the order of the columns.
        relations: Relations of its inputs, if its manifest has them.
        model_sha256: The serving model.
        worker: This worker.
        candidate_sha256: The canary that decides for some customers; empty if there is none.
        segments: The segments by which drift is watched too.
    """

    def __init__(
        self,
        references: Sequence[SignalReference],
        relations: Relations | None,
        model_sha256: str,
        worker: str,
        candidate_sha256: str = "",
        segments: Segments | None = None,
    ) -> None:
        self._bins = Bins(references, relations)
        self._model_sha256 = model_sha256
        self._candidate_sha256 = candidate_sha256
        self._worker = worker
        self._labels = [] if segments is None else [segments.label(segment) for segment in segments.watched]
        self._partitions: dict[int, PartitionSums] = {}
        self._segments: dict[tuple[int, int], PartitionSums] = {}  # by partition and number
        self._held: list[Held] = []
        self._rows = 0
        self._most_rows = HELD_VALUES // len(references) * (HELD_TIMES if self._labels else 1)

    def add(self, raw: Raw, decoded: Decoded, scored: Scored, outcomes: Sequence[tuple[Decided, Reasoned]]) -> None:
        """Count a micro-batch in.

        Args:
            raw: The batch.
            decoded: All rows that were scored.
            scored: The outputs of the serving model.
            outcomes: Decisions and anomalies of the serving model, then those of a canary.
        """
        partitions = np.asarray(raw.partitions)
        accepted = partitions[decoded.rows]
        refused = partitions[[refusal.row for refusal in decoded.refused]]
        decided = [partitions[mine.decoded.rows] for mine, _ in outcomes]
        anomalous = [at[reasoned.rows] for at, (_, reasoned) in zip(decided, outcomes, strict=True)]
        for partition in raw.spans:
            if partition not in self._partitions:
                self._partitions[partition] = PartitionSums(self._bins)
            sums = self._partitions[partition]
            sums.dead_lettered += int(np.count_nonzero(refused == partition))
            sums.anomalies += sum(int(np.count_nonzero(at == partition)) for at in anomalous)
            sums.candidate_decided += sum(int(np.count_nonzero(at == partition)) for at in decided[1:])
            sums.candidate_anomalies += sum(int(np.count_nonzero(at == partition)) for at in anomalous[1:])
        if len(accepted):
            signals = signal_matrix(decoded.inputs, scored)
            self._held.append(Held(self._places(accepted, decoded), signals, decoded.inputs, decoded.event_times))
            self._rows += len(accepted)
        if self._rows >= self._most_rows:
            self._add_held()
        if decoded.segments is not None:
            for at, (mine, reasoned) in zip(decided, outcomes, strict=True):
                self._add_anomalies(at, mine.decoded, reasoned)

    def _places(self, partitions: np.ndarray, decoded: Decoded) -> np.ndarray:
        if decoded.segments is None:
            return partitions
        places: np.ndarray = partitions * (len(self._labels) + 1) + decoded.segments
        return places

    def _part(self, place: int) -> PartitionSums:
        """The sums for a place; rows in no segment are counted with the partition itself."""
        partition, segment = divmod(place, len(self._labels) + 1)
        if segment == 0:
            return self._partitions[partition]
        if (partition, segment) not in self._segments:
            self._segments[partition, segment] = PartitionSums(self._bins)
        return self._segments[partition, segment]

    def _add_anomalies(self, partitions: np.ndarray, decoded: Decoded, reasoned: Reasoned) -> None:
        """Count anomalies in their segments; `add` has counted them in their partitions."""
        for place in self._places(partitions, decoded)[reasoned.rows].tolist():
            if place % (len(self._labels) + 1):
                self._part(place).anomalies += 1

    def _add_held(self) -> None:
        """Add the held rows to the sums."""
        places = np.concatenate([held.places for held in self._held])
        signals = np.concatenate([held.signals for held in self._held], axis=1)
        inputs = np.concatenate([held.inputs for held in self._held])
        times = list(chain.from_iterable(held.event_times for held in self._held))
        self._held, self._rows = [], 0
        order = np.argsort(places, kind="stable")
        present, starts = np.unique(places[order], return_index=True)
        if len(present) > 1:
            signals, inputs, times = np.take(signals, order, axis=1), inputs[order], [times[i] for i in order.tolist()]
        parts = [self._part(place) for place in present.tolist()]
        self._bins.add(parts, starts, signals, inputs.T)
        for sums, start, end in zip(parts, starts.tolist(), [*starts[1:].tolist(), len(times)], strict=True):
            sums.add_times(times[start:end])

    def drain(self, spans: Mapping[int, tuple[int, int]], lost: Mapping[int, int] | None = None) -> list[DriftSummary]:
        """The summaries of the interval, which is empty after that.

        Args:
            spans: For each partition that was added, its first offset and the offset after its last one.
            lost: Partition to how many offsets at the beginning of its span are lost; it may have no rows at all.
        """
        lost = lost or {}
        for partition in lost:
            self._partitions.setdefault(partition, PartitionSums(self._bins))
        if self._held:
            self._add_held()
        segments: dict[int, dict[str, SegmentSummary]] = {}
        for (partition, segment), sums in sorted(self._segments.items()):
            segments.setdefault(partition, {})[self._labels[segment - 1]] = self._bins.segment(sums)
            self._partitions[partition].include(sums)
        drained = [
            self._summary(partition, spans[partition], segments.get(partition, {}), lost.get(partition, 0))
            for partition in sorted(self._partitions)
        ]
        self._partitions, self._segments = {}, {}
        return drained

    def _summary(
        self, partition: int, span: tuple[int, int], by_segment: dict[str, SegmentSummary], lost: int
    ) -> DriftSummary:
        sums = self._partitions[partition]
        summary = self._bins.summary(partition, span, sums, self._model_sha256, self._worker)
        if lost:
            summary = replace(summary, lost=lost)
        if by_segment:
            summary = replace(summary, by_segment=by_segment)
        if not sums.candidate_decided:
            return summary
        return replace(
            summary,
            candidate_sha256=self._candidate_sha256,
            candidate_decided=sums.candidate_decided,
            candidate_anomalies=sums.candidate_anomalies,
        )


def signal_matrix(inputs: np.ndarray, scored: Scored) -> np.ndarray:
    """Every signal of m events, a row each, in the order of `models.manifest.signal_layout`.

    Args:
        inputs: float32 [m, inputs], raw, NaN where missing.
        scored: The model's outputs.

    Returns:
        float32 [signals, m]; a missing input is NaN, and so is its residual: an imputed value is no observation.
    """
    missing = np.isnan(inputs).T
    parts = [scored.score[None], scored.standardised.T, scored.latent.T, scored.residual.T]
    if missing.any():
        parts[1] = np.where(missing, np.nan, parts[1])
        parts[3] = np.where(missing, np.nan, parts[3])
    return np.concatenate(parts)
