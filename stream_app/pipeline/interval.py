"""The open commit interval: which input offsets it covers, and what became of their records."""

import math
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import numpy as np

from schemas.scoring import RefusalCode, Severity
from stream_app.pipeline.batch import Decoded, Raw, Reasoned
from stream_app.pipeline.starts import Gap

LATENCY_SAMPLE = 32  # the latency of one record in so many is measured


@dataclass(slots=True)
class Interval:
    """Work between two commits. It becomes permanent as a whole, or is thrown away with its session.

    Attributes:
        began_at: Monotonic seconds of the commit before it; in a new session the first batch is committed at once.
        is_dirty: There is something to commit: records, or barriers alone.
        is_awaited: Somebody waits for something in it: an anomaly, or a model's barriers.
        spans: For each input partition its first offset and the offset to commit, which is the one after its last.
        scored: Records that have a score.
        refused: The other records, by reason.
        anomalies: Of the scored ones, by severity.
        lost: Of each partition, the number of offsets that are never read: the first of its span.
        passed_over: Partitions where somebody has set the group's offset behind these; else the broker deleted them.
        repeated: Those whose id had come shortly before, scored or refused for it.
        timestamps: Milliseconds since the epoch at which the sampled records were produced.
        p_values: By the model in service, float64 [rows] of each micro-batch.
    """

    began_at: float = -math.inf
    is_dirty: bool = False
    is_awaited: bool = False
    spans: dict[int, tuple[int, int]] = field(default_factory=dict)
    scored: int = 0
    refused: Counter[RefusalCode] = field(default_factory=Counter)
    anomalies: Counter[Severity] = field(default_factory=Counter)
    lost: dict[int, int] = field(default_factory=dict)
    passed_over: set[int] = field(default_factory=set)
    repeated: int = 0
    timestamps: list[int] = field(default_factory=list)
    p_values: list[np.ndarray] = field(default_factory=list)

    def add(self, raw: Raw, decoded: Decoded, reasoned: Iterable[Reasoned]) -> None:
        """Count a micro-batch in."""
        self.is_dirty = True
        for partition, (start, end) in raw.spans.items():
            self.spans[partition] = (self.spans[partition][0] if partition in self.spans else start, end)
        self.scored += len(decoded.rows)
        self.refused.update(refusal.code for refusal in decoded.refused)
        for reasons in reasoned:
            self.anomalies.update(reasons.severities)
        self.is_awaited |= self.anomalies.total() > 0
        self.timestamps += [record.timestamp()[1] for record in raw.records[::LATENCY_SAMPLE]]

    def lose(self, partition: int, gap: Gap) -> None:
        """Account for offsets that are never read; called before the first records of the partition are counted in.

        There may be none: then the place itself is what is committed.
        """
        self.is_dirty = True
        self.spans[partition] = (gap.start, gap.end)
        if gap.end > gap.start:
            self.lost[partition] = gap.end - gap.start
        if gap.is_passed_over:
            self.passed_over.add(partition)

    def stay(self, partition: int, position: int) -> None:
        """Commit a partition where it is, if it has not moved: what is written about it is written by its owner."""
        self.spans.setdefault(partition, (position, position))

    def age_s(self, monotonic: float) -> float:
        """Seconds since the commit before; 0 while there is nothing to commit.

        So the first record after a quiet time is committed at once.
        """
        return monotonic - self.began_at if self.is_dirty else 0.0

    @property
    def offsets(self) -> Mapping[int, int]:
        """Input partition to the offset to commit."""
        return {partition: end for partition, (_, end) in self.spans.items()}
