"""Summaries, which the pipeline writes and the drift aggregator merges, and the alerts that the aggregator raises."""

from enum import StrEnum
from typing import Annotated

from msgspec import Meta, Struct

from schemas.scoring import Count, ModelRef, Moment, NonEmpty, PartitionNumber, Sha256, TopicId

Summable = Annotated[float, Meta(ge=-1e60, le=1e60)]  # any sum of float32, and far from where sums overflow


class SignalSums(Struct, frozen=True):
    """Sums of every signal over some events, all of them scored by the model that serves.

    Columns are per signal, in the order of `signals`. Values are as the model sees them; missing values count in
    `missing` alone.
    """

    missing: list[Count]
    mean: Annotated[list[Summable], Meta(description="of the values that are not missing")]
    tail: Annotated[list[Count], Meta(description="values beyond the 99.9 % quantile of the reference")]
    histogram: Annotated[list[list[Count]], Meta(description="counts in the manifest's bins, outer bins open")]
    clipped: Annotated[list[Summable], Meta(description="sum of each signal in reference sd, limited to +-4")]
    squares: Annotated[list[Summable], Meta(description="sum of the squares of those")]
    products: Annotated[list[Summable], Meta(description="sums of the products of the manifest's relations")]
    raw: Annotated[list[Summable], Meta(description="sum of each input in its own unit, where not missing")]
    hours: Annotated[list[Count], Meta(description="by hour of event time (UTC): 24 of weekdays, 24 of weekends")]


class SegmentSummary(Struct, frozen=True):
    """One segment in a partition's summary: events that the summary's own sums count too."""

    scored: Count
    anomalies: Count
    sums: SignalSums


class DriftSummary(Struct, frozen=True):
    """One partition in one commit: its offsets, and the sums of every signal over the events scored.

    It travels in the same transaction as the offsets, so it is also the ledger that `stream-app verify` reads:
    to_offset - from_offset = scored + dead_lettered + lost + offsets that hold no record (transaction markers, aborted
    records). The lost ones are the first of the span.

    The sums are of the model that serves, over all rows, whichever model decided; `anomalies` are those published, of
    the model that serves and of a canary together.
    """

    partition: PartitionNumber
    from_offset: Annotated[Count, Meta(description="first input offset accounted for")]
    to_offset: Annotated[Count, Meta(description="next input offset: the offset committed with this summary")]
    scored: Count
    dead_lettered: Count
    anomalies: Count
    model_sha256: Sha256
    worker: str
    event_time_min: Moment | None
    event_time_max: Moment | None
    signals: Annotated[list[str], Meta(description="score, then input:NAME, latent:I, residual:NAME")]
    sums: Annotated[
        SignalSums | None, Meta(description="null: by a worker of an older version; the ledger alone is read")
    ] = None
    by_segment: Annotated[
        dict[str, SegmentSummary],
        Meta(description="label, as in alerts (currency=USD, city=group 3 of 16), to what is in that segment"),
    ] = {}
    candidate_sha256: Annotated[str, Meta(description="of the canary that decided some; empty: there was none")] = ""
    candidate_decided: Annotated[Count, Meta(description="how many of the scored the canary decided")] = 0
    candidate_anomalies: Annotated[Count, Meta(description="how many of the anomalies name the canary")] = 0
    topic_id: TopicId = ""
    lost: Annotated[
        Count, Meta(description="offsets that were never read: deleted before, or passed over by somebody")
    ] = 0


class DriftSeverity(StrEnum):
    """By effect on decisions: how far the alert rate has moved."""

    INFO = "info"
    WARNING = "warning"
    CRITICAL = "critical"


class DriftPhase(StrEnum):
    """How far an incident is. Each phase is a record with the same `alert_id`; the newest one counts."""

    RAISED = "raised"
    CONFIRMED = "confirmed"
    OVER = "over"


class DriftCause(StrEnum):
    """What an incident is likely to be, for machines; `cause` says the same to people."""

    FIELD_MISSING = "field_missing"
    FIELD_BROKEN = "field_broken"
    RELATION_BROKEN = "relation_broken"
    POPULATION = "population"
    ATTACK = "attack"
    REFUSALS = "refusals"
    SWAP = "swap"
    UNKNOWN = "unknown"


class StatisticKind(StrEnum):
    """Which statistic of a signal has moved."""

    MEAN = "mean"
    SPREAD = "spread"
    TAIL = "tail"
    PRODUCT = "product"
    SHARE = "share"


class SignalShift(Struct, frozen=True):
    """One signal of an incident, since the change against the reference."""

    signal: Annotated[str, Meta(description="as in the summaries, or dead_letters, or relation:INPUT+INPUT")]
    detector: Annotated[StatisticKind, Meta(description="which of its statistics has moved")]
    shift: Annotated[float, Meta(description="in standard deviations of the reference; of a share, its excess")]
    reference: Annotated[float, Meta(description="reference mean, as the model sees the signal")]
    current: Annotated[float, Meta(description="mean since the drift began, as the model sees the signal")]
    psi: Annotated[float, Meta(description="population stability index over the sliding window, hours matched")]
    unit: Annotated[str, Meta(description="the input's own unit, where there is one")] = ""
    reference_value: Annotated[float | None, Meta(description="reference mean in that unit")] = None
    current_value: Annotated[float | None, Meta(description="mean since the drift began, in that unit")] = None


class IncidentSwap(Struct, frozen=True):
    """The swap that an incident began with: the model is the cause, not the stream."""

    at: Annotated[Moment, Meta(description="when it was commanded, by the brokers' clock")]
    issuer: str
    before: Annotated[ModelRef, Meta(description="what served until then, and `stream-app rollback` returns to")]


class DriftAlert(Struct, frozen=True):
    """What drifted, since when, how far, and what it is likely to be.

    `alert_id` names the incident and is a function of the summaries' log, so replays repeat it. An incident is raised
    at once, confirmed when enough has been seen to name its cause, and over in the end: one record each. When they
    were written, by the clock on the wall, is the timestamp of each record.
    """

    alert_id: NonEmpty
    raised_at: Annotated[Moment, Meta(description="event time of the newest event in the block that raised it")]
    since: Annotated[Moment, Meta(description="event time at which the detectors place the change")]
    since_offsets: Annotated[dict[str, Count], Meta(description="input partition -> first offset after the change")]
    severity: DriftSeverity
    signals: list[SignalShift]
    cause: Annotated[str, Meta(description="likely cause, as a sentence with its evidence")]
    action: Annotated[str, Meta(description="what to do about it")]
    retraining_helps: bool
    alert_rate_before: float
    alert_rate_now: float
    events_observed: Annotated[Count, Meta(description="events seen by the detectors under this model")]
    model: ModelRef
    phase: DriftPhase = DriftPhase.RAISED
    cause_kind: DriftCause = DriftCause.UNKNOWN
    segment: Annotated[
        str, Meta(description="where it is, or almost all of it, as currency=USD; empty: everywhere")
    ] = ""
    swap: Annotated[IncidentSwap | None, Meta(description="the swap that it began with; null: with none")] = None
    over_because: Annotated[str, Meta(description="why it is over; empty: every signal is back where it was")] = ""
