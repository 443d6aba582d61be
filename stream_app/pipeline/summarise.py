"""Everything to mergeable sums, by partition and commit: what drift detection needs and `stream-app verify` counts.

Outcomes are counted at once. Signals are held until there are so many that a call of numpy costs little for each, or
the interval ends: then they become one matrix with a row for each signal, its transactions ordered by partition. Where
drift is watched by segments too, it is ordered by these as well: a partition's sums are what its segments add up to.
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

HELD_VALUES = 80_000  # 2,048 rows of 39 signals: with what is made of them, they fit the cache of a core
HELD_TIMES = 4  # with segments: many parts, each with few rows, for which the calls cost more than the cache saves


@dataclass(frozen=True, slots=True)
class Held:
    """Rows of a micro-batch that are not in the sums yet.

    Attributes:
        places: int64 [m], the partition of each; where there are segments, times their number and that of "none", plus
            the number of the segment.
        signals: float32 [signals, m], as of `signal_matrix`.
        inputs: float32 [m, inputs], raw.
        event_times: m datetimes.
    """

    places: np.ndarray
    signals: np.ndarray
    inputs: np.ndarray
    event_times: Sequence[datetime]


class Summaries:
    """The summaries of the commit interval that is open, all of the model that serves, whoever decided.

    Args:
        references: The model's signals, in the order of the columns.
        relations: Of its inputs, where its manifest has them.
        model_sha256: That model.
        worker: Who counts.
        candidate_sha256: Of the canary that decides for some; empty where there is none.
        segments: By which drift is watched too; the rows say in which they are.
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
        self._held_rows = HELD_VALUES // len(references) * (HELD_TIMES if self._labels else 1)

    def add(self, raw: Raw, decoded: Decoded, scored: Scored, outcomes: Sequence[tuple[Decided, Reasoned]]) -> None:
        """Count a micro-batch in.

        Args:
            raw: The batch.
            decoded: All rows that were scored.
            scored: What the model that serves says of them.
            outcomes: Who decided which of them, and what is anomalous: first the model that serves, then a canary.
        """
        partitions = np.asarray(raw.partitions)
        accepted = partitions[decoded.rows]
        refused = partitions[[refusal.row for refusal in decoded.refused]]
        decided = [partitions[mine.decoded.rows] for mine, _ in outcomes]
        anomalous = [at[reasoned.rows] for at, (_, reasoned) in zip(decided, outcomes, strict=True)]
        for partition, span in raw.spans.items():
            sums = self._partitions.setdefault(partition, PartitionSums(span[0], self._bins))
            sums.to_offset = span[1]
            sums.dead_lettered += int(np.count_nonzero(refused == partition))
            sums.anomalies += sum(int(np.count_nonzero(at == partition)) for at in anomalous)
            sums.candidate_decided += sum(int(np.count_nonzero(at == partition)) for at in decided[1:])
            sums.candidate_anomalies += sum(int(np.count_nonzero(at == partition)) for at in anomalous[1:])
        if len(accepted):
            signals = signal_matrix(decoded.inputs, scored)
            self._held.append(Held(self._places(accepted, decoded), signals, decoded.inputs, decoded.event_times))
        if sum(len(held.places) for held in self._held) >= self._held_rows:
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
        """Where its rows are counted: those in no segment with the partition itself."""
        partition, segment = divmod(place, len(self._labels) + 1)
        if segment == 0:
            return self._partitions[partition]
        if (partition, segment) not in self._segments:
            self._segments[partition, segment] = PartitionSums(0, self._bins)
        return self._segments[partition, segment]

    def _add_anomalies(self, partitions: np.ndarray, decoded: Decoded, reasoned: Reasoned) -> None:
        """Count them with their segments; their partitions have them."""
        for place in self._places(partitions, decoded)[reasoned.rows].tolist():
            if place % (len(self._labels) + 1):
                self._part(place).anomalies += 1

    def _add_held(self) -> None:
        """Add to the sums what is held."""
        places = np.concatenate([held.places for held in self._held])
        signals = np.concatenate([held.signals for held in self._held], axis=1)
        inputs = np.concatenate([held.inputs for held in self._held])
        times = list(chain.from_iterable(held.event_times for held in self._held))
        self._held = []
        order = np.argsort(places, kind="stable")
        present, starts = np.unique(places[order], return_index=True)
        if len(present) > 1:
            signals, inputs, times = np.take(signals, order, axis=1), inputs[order], [times[i] for i in order.tolist()]
        parts = [self._part(place) for place in present.tolist()]
        self._bins.add(parts, starts, signals, inputs.T)
        for sums, start, end in zip(parts, starts.tolist(), [*starts[1:].tolist(), len(times)], strict=True):
            sums.add_times(times[start:end])

    def drain(self) -> list[DriftSummary]:
        """The summaries of the interval, which is empty after that."""
        if self._held:
            self._add_held()
        segments: dict[int, list[SegmentSummary]] = {}
        for (partition, segment), sums in sorted(self._segments.items()):
            segments.setdefault(partition, []).append(self._bins.segment(self._labels[segment - 1], sums))
            self._partitions[partition].include(sums)
        drained = [
            self._summary(partition, sums, segments.get(partition, []))
            for partition, sums in sorted(self._partitions.items())
        ]
        self._partitions, self._segments = {}, {}
        return drained

    def _summary(self, partition: int, sums: PartitionSums, segments: list[SegmentSummary]) -> DriftSummary:
        summary = self._bins.summary(partition, sums, self._model_sha256, self._worker)
        if segments:
            summary = replace(summary, segments=segments)
        if not sums.candidate_decided:
            return summary
        return replace(
            summary,
            candidate_sha256=self._candidate_sha256,
            candidate_decided=sums.candidate_decided,
            candidate_anomalies=sums.candidate_anomalies,
        )

    @property
    def offsets(self) -> Mapping[int, int]:
        """Input partition to the offset that must be committed with these summaries."""
        return {partition: sums.to_offset for partition, sums in self._partitions.items()}


def signal_matrix(inputs: np.ndarray, scored: Scored) -> np.ndarray:
    """Every signal of m transactions, a row each, in the order of `models.manifest.signal_layout`.

    Args:
        inputs: float32 [m, inputs], raw, NaN where missing.
        scored: What the model says of them.

    Returns:
        float32 [signals, m]; an input that was missing is NaN, and so is its residual: what was imputed is no
        observation.
    """
    missing = np.isnan(inputs).T
    parts = [scored.score[None], scored.standardised.T, scored.latent.T, scored.residual.T]
    if missing.any():
        parts[1] = np.where(missing, np.nan, parts[1])
        parts[3] = np.where(missing, np.nan, parts[3])
    return np.concatenate(parts)
