"""The model-swap protocol on the wire: commands, the statuses of workers and controller, and the audit trail.

Commands are one tagged union; `model-swap` has one partition, so its order is the order of events for everyone. What a
log of commands means is a pure function of the log (`stream_app.rollout.state`).
"""

from enum import StrEnum
from typing import Annotated

from msgspec import Meta, Struct

from schemas.comparison import GuardReport
from schemas.scoring import Count, ModelRef, Moment, NonEmpty, PartitionNumber, Sha256


class _Command(Struct, frozen=True, tag_field="type", omit_defaults=True, kw_only=True):
    command_id: NonEmpty
    issuer: Annotated[NonEmpty, Meta(description="who: a person, or controller@WORKER")]
    issued_at: Moment
    expires_at: Moment | None = None
    reason: Annotated[str, Meta(description="why, for the audit trail")] = ""


class StagePurpose(StrEnum):
    """What a model is staged for: to decide everything, nothing, or for a share of the customers.

    `rollback` is to decide everything again: what serves until then is no way back any more.
    """

    SERVE = "serve"
    SHADOW = "shadow"
    CANARY = "canary"
    ROLLBACK = "rollback"


Percent = Annotated[float, Meta(gt=0, le=100, description="share of the customers, by hash of the id")]


class GateVerdict(Struct, frozen=True, omit_defaults=True, kw_only=True):
    """What the gates said of a candidate before it was staged, and who put it through all the same."""

    passed: bool
    against: Annotated[str, Meta(description="sha256 of the model that it was compared with; empty: with none")] = ""
    failed: Annotated[list[str], Meta(description="the gates that refused it")] = []
    report_sha256: Annotated[str, Meta(description="digest of the report; empty: there is none")] = ""
    override_by: str = ""
    override_reason: str = ""


class Stage(_Command, frozen=True, tag="stage", kw_only=True):
    """Fetch the model, check it and warm it up, beside the serving one. A newer stage replaces a pending one."""

    uri: Annotated[NonEmpty, Meta(description="where workers fetch the artefact: a path or URL")]
    model: ModelRef
    role: StagePurpose = StagePurpose.SERVE
    percent: Annotated[Percent | None, Meta(description="of a canary")] = None
    gates: GateVerdict | None = None


class Activate(_Command, frozen=True, tag="activate", kw_only=True):
    """From the next batch on the staged model does what it was staged for: it serves, or is the candidate.

    Written by the controller when every live worker has staged it.
    """

    stage_id: NonEmpty


class Abort(_Command, frozen=True, tag="abort", kw_only=True):
    """Drop the pending stage, or the candidate that came of it.

    Written by the controller when a worker rejected it, or by an operator.
    """

    stage_id: NonEmpty


class Shadow(_Command, frozen=True, tag="shadow", kw_only=True):
    """The candidate of this stage scores everything and decides nothing."""

    stage_id: NonEmpty


class Canary(_Command, frozen=True, tag="canary", kw_only=True):
    """The candidate of this stage decides for a share of the customers."""

    stage_id: NonEmpty
    percent: Percent


class Promote(_Command, frozen=True, tag="promote", kw_only=True):
    """The candidate of this stage serves from the next batch on. It is warm everywhere: needs no load."""

    stage_id: NonEmpty
    automatic: Annotated[bool, Meta(description="by the guard: has no effect while automatic action is frozen")] = False


class Rollback(_Command, frozen=True, tag="rollback", kw_only=True):
    """Drop the candidate or, where there is none, serve the previous model again, from warm memory.

    What is left this way is returned to only by its name, until it has been deployed or promoted again.

    Needs no load and no controller. `to` says which model shall decide alone after it: it has no effect where that one
    does so already, or is not warm, so that of two operators at once the second does not undo what the first did.
    """

    to: Annotated[Sha256 | None, Meta(description="the serving or the previous model")] = None
    automatic: Annotated[bool, Meta(description="by the guard: has no effect while automatic action is frozen")] = False


class Freeze(_Command, frozen=True, tag="freeze", kw_only=True):
    """No automatic promotion or rollback from here on. What people command has its effect as before."""


class Unfreeze(_Command, frozen=True, tag="unfreeze", kw_only=True):
    """Automatic action is allowed again."""


Command = Stage | Activate | Abort | Shadow | Canary | Promote | Rollback | Freeze | Unfreeze


class Phase(StrEnum):
    """What a status record says."""

    HEARTBEAT = "heartbeat"
    STAGED = "staged"
    REJECTED = "rejected"
    APPLIED = "applied"
    GUARD = "guard"
    STOPPED = "stopped"


class PartitionProgress(Struct, frozen=True):
    """Where a worker stands on one input partition. Lag is what can be read and has not been."""

    partition: PartitionNumber
    position: Count
    lag: Count
    behind_open_transaction: Annotated[
        Count, Meta(description="offsets from the last stable one on: nobody may read them until a transaction ends")
    ] = 0
    open_transaction_s: Annotated[float, Meta(description="for how long the last stable offset has held it up")] = 0.0
    expires_in_s: Annotated[
        float | None, Meta(description="until the broker deletes the oldest unread record; null: nothing is unread")
    ] = None


class Notice(Struct, frozen=True):
    """Something about the input that a person should know of, though the worker goes on."""

    at: Moment
    sentence: str
    is_loss: Annotated[bool, Meta(description="records were never read")] = False


class AlertVolume(Struct, frozen=True):
    """What a worker has scored since its model was put in service there, and how much of it were anomalies."""

    scored: Count
    anomalies: Count
    usual: Annotated[
        float, Meta(ge=0, description="share under the model before it; where too little is known, its own budget")
    ]


P_VALUE_LEVELS = (0.1, 0.25, 0.5)


class PValues(Struct, frozen=True):
    """What a worker has scored in the last day, and how much of it has p-values up to 0.1, 0.25 and 0.5."""

    scored: Count
    at_most: Annotated[list[Count], Meta(min_length=3, max_length=3)]


class WorkerVitals(Struct, frozen=True):
    """The figures that a heartbeat carries, so that any worker's page and `stream-app status` can show all workers."""

    started_at: Moment
    web_url: str
    ready: bool
    events_per_second: float
    scored: Count
    anomalies: Count
    dead_lettered: Count
    latency_p50_ms: float | None
    latency_p99_ms: float | None
    partitions: list[PartitionProgress]
    notices: Annotated[list[Notice], Meta(description="the latest since the worker started, oldest first")] = []
    state: Annotated[str, Meta(description="what the pipeline does or, where that is nothing, why")] = ""
    alive: Annotated[bool, Meta(description="false: only a restart helps, and `state` says why")] = True
    refused_per_second: float = 0.0
    volume: AlertVolume | None = None
    p_values: Annotated[PValues | None, Meta(description="null until the model has served here for a day")] = None


class ModelStatus(Struct, frozen=True, omit_defaults=True, kw_only=True):
    """One worker's word: alive, staged, rejected, or applied from these offsets on; or what the guard there finds.

    `applied` is written in the transaction that holds the first output of that model: `barriers` maps an input
    partition to the first offset that this worker scored with it. A worker that takes over a partition says so with a
    barrier of its own, so the records in order say which model and worker own every offset.
    """

    worker: NonEmpty
    phase: Phase
    at: Moment
    serving: ModelRef | None = None
    previous: ModelRef | None = None
    candidate: ModelRef | None = None
    percent: Annotated[float, Meta(description="of the customers, for whom the candidate decides; 0: a shadow")] = 0.0
    command_id: Annotated[
        str, Meta(description="the command this answers; of a heartbeat, the one that put in service what scores")
    ] = ""
    reason: str = ""
    barriers: dict[str, Count] = {}
    vitals: WorkerVitals | None = None
    guard: GuardReport | None = None


Digits = Annotated[str, Meta(pattern="^[0-9]{1,18}$")]


class Seal(Struct, frozen=True):
    """What the audit log held when it was sealed: the records since the seal before, that one among them."""

    records: Annotated[dict[Digits, str], Meta(description="offset to sha256 of the value, in the log's order")]


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
    sequence: Count = 0
    previous: str = ""
    seal: Seal | None = None
    settings: Annotated[
        dict[str, str] | None, Meta(description="of a worker that starts: what is not default, without secrets")
    ] = None
