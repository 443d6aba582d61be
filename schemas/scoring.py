"""The records of scoring: anomaly, score, latent vector and dead letter; and the label that comes days later.

What stands in an event is not declared here: the detector's definition says what is read of it.

Times are RFC 3339 strings in UTC on the wire and timezone-aware datetimes in Python. Numbers are finite: NaN and
infinity never pass.
"""

from datetime import UTC, datetime
from enum import StrEnum
from typing import Annotated

from msgspec import Meta, Struct

LONGEST_ID = 1024  # ids are repeated in what is published: an endless one makes an anomaly that its topic does not take
# Unicode's white space: an id of nothing else is none, in a file as in the stream
BLANKS = (
    "\t\n\v\f\r \x85\xa0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a"
    "\u2028\u2029\u202f\u205f\u3000"
)
# No event and no record is older or newer: a time beyond is of a wrong unit, or of a clock that was never set.
PLAUSIBLE = datetime(1990, 1, 1, tzinfo=UTC), datetime(2100, 1, 1, tzinfo=UTC)
NonEmpty = Annotated[str, Meta(min_length=1)]
Moment = Annotated[datetime, Meta(tz=True)]
Sha256 = Annotated[
    str, Meta(pattern="^[0-9a-f]{64}$", description="lower-case hexadecimal sha256 of the artefact file")
]
TopicId = Annotated[
    str, Meta(description="Kafka's id of the input topic; empty: by a version that did not write it, or an old broker")
]
Share = Annotated[float, Meta(ge=0, le=1)]
Count = Annotated[int, Meta(ge=0, le=2**63 - 1)]  # a number of records, or an offset
FieldValue = str | bool | int | float
PartitionNumber = Annotated[int, Meta(ge=0, le=2**31 - 1)]  # Kafka has no greater one


class Source(Struct, frozen=True):
    """Where on the input a record stands: the offset that the decision belongs to.

    The id tells a topic from one of the same name that was deleted before: offsets begin anew, places do not repeat.
    """

    topic: str
    partition: PartitionNumber
    offset: Count
    topic_id: TopicId = ""

    def __str__(self) -> str:
        of = f":{self.topic_id}" if self.topic_id else ""
        return f"{self.topic}{of}:{self.partition}:{self.offset}"


class ModelRef(Struct, frozen=True):
    """Which model decided. The sha256 is the identity; name and version are for people."""

    name: str
    version: str
    sha256: Sha256

    def __str__(self) -> str:
        """For people: name, version and the start of the digest."""
        return f"{self.name} {self.version} ({self.sha256[:12]})"


class Usual(Struct, frozen=True, omit_defaults=True):
    """What is usual for the entity of an event, by the means of one or more windows over its past."""

    low: Annotated[float, Meta(description="the least of the means, in the feature's own unit")]
    high: Annotated[float, Meta(description="the greatest of them; with one window the same")]
    over: Annotated[str, Meta(description="length of the longest window: 30d, 12h, 5m")] = ""


class Reason(Struct, frozen=True, omit_defaults=True):
    """One input's part in a score."""

    feature: str
    value: Annotated[
        float | None, Meta(description="as received, in the feature's own unit; null where it was missing")
    ]
    expected: Annotated[float, Meta(description="what the autoencoder reconstructs, in the feature's own unit")]
    share: Annotated[float, Meta(ge=0, le=1, description="part of the score")]
    unit: Annotated[str, Meta(description="of value, expected and usual: EUR, share, flag, 1/d")] = ""
    usual: Annotated[Usual | None, Meta(description="where the model's inputs carry it")] = None
    text: Annotated[
        str, Meta(description="of a category the value itself; value and expected are then shares of the events")
    ] = ""


class Severity(StrEnum):
    """How far beyond the alert budget: p-value at most the budget, a tenth, a hundredth of it."""

    MEDIUM = "medium"
    HIGH = "high"
    CRITICAL = "critical"


class Anomaly(Struct, frozen=True, omit_defaults=True):
    """An event over the threshold.

    `anomaly_id` is a function of the input's place, so a consumer can always drop a duplicate.
    """

    anomaly_id: NonEmpty
    event_id: NonEmpty
    entity: NonEmpty
    event_time: Moment
    scored_at: Moment
    score: float
    threshold: float
    p_value: Annotated[
        float, Meta(ge=0, le=1, description="share of legitimate calibration events that score at least as high")
    ]
    severity: Severity
    explanation: Annotated[
        list[Reason], Meta(description="the inputs with the largest parts of the score, strongest first, at least one")
    ]
    model: ModelRef
    source: Source
    fields: Annotated[
        dict[str, FieldValue],
        Meta(description="path to value as received, texts cut, of what the definition names under event.show"),
    ] = {}


class Score(Struct, frozen=True):
    """The score of one event, anomalous or not."""

    event_id: NonEmpty
    entity: NonEmpty
    event_time: Moment
    score: float
    model_sha256: Sha256
    source: Source


class Latent(Struct, frozen=True):
    """The latent vector of one event, for the feature store."""

    event_id: NonEmpty
    entity: NonEmpty
    event_time: Moment
    latent: list[float]
    model_sha256: Sha256
    source: Source


class RefusalCode(StrEnum):
    """Why a record was refused. Stable: alerts and dashboards are built on it."""

    EMPTY = "empty"
    TOO_LARGE = "too_large"
    NOT_JSON = "not_json"
    NOT_AVRO = "not_avro"
    NOT_PROTOBUF = "not_protobuf"
    UNKNOWN_SCHEMA = "unknown_schema"
    TOO_DEEP = "too_deep"
    MISSING_FIELD = "missing_field"
    WRONG_TYPE = "wrong_type"
    OUT_OF_RANGE = "out_of_range"
    IMPLAUSIBLE_TIME = "implausible_time"
    NOT_SCORABLE = "not_scorable"
    REPEATED = "repeated"


class DeadLetter(Struct, frozen=True):
    """A refused record, whole: the original bytes and headers, where they came from, and why.

    `key`, `value` and header values are base64 on the wire; null stays null. `value_size` counts the original bytes;
    where a value is larger than a record may be, `value` is its head and `value_size` its whole size.
    """

    dead_letter_id: NonEmpty
    code: RefusalCode
    reason: Annotated[str, Meta(description="a sentence for a person")]
    source: Source
    produced_at: Annotated[datetime | None, Meta(description="timestamp of the original record")]
    refused_at: Moment
    key: bytes | None
    value: bytes | None
    value_size: Count
    headers: list[tuple[str, bytes | None]]


class Redelivered(Struct, frozen=True):
    """Dead letters that went back onto the input, in the transaction of their copies: none goes back twice.

    `places` has topic, topic id and partition as in the ids of dead letters, and offsets there as ranges: `5-120,130`.
    """

    at: Moment
    actor: NonEmpty
    reason: str
    places: dict[str, str]


class Label(Struct, frozen=True, omit_defaults=True):
    """What became of an event: confirmed fraud or legitimate, often days late. Of several the last one holds.

    With `event_time` and the entity of a window over labels it counts there: a window of the entity of the decision
    needs `entity`, one of a shop the shop in `entities`. One without them is left out, and counted by a metric.
    """

    event_id: NonEmpty
    fraud: bool
    labelled_at: Moment
    scenario: Annotated[int | None, Meta(description="fraud scenario where known (simulator, benchmark)")] = None
    source: Annotated[str | None, Meta(description="who or what labelled it")] = None
    note: str | None = None
    entity: Annotated[NonEmpty | None, Meta(description="whose event it is")] = None
    event_time: Annotated[Moment | None, Meta(description="when the event was")] = None
    entities: Annotated[
        dict[str, NonEmpty], Meta(description="path in the event to what else it was at or of: terminal_id, shop.id")
    ] = {}
