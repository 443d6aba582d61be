"""Holds a definition against the latest records of the input: what would be refused, the key, the order of times."""

from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from itertools import groupby

from models.manifest import Category
from schemas.definition import Definition
from schemas.topics import TRANSACTIONS
from stream_app.cli.detector import serving_detector
from stream_app.cli.diagnosis import Diagnosis
from stream_app.kafka.clients import TopicMissing
from stream_app.kafka.log import Record, read_backwards
from stream_app.kafka.schema_registry import schema_registry
from stream_app.kafka.topics import name
from stream_app.pipeline.batch import Decoded, Raw
from stream_app.pipeline.decode import Decoder
from stream_app.pipeline.metadata import of_record
from stream_app.settings import Settings

LATEST = 1000  # offsets of each partition
TOLERABLE = 0.01  # a share of records; above it, it is no odd record but the definition, or a producer


def latest_events(settings: Settings) -> Iterator[Diagnosis]:
    """How the definition in use fits the records that came last; nothing is written, and no group is joined.

    Raises:
        UserError: the definition or the topic cannot be read.
    """
    definition = serving_detector(None, settings)
    limit, ahead_s, registry = settings.record_max_bytes, settings.event_ahead_max_s, schema_registry(settings)
    categories = {entry.name: Category({}, 0.0) for entry in definition.inputs if entry.kind == "category"}
    decode = Decoder(definition, limit, None, ahead_s, categories, registry)
    topic = name(settings, TRANSACTIONS)
    try:
        records = [record for stretch in read_backwards(settings, TRANSACTIONS, LATEST) for record in stretch]
    except TopicMissing:
        yield Diagnosis("events", True, f"{topic} is not there yet")
        return
    if not records:
        yield Diagnosis("events", True, f"{topic} holds none yet")
        return
    yield from held_against(definition, decode, records)


def held_against(definition: Definition, decode: Decoder, records: Sequence[Record]) -> Iterator[Diagnosis]:
    """What is to be said of records, each partition's in the order of its log."""
    refused, keys, order = _Refused(), _Keys(definition), _Order()
    for _, some in groupby(sorted(records, key=_place), key=_partition):
        there = list(some)
        decoded = decode(Raw([record.value() for record in there], (), (), there, {}))
        refused.add(decoded, there)
        keys.add(decoded, there)
        order.add(decoded)
    yield from refused.found(definition, len(records))
    yield from keys.found()
    yield from order.found()


class _Refused:
    """Records that would be dead letters."""

    def __init__(self) -> None:
        self._counts: Counter[str] = Counter()
        self._examples: dict[str, str] = {}

    def add(self, decoded: Decoded, records: Sequence[Record]) -> None:
        for refusal in decoded.refused:
            self._counts[refusal.code] += 1
            self._examples.setdefault(refusal.code, f"{refusal.sentence} ({_where(records[refusal.row])})")

    def found(self, definition: Definition, count: int) -> Iterator[Diagnosis]:
        if not self._counts:
            yield Diagnosis("events", True, f"the latest {count:,} are read as {definition.name} says")
        for code, number in self._counts.most_common():
            says = f"{_share(number, count)} of the latest {count:,} would be refused as {code}: {self._examples[code]}"
            good = number <= TOLERABLE * count
            advice = f"correct the definition of {definition.name}, or the producer, whichever is wrong"
            yield Diagnosis("events", good, says, "" if good else advice)


class _Keys:
    """Records whose key is not their entity: the events of one entity are then in several partitions."""

    def __init__(self, definition: Definition) -> None:
        self._path = definition.event.entity
        self._records = self._others = 0
        self._example = ""

    def add(self, decoded: Decoded, records: Sequence[Record]) -> None:
        self._records += len(decoded.entities)
        for row, entity in zip(decoded.rows.tolist(), decoded.entities, strict=True):
            key = of_record(records[row], "$key")
            if key != entity:
                self._others += 1
                shown = "no key" if key is None else f"the key {str(key)[:60]!r}"
                self._example = self._example or f"{shown}, the entity {entity[:60]!r} ({_where(records[row])})"

    def found(self) -> Iterator[Diagnosis]:
        if not self._records:
            return
        if not self._others:
            yield Diagnosis("key", True, f"is the entity, {self._path}, in all of them")
            return
        good = self._others <= TOLERABLE * self._records
        says = f"is not the entity in {_share(self._others, self._records)} of them: {self._example}"
        advice = f"have producers take {self._path} as the key: what is known of an entity is known in one partition"
        yield Diagnosis("key", good, says, "" if good else advice)


class _Order:
    """How far events are behind newer ones that stand before them in their partition."""

    def __init__(self) -> None:
        self._records = self._late = 0
        self._latest = timedelta(0)

    def add(self, decoded: Decoded) -> None:
        newest: datetime | None = None
        for at in decoded.event_times:
            self._records += 1
            if newest is not None and at < newest:
                self._late += 1
                self._latest = max(self._latest, newest - at)
            else:
                newest = at

    def found(self) -> Iterator[Diagnosis]:
        if not self._records:
            return
        if not self._late:
            yield Diagnosis("order", True, "times are in order within each partition")
            return
        says = f"{_share(self._late, self._records)} of them come after a newer one of their partition"
        yield Diagnosis("order", True, f"{says}, the latest by {_length(self._latest)}")


def _share(part: int, whole: int) -> str:
    return "all" if part == whole else f"{part / whole:.2%}"


def _length(span: timedelta) -> str:
    seconds = span.total_seconds()
    for unit, length in (("days", 86_400), ("hours", 3600), ("minutes", 60)):
        if seconds >= 2 * length:
            return f"{seconds / length:.0f} {unit}"
    return f"{seconds:g} s"


def _where(record: Record) -> str:
    return f"partition {record.partition()}, offset {record.offset()}"


def _partition(record: Record) -> int:
    return record.partition() or 0


def _place(record: Record) -> tuple[int, int]:
    return _partition(record), record.offset() or 0
