"""Everything to mergeable sums, by partition and commit: what drift detection needs and `stream-app verify` counts.

A micro-batch is one matrix with a row for each signal, its transactions ordered by partition, and each sum is taken for
all partitions in one pass: the cost does not depend on how many partitions there are.
"""

from collections.abc import Mapping, Sequence

import numpy as np
from msgspec.structs import replace

from models.manifest import Relations, SignalReference
from models.runtime import Scored
from schemas.drift import DriftSummary
from stream_app.pipeline.batch import Decided, Decoded, Raw, Reasoned
from stream_app.pipeline.sums import Bins, PartitionSums


class Summaries:
    """The summaries of the commit interval that is open, all of the model that serves, whoever decided.

    Args:
        references: The model's signals, in the order of the columns.
        relations: Of its inputs, where its manifest has them.
        model_sha256: That model.
        worker: Who counts.
        candidate_sha256: Of the canary that decides for some; empty where there is none.
    """

    def __init__(
        self,
        references: Sequence[SignalReference],
        relations: Relations | None,
        model_sha256: str,
        worker: str,
        candidate_sha256: str = "",
    ) -> None:
        self._bins = Bins(references, relations)
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
            self._add_signals(accepted, decoded, scored)

    def _add_signals(self, partitions: np.ndarray, decoded: Decoded, scored: Scored) -> None:
        """Count the accepted rows in; `partitions` (int64 [m]) says whose each is."""
        order = np.argsort(partitions, kind="stable")
        present, starts = np.unique(partitions[order], return_index=True)
        parts = [self._partitions[partition] for partition in present.tolist()]
        self._bins.add(parts, starts, signal_matrix(decoded.inputs, scored, order), decoded.inputs[order].T)
        times = decoded.event_times
        for sums, rows in zip(parts, np.split(order, starts[1:]), strict=True):
            sums.add_times(times if len(parts) == 1 else [times[row] for row in rows.tolist()])

    def drain(self) -> list[DriftSummary]:
        """The summaries of the interval, which is empty after that."""
        drained = [self._summary(partition, sums) for partition, sums in sorted(self._partitions.items())]
        self._partitions = {}
        return drained

    def _summary(self, partition: int, sums: PartitionSums) -> DriftSummary:
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


def signal_matrix(inputs: np.ndarray, scored: Scored, order: np.ndarray | slice = slice(None)) -> np.ndarray:
    """Every signal of m transactions, a row each, in the order of `models.manifest.signal_layout`.

    Args:
        inputs: float32 [m, inputs], raw, NaN where missing.
        scored: What the model says of them.
        order: int64 [m], in which order the transactions are wanted.

    Returns:
        float32 [signals, m]; an input that was missing is NaN, and so is its residual: what was imputed is no
        observation.
    """
    missing = np.isnan(inputs[order]).T
    parts = [scored.score[None, order], scored.standardised[order].T, scored.latent[order].T, scored.residual[order].T]
    if missing.any():
        parts[1] = np.where(missing, np.nan, parts[1])
        parts[3] = np.where(missing, np.nan, parts[3])
    return np.concatenate(parts)
