"""Everything to mergeable sums, by partition and commit: what drift detection needs and `stream-app verify` counts.

Each signal is sorted once per micro-batch; the histogram, the tail and the missing ones are then positions in the
sorted column, which costs a third of a bin search per value.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime

import numpy as np
from msgspec.structs import replace

from models.manifest import SignalReference
from models.runtime import Scored
from schemas.drift import DriftSummary
from stream_app.pipeline.batch import Decided, Decoded, Raw, Reasoned


class Summaries:
    """The summaries of the commit interval that is open, all of the model that serves, whoever decided.

    Args:
        references: The model's signals, in the order of the columns.
        model_sha256: That model.
        worker: Who counts.
        candidate_sha256: Of the canary that decides for some; empty where there is none.
    """

    def __init__(
        self, references: Sequence[SignalReference], model_sha256: str, worker: str, candidate_sha256: str = ""
    ) -> None:
        self._bins = Bins(references)
        self._model_sha256 = model_sha256
        self._candidate_sha256 = candidate_sha256
        self._worker = worker
        self._partitions: dict[int, PartitionSums] = {}

    def add(self, raw: Raw, decoded: Decoded, scored: Scored, outcomes: Sequence[tuple[Decided, Reasoned]]) -> None:
        """Count a micro-batch in.

        Args:
            raw: The batch.
            decoded: All rows that were scored.
            scored: What the model that serves says of them.
            outcomes: Who decided which of them, and what is anomalous: first the model that serves, then a canary.
        """
        matrix = signal_matrix(decoded.inputs, scored)
        partitions = np.asarray(raw.partitions)
        accepted = partitions[decoded.rows]
        refused = partitions[[refusal.row for refusal in decoded.refused]]
        decided = [partitions[mine.decoded.rows] for mine, _ in outcomes]
        anomalous = [at[reasoned.rows] for at, (_, reasoned) in zip(decided, outcomes, strict=True)]
        for partition, span in raw.spans.items():
            sums = self._partitions.setdefault(partition, PartitionSums(span[0], len(self._bins)))
            sums.to_offset = span[1]
            sums.dead_lettered += int(np.count_nonzero(refused == partition))
            sums.anomalies += sum(int(np.count_nonzero(at == partition)) for at in anomalous)
            sums.candidate_decided += sum(int(np.count_nonzero(at == partition)) for at in decided[1:])
            sums.candidate_anomalies += sum(int(np.count_nonzero(at == partition)) for at in anomalous[1:])
            rows = np.flatnonzero(accepted == partition).tolist()
            if len(rows):
                self._bins.add_to(sums, matrix if len(rows) == len(matrix) else matrix[rows])
                sums.span_times(
                    decoded.event_times if len(rows) == len(matrix) else [decoded.event_times[i] for i in rows]
                )

    def drain(self) -> list[DriftSummary]:
        """The summaries of the interval, which is empty after that."""
        drained = [self._summary(partition, sums) for partition, sums in sorted(self._partitions.items())]
        self._partitions = {}
        return drained

    def _summary(self, partition: int, sums: "PartitionSums") -> DriftSummary:
        summary = self._bins.summary(partition, sums, self._model_sha256, self._worker)
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


class PartitionSums:
    """Running sums of one partition; columns are signals."""

    def __init__(self, from_offset: int, signals: int) -> None:
        self.from_offset = from_offset
        self.to_offset = from_offset
        self.scored = 0
        self.dead_lettered = 0
        self.anomalies = 0
        self.candidate_decided = 0
        self.candidate_anomalies = 0
        self.first_event: datetime | None = None
        self.last_event: datetime | None = None
        self.missing = np.zeros(signals, dtype=np.int64)
        self.centred = np.zeros(signals)
        self.squared = np.zeros(signals)
        self.tail = np.zeros(signals, dtype=np.int64)
        self.below: list[np.ndarray | int] = [0] * signals

    def span_times(self, event_times: Sequence[datetime]) -> None:
        """Widen the span of event times."""
        first, last = min(event_times), max(event_times)
        self.first_event = first if self.first_event is None else min(self.first_event, first)
        self.last_event = last if self.last_event is None else max(self.last_event, last)


class Bins:
    """The reference's means, tails and bin edges as arrays, and the sums taken against them."""

    def __init__(self, references: Sequence[SignalReference]) -> None:
        self._names = [reference.name for reference in references]
        self._mean = np.array([reference.mean for reference in references], dtype=np.float32)
        # The tail is one more edge, so that one search serves both.
        self._edges = [np.array([*reference.edges, reference.tail], dtype=np.float32) for reference in references]

    def __len__(self) -> int:
        return len(self._names)

    def add_to(self, sums: PartitionSums, matrix: np.ndarray) -> None:
        """Add the rows of `matrix` (float32 [n, signals], NaN where missing)."""
        columns = np.sort(matrix.T, axis=1)  # NaN last
        missing = np.isnan(columns).sum(axis=1)
        centred = matrix - self._mean
        if missing.any():
            np.nan_to_num(centred, copy=False)
        sums.scored += len(matrix)
        sums.missing += missing
        sums.centred += centred.sum(axis=0, dtype=np.float64)
        sums.squared += np.einsum("ij,ij->j", centred, centred, dtype=np.float64)
        for signal, (column, edges) in enumerate(zip(columns, self._edges, strict=True)):
            sums.below[signal] = sums.below[signal] + column.searchsorted(edges, side="right")

    def summary(self, partition: int, sums: PartitionSums, model_sha256: str, worker: str) -> DriftSummary:
        """The record of one partition."""
        present = sums.scored - sums.missing
        counted = np.maximum(present, 1)
        below = [np.broadcast_to(b, e.shape) for b, e in zip(sums.below, self._edges, strict=True)]
        histogram = [np.diff(b[:-1], prepend=0, append=n).tolist() for b, n in zip(below, present, strict=True)]
        return DriftSummary(
            partition=partition,
            from_offset=sums.from_offset,
            to_offset=sums.to_offset,
            scored=sums.scored,
            dead_lettered=sums.dead_lettered,
            anomalies=sums.anomalies,
            model_sha256=model_sha256,
            worker=worker,
            event_time_min=sums.first_event,
            event_time_max=sums.last_event,
            signals=self._names,
            missing=sums.missing.tolist(),
            mean=(self._mean + sums.centred / counted).tolist(),
            m2=np.maximum(sums.squared - sums.centred**2 / counted, 0.0).tolist(),
            tail=[int(n - b[-1]) for b, n in zip(below, present, strict=True)],
            histogram=histogram,
        )


def signal_matrix(inputs: np.ndarray, scored: Scored) -> np.ndarray:
    """Every signal of m rows, in the order of `models.manifest.signal_layout`.

    Args:
        inputs: float32 [m, inputs], raw, NaN where missing.
        scored: What the model says of them.

    Returns:
        float32 [m, signals]; an input that was missing is NaN, and so is its residual: what was imputed is no
        observation.
    """
    standardised, residual = scored.standardised, scored.residual
    missing = np.isnan(inputs)
    if missing.any():
        standardised = np.where(missing, np.nan, standardised)
        residual = np.where(missing, np.nan, residual)
    return np.hstack((scored.score[:, None], standardised, scored.latent, residual))
