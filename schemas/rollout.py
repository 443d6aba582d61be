"""The model-swap protocol on the wire: commands, what the workers and the controller answer, and the audit trail.

Commands are one tagged union; `model-swap` has one partition, so its order is the order of events for everyone. What a
log of commands means is a pure function of the log (`stream_app.rollout.state`).
"""

from enum import StrEnum
from typing import Annotated

from msgspec import Meta, Struct

from schemas.transactions import ModelRef, Moment, NonEmpty


class _Command(Struct, frozen=True, tag_field="type", omit_defaults=True, kw_only=True):
    command_id: NonEmpty
    issuer: Annotated[NonEmpty, Meta(description="who: a person, or controller@WORKER")]
    issued_at: Moment
    expires_at: Moment | None = None
    reason: Annotated[str, Meta(description="why, for the audit trail")] = ""


class Stage(_Command, frozen=True, tag="stage", kw_only=True):
    """Fetch the model, check it and warm it up, beside the serving one. A newer stage replaces a pending one."""

    uri: Annotated[NonEmpty, Meta(description="where workers fetch the artefact: a path or URL")]
    model: ModelRef


class Activate(_Command, frozen=True, tag="activate", kw_only=True):
    """Serve the staged model from the next batch on. Written by the controller when every live worker has staged it."""

    stage_id: NonEmpty


class Abort(_Command, frozen=True, tag="abort", kw_only=True):
    """Drop the pending stage. Written by the controller when a worker rejected it, or by an operator."""

    stage_id: NonEmpty


class Rollback(_Command, frozen=True, tag="rollback", kw_only=True):
    """Serve the previous model again, from warm memory. Needs no load and no controller."""


Command = Stage | Activate | Abort | Rollback


class Phase(StrEnum):
    """What a status record says."""

    HEARTBEAT = "heartbeat"
    STAGED = "staged"
    REJECTED = "rejected"
    APPLIED = "applied"
    STOPPED = "stopped"


class PartitionProgress(Struct, frozen=True):
    """Where a worker stands on one input partition."""

    partition: int
    position: int
    lag: int


class WorkerVitals(Struct, frozen=True):
    """The figures that a heartbeat carries, so that any worker's page and `stream-app status` can show all workers."""

    started_at: Moment
    web_url: str
    ready: bool
    events_per_second: float
    scored: int
    anomalies: int
    dead_lettered: int
    latency_p50_ms: float | None
    latency_p99_ms: float | None
    partitions: list[PartitionProgress]


class ModelStatus(Struct, frozen=True, omit_defaults=True, kw_only=True):
    """One worker's word: alive, staged, rejected, or applied from these offsets on.

    `applied` is written in the transaction that holds the first output of that model: `barriers` maps an input
    partition to the first offset that this worker scored with it. A worker that takes over a partition says so with a
    barrier of its own, so the records in order say which model and worker own every offset.
    """

    worker: NonEmpty
    phase: Phase
    at: Moment
    serving: ModelRef | None = None
    previous: ModelRef | None = None
    command_id: Annotated[str, Meta(description="the command this answers, empty for heartbeats")] = ""
    reason: str = ""
    barriers: dict[str, int] = {}
    vitals: WorkerVitals | None = None


class Seal(Struct, frozen=True):
    """What the audit log held when it was sealed: the records since the seal before, that one among them."""

    records: Annotated[dict[str, str], Meta(description="offset to sha256 of the record's value, in the log's order")]


class AuditRecord(Struct, frozen=True, omit_defaults=True):
    """Who did what, when, why, with what effect.

    Records are chained by writer: `sequence` counts from 1, `previous` is the sha256 of the value of the writer's
    record before. Records from before the chain have neither.
    """

    audit_id: NonEmpty
    at: Moment
    actor: NonEmpty
    action: Annotated[
        NonEmpty, Meta(description="stage, activate, abort, rollback, refuse, train, configure, seal, ...")
    ]
    subject: Annotated[str, Meta(description="what it was done to: a model, a topic, a setting")]
    reason: str = ""
    effect: str = ""
    command_id: str = ""
    writer: Annotated[str, Meta(description="a writer's session: one process, from start to end")] = ""
    sequence: Annotated[int, Meta(ge=0)] = 0
    previous: str = ""
    seal: Seal | None = None
    settings: Annotated[
        dict[str, str] | None, Meta(description="of a worker that starts: what is not default, without secrets")
    ] = None
