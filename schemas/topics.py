"""Every topic: who writes it, its key, partitions and retention.

The worker and the CLI create what is missing from these declarations.
"""

from dataclasses import dataclass, field
from datetime import timedelta
from types import MappingProxyType
from typing import Any

from schemas.comparison import Comparison
from schemas.drift import DriftAlert, DriftSummary
from schemas.rollout import AuditRecord, Command, ModelStatus
from schemas.scoring import Anomaly, DeadLetter, Label, Latent, Redelivered, Score

FOREVER = timedelta.max


@dataclass(frozen=True, eq=False)
class Topic:
    """One topic as the product needs it.

    Attributes:
        name: Without the prefix that settings may put before it.
        record: The struct, or union of structs, that its values hold; a plain object where a definition says it; bytes
            where they are a program's own.
        key: What the record key is.
        written_by: Who writes it.
        description: One sentence for the AsyncAPI document and `--help`.
        partitions: None means: as many as settings say for the input.
        retention: How long records are kept.
        config: Further broker settings of the topic.
    """

    name: str
    record: Any
    key: str
    written_by: str
    description: str
    partitions: int | None
    retention: timedelta
    config: MappingProxyType[str, str] = field(default_factory=lambda: MappingProxyType({}))


TRANSACTIONS = Topic(
    "transactions",
    record=dict[str, Any],
    key="entity",
    written_by="producers, rekey, deadletters replay",
    description="The input: events, read by the detector's definition.",
    partitions=None,
    retention=timedelta(days=7),
)
ANOMALIES = Topic(
    "anomalies",
    record=Anomaly,
    key="entity",
    written_by="pipeline",
    description="One record for each event over the threshold.",
    partitions=None,
    retention=timedelta(days=30),
)
SCORES = Topic(
    "scores",
    record=Score,
    key="entity",
    written_by="pipeline, off by default",
    description="Every score.",
    partitions=None,
    retention=timedelta(days=7),
)
LATENTS = Topic(
    "latents",
    record=Latent,
    key="entity",
    written_by="pipeline, off by default",
    description="The latent vector of every event.",
    partitions=None,
    retention=timedelta(days=7),
)
DEAD_LETTERS = Topic(
    "dead-letters",
    record=DeadLetter,
    key="original key",
    written_by="pipeline, rekey",
    description="Refused records, whole, with where they came from and why.",
    partitions=None,
    retention=timedelta(days=30),
    config=MappingProxyType({"max.message.bytes": str(16 * 1024 * 1024)}),
)
REDELIVERIES = Topic(
    "redeliveries",
    record=Redelivered,
    key="actor",
    written_by="deadletters replay",
    description="Which dead letters went back onto the input.",
    partitions=1,
    retention=timedelta(days=60),  # longer than a dead letter is kept
)
DRIFT_SUMMARIES = Topic(
    "drift-summaries",
    record=DriftSummary,
    key="partition",
    written_by="pipeline",
    description="Mergeable sums of every signal, one per partition and commit: internal.",
    partitions=1,
    retention=timedelta(days=7),  # some kilobytes for each commit and partition: too much to keep for ever
)
DRIFT_ALERTS = Topic(
    "drift-alerts",
    record=DriftAlert,
    key="signal",
    written_by="drift agent",
    description="What drifted, since when, how far, and the likely cause.",
    partitions=1,
    retention=timedelta(days=365),
)
COMPARISONS = Topic(
    "comparisons",
    record=Comparison,
    key="worker id",
    written_by="pipeline",
    description="Two models on the same events, one per commit while there is a second model: internal.",
    partitions=1,
    retention=timedelta(days=7),
)
WINDOW_STATE = Topic(
    "window-state",
    record=bytes,
    key="windows, input partition, entity: binary",
    written_by="pipeline, warm-up",
    description="What the windows hold of each entity, as of an offset of its partition: internal.",
    partitions=None,
    retention=FOREVER,
    # Read whole when a worker takes a partition up: what was replaced must go soon
    config=MappingProxyType(
        {"cleanup.policy": "compact", "segment.bytes": str(64 * 1024 * 1024), "min.cleanable.dirty.ratio": "0.2"}
    ),
)
WINDOW_TOTALS = Topic(
    "window-totals",
    record=bytes,
    key="windows, input partition, which entity: binary",
    written_by="pipeline",
    description="What shops and other entities add up to in each hop that is over, of one input partition: internal.",
    partitions=None,
    retention=timedelta(days=400),  # the longest reach of a window is so many days
)
MODEL_SWAP = Topic(
    "model-swap",
    record=Command,
    key="one order for all",
    written_by="operators, controller",
    description="Commands that stage, activate, try out and roll back models.",
    partitions=1,
    retention=FOREVER,
    # Whether a command has expired is judged by the brokers' clock, the same for everyone, not by its issuer's.
    config=MappingProxyType({"message.timestamp.type": "LogAppendTime"}),
)
MODEL_STATUS = Topic(
    "model-status",
    record=ModelStatus,
    key="worker id",
    written_by="workers",
    description="Heartbeats, and what became of each command on each worker.",
    partitions=1,
    retention=timedelta(days=7),
    # Whether a worker is silent is judged by the record timestamp: by the brokers' clock, not by its own.
    config=MappingProxyType({"message.timestamp.type": "LogAppendTime"}),
)
LABELS = Topic(
    "labels",
    record=Label,
    key="event_id",
    written_by="case tools, analysts",
    description="Confirmed fraud or legitimate, often days late.",
    partitions=None,
    retention=timedelta(days=90),
)
AUDIT = Topic(
    "audit",
    record=AuditRecord,
    key="actor",
    written_by="everything that changes what the system does",
    description="Who did what, when, why, with what effect.",
    partitions=1,
    retention=FOREVER,
)

ALL = (
    TRANSACTIONS,
    ANOMALIES,
    SCORES,
    LATENTS,
    DEAD_LETTERS,
    REDELIVERIES,
    DRIFT_SUMMARIES,
    DRIFT_ALERTS,
    COMPARISONS,
    WINDOW_STATE,
    WINDOW_TOTALS,
    MODEL_SWAP,
    MODEL_STATUS,
    LABELS,
    AUDIT,
)
OF_JSON = tuple(topic for topic in ALL if topic.record is not bytes)
