"""The definition of a detector, as a team writes it: which records it reads, what its model sees, what of the past.

One TOML file, checked whole (`models.definition` reads it); it stands in the manifest of every model that is trained by
it, and everything else follows from it: decoding, windows, data files, explanations, drift signals.
"""

import re
from typing import Annotated, Literal

from msgspec import Meta, Struct, field

NonEmptyText = Annotated[str, Meta(min_length=1, max_length=200)]
Name = Annotated[str, Meta(pattern=r"^[A-Za-z_]\w{0,99}$", description="a name: letters, digits and _, no digit first")]
_PATH = r"[^\s.$\x00-\x1f][^.\x00-\x1f]{0,99}(\.[^.\x00-\x1f]{1,100}){0,15}"
Path = Annotated[
    str, Meta(pattern=f"^{_PATH}$", description="a path into the record, of any depth: amount, card.token")
]
MaybePath = Annotated[str, Meta(pattern=f"^({_PATH})?$", description="a path: amount, card.token")]
MetaPath = Annotated[
    str,
    Meta(
        pattern=rf"^({_PATH}|\$key|\$timestamp|\$headers\..{{1,100}})$",
        description="a path, or $key, $timestamp, $headers.NAME",
    ),
]
Duration = Annotated[
    str, Meta(pattern=r"^([1-9]\d{0,14}[mhd])?$", description="a length in minutes, hours or days: 5m, 12h, 30d")
]

Kind = Literal["number", "flag", "category"]
Missing = Literal["impute", "reject"]
Transform = Literal["none", "sqrt"]
InputRole = Literal["own", "window", "risk", "calendar"]
ClockValue = Literal["weekend", "night"]
Format = Literal["json", "avro", "protobuf"]
TimeUnit = Literal["s", "ms", "us", "ns"]
Aggregate = Literal["count", "sum", "mean", "std", "min", "max", "since_last", "distinct", "is_new", "deviation"]

LABEL = "label"  # `of` of a window over what became of the events
WITHOUT_VALUE = frozenset({"count", "since_last"})  # aggregates that look at no value
OF_IDENTITIES = frozenset({"distinct", "is_new"})  # aggregates of a value of any type, which only has to be the same
WITHOUT_DELAY = frozenset({"since_last", *OF_IDENTITIES})
OF_OTHERS = frozenset({"count", "sum", "mean"})  # aggregates over other entities than that of the decision
MINUTE, HOUR, DAY = 60, 3600, 86_400
MICROSECONDS: dict[str, float] = {"s": 1e6, "ms": 1e3, "us": 1.0, "ns": 1e-3}
SECONDS = {"m": MINUTE, "h": HOUR, "d": DAY}
MOST_HOPS = 400  # of a window with its delay: what is held of each entity is bounded


def seconds(duration: str) -> int:
    """The length of `5m`, `12h` or `30d`; 0 of an empty text."""
    return int(duration[:-1]) * SECONDS[duration[-1]] if duration else 0


def is_path(text: str) -> bool:
    """Whether it is a path into a record."""
    return re.fullmatch(_PATH, text) is not None


class Window(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """What of an entity's past an input is: one aggregate over the events before this one.

    Time is cut into hops. A window covers the events of the same entity that stand before this one in its partition,
    and whose hop is the current one, as far as it has come, or one of the `hops` before it. With a delay it covers the
    `hops` whole hops that ended `delay_hops` hops before the current one began.

    Attributes:
        entity: Path of the entity whose past it is.
        aggregate: What is made of the values; `since_last` is in seconds, `deviation` in the entity's own standard
            deviations from its own mean.
        over: Length.
        of: Path of the value, or `label`: what became of the events. Where an input reads that path, the window sees
            the values in the input's scale. Empty: of aggregates that look at no value.
        delay: How long before the event it ends.
    """

    entity: Path
    aggregate: Aggregate
    over: Annotated[
        str, Meta(pattern=r"^[1-9]\d{0,14}[mhd]$", description="a length in minutes, hours or days: 5m, 12h, 30d")
    ]
    of: Annotated[str, Meta(max_length=1600, description="path of the value, or label")] = ""
    delay: Duration = ""

    @property
    def hop_s(self) -> int:
        """Length of a hop, seconds: 5 min for windows up to 12 h, 1 h up to 12 d, 1 d beyond."""
        length = seconds(self.over)
        return 5 * MINUTE if length <= 12 * HOUR else HOUR if length <= 12 * DAY else DAY

    @property
    def hops(self) -> int:
        """Whole hops before the current one."""
        return seconds(self.over) // self.hop_s

    @property
    def delay_hops(self) -> int:
        """Whole hops between the end of the window and the current hop; 0 without a delay."""
        return seconds(self.delay) // self.hop_s


class Input(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """One column of the model's input, from exactly one source: a path, a window or the clock.

    Attributes:
        name: In explanations and drift signals.
        path: Where the value stands in the record; in data files the struct field or the column of that name.
        unit: For people: `EUR`, `1/d`, `share`, `flag`.
        missing: `impute`: a missing value is replaced inside the model, and adds nothing to the score. `reject`: the
            record is a dead letter.
        role: `own`: a value of the event itself. `window`: counted over the past. `risk`: a window over labels.
            `calendar`: follows from the clock. To be given only where a path holds a window that somebody else
            computes.
        usual_of: Names of the inputs of which this one tells what is usual for the entity; as `role`.
        over: Length of the window: `30d`, `12h`, `5m`; as `role`.
        count: Of a mean: the input that has the number of its events, in which the event itself counts if the mean is
            computed elsewhere; as `role`. A mean over few events is shrunk to what is usual.
        window: What of the past it is.
        clock: What of the event's time (UTC) it is: `weekend`; `night`, before 7:00.
        kind: `number`; `flag`: true and false, or 1 and 0; `category`: text, a whole number or a truth value.
        scale: The value is multiplied by it: 0.01 makes cents euros.
        transform: `sqrt`: sign(x) sqrt(|x|), which gives counts the same spread whatever their mean.
        least: Smaller values are refused, in `unit`.
        most: Larger values are refused, in `unit`.
    """

    name: Name
    path: MaybePath = ""
    unit: Annotated[str, Meta(max_length=40)] = ""
    missing: Missing = "impute"
    role: InputRole = "own"
    usual_of: tuple[str, ...] = ()
    over: Duration = ""
    count: str = ""
    window: Window | None = None
    clock: ClockValue | None = None
    kind: Kind = "number"
    scale: float = 1.0
    transform: Transform = "none"
    least: float | None = None
    most: float | None = None


class EventFields(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """Where a record says which event it is, when it was, and whose.

    Attributes:
        id: Text or a whole number, different for each event.
        time: RFC 3339 text; with `time_unit`, a number since 1970.
        entity: Text or a whole number: whose behaviour is judged. The key of the topic.
        time_unit: `s`, `ms`, `us` or `ns`; None: text.
        show: Paths of what else people want to see of an event: where it was, in which currency.
        format: Of the records.
        schema: Of records that name none: the file that holds it, beside the definition; once that is read, the
            schema itself. Avro: its text. Protobuf: a file of descriptors, base64. Empty: they name one of a schema
            registry.
        message: Full name of the message in protobuf, where that file has more than one.
    """

    id: MetaPath
    time: MetaPath
    entity: MetaPath
    time_unit: TimeUnit | None = None
    show: tuple[Path, ...] = ()
    format: Format = "json"
    schema: str = ""
    message: str = ""

    @property
    def unit(self) -> TimeUnit | None:
        """Of times that are numbers; None where they are text."""
        return "ms" if self.time == "$timestamp" else self.time_unit


class LabelColumn(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """What became of the events, in data files; never read from the stream.

    Attributes:
        column: 1, true, yes: a fraud, a failure, what an anomaly should find.
        blocks: An entity that had one is blocked once that is known, as a card is: a model is not measured on what it
            does from then on.
    """

    column: Path
    blocks: bool = False


class SegmentsBy(Struct, frozen=True, forbid_unknown_fields=True):
    """By which field of the record drift is watched, beside the whole.

    Attributes:
        by: Path of a text or a number: a country, a channel.
    """

    by: Path


class Definition(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """What a detector is: which records it reads, what its model sees of them, what of the past it needs.

    Attributes:
        name: Of the detector and its models.
        event: Which event, when, whose.
        inputs: The columns of the model, in order.
        label: None: the data has none.
        segments: None: drift is watched in the whole alone.
    """

    name: NonEmptyText
    event: EventFields
    inputs: Annotated[tuple[Input, ...], Meta(min_length=1, max_length=500)] = field(name="input")
    label: LabelColumn | None = None
    segments: SegmentsBy | None = None

    def column(self, name: str) -> int:
        """Which column of the model an input is."""
        return [entry.name for entry in self.inputs].index(name)

    @property
    def windows(self) -> tuple[Input, ...]:
        """The inputs that are computed from the past."""
        return tuple(entry for entry in self.inputs if entry.window is not None)

    @property
    def blocks(self) -> bool:
        """Whether an entity with a label is blocked once that is known."""
        return self.label is not None and self.label.blocks

    @property
    def past(self) -> dict[str, bool]:
        """The paths that windows read, `label` aside, and whether only its identity counts (text), or the number.

        Numbers are in their input's scale.
        """
        windows = [entry.window for entry in self.windows if entry.window is not None]
        found = {window.entity: True for window in windows}
        for window in windows:
            if window.of not in ("", LABEL):
                found[window.of] = found.get(window.of, True) and window.aggregate in OF_IDENTITIES
        return found

    @property
    def labelled(self) -> tuple[str, ...]:
        """Paths of the entities, other than that of the decision, that windows of labels are of: a label names them."""
        windows = [entry.window for entry in self.windows if entry.window is not None]
        return tuple(dict.fromkeys(w.entity for w in windows if w.of == LABEL and w.entity != self.event.entity))

    @property
    def reach_s(self) -> int:
        """How far back the windows of an event look, seconds; 0 without any."""
        windows = [entry.window for entry in self.windows if entry.window is not None]
        return max(((w.hops + w.delay_hops + 1) * w.hop_s for w in windows), default=0)

    def at(self, path: str) -> Input | None:
        """The input that reads a path; None if none does."""
        return next((entry for entry in self.inputs if entry.path == path), None)
