"""Decodes records to columns: each is parsed and validated in one pass, and only what the definition reads is kept.

The typed decoder is compiled from the definition in the manifest, so a swap may change what is read. A record that does
not fit becomes a refusal with a stable code and a sentence, without effect on any other.
"""

import struct
from collections.abc import Mapping, Sequence
from datetime import timedelta
from itertools import chain
from operator import itemgetter
from types import MappingProxyType
from typing import Any

import numpy as np

from models.manifest import Category, Segments
from models.places import Places
from schemas.definition import Definition, EventFields
from schemas.scoring import BLANKS, RefusalCode
from stream_app.kafka.schema_registry import SchemaRegistry
from stream_app.pipeline.batch import Decoded, Raw
from stream_app.pipeline.event_time import clock_flags, moments, timely
from stream_app.pipeline.formats.readers import reader_of
from stream_app.pipeline.metadata import of_record
from stream_app.pipeline.past import PastReader, Read, too_large
from stream_app.pipeline.shape import Shape, Tuples, text_of

NOTHING: Mapping[str, Category] = MappingProxyType({})


class Decoder:
    """Decodes the events that one model reads.

    Args:
        definition: What it reads.
        record_max_bytes: Larger values are refused unread.
        segments: The field by which drift is watched too; no record is refused for its value.
        ahead_max_s: How much later than its record an event may be.
        categories: What training has seen of the definition's categories.
        registry: Where the schemas are that records name; of none it may be None.

    Raises:
        RecordsError: records cannot be read as the definition says.
    """

    def __init__(
        self,
        definition: Definition,
        record_max_bytes: int,
        segments: Segments | None = None,
        ahead_max_s: float = 3600.0,
        categories: Mapping[str, Category] = NOTHING,
        registry: SchemaRegistry | None = None,
    ) -> None:
        self._ahead_max = timedelta(seconds=ahead_max_s)
        shape = Shape(definition, None if segments is None else segments.field)
        self._reader = reader_of(definition, shape, record_max_bytes, registry)
        self._event = event = definition.event
        self._id, self._entity, self._time = (read_at(shape, path) for path in (event.id, event.entity, event.time))
        self._matrix = _Matrix(definition, shape)
        inputs = list(enumerate(definition.inputs))
        self._clocks = {column: entry.clock for column, entry in inputs if entry.clock is not None}
        self._categories = [
            (column, read_at(shape, entry.path), categories[entry.name])
            for column, entry in inputs
            if entry.kind == "category"
        ]
        self._flags = [(column, entry.path) for column, entry in inputs if entry.kind == "flag" and entry.path]
        self._past = PastReader(definition, lambda path: read_at(shape, path)) if definition.windows else None
        self._segments = None if segments is None else (read_at(shape, segments.field), _Placing(segments))

    def __call__(self, raw: Raw) -> Decoded:
        """Decode a micro-batch.

        Raises:
            SchemaRegistryError: a schema is not known here yet, and the registry cannot be asked.
        """
        found, rows, refused = self._reader(raw)
        records = raw.records if len(rows) == len(raw.records) else [raw.records[row] for row in rows if raw.records]
        written = self._time(found, records)
        event_times, us = moments(written, self._event)
        inputs, texts = self._matrix(found), dict[int, Sequence[str]]()
        for column, clock in self._clocks.items():
            inputs[:, column] = clock_flags(event_times, us, clock)
        for column, read, category in self._categories:
            texts[column] = list(map(text_of, read(found, records)))
            inputs[:, column] = _shares(texts[column], category)
        decoded = Decoded(
            rows=np.array(rows, dtype=np.int64),
            inputs=inputs,
            event_ids=identities(self._id(found, records)),
            entities=identities(self._entity(found, records)),
            event_times=event_times,
            refused=refused,
            segments=None if self._segments is None else self._segments[1](self._segments[0](found, records)),
            texts=texts,
            past=None if self._past is None else self._past(found, records, event_times, us),
        )
        return self._sound(timely(decoded, raw.records, self._ahead_max, (self._event, written)))

    def _sound(self, decoded: Decoded) -> Decoded:
        """Without what only the values of a whole batch show at little cost."""
        infinite = np.isinf(decoded.inputs).any(axis=1)
        if decoded.past is not None:
            infinite |= too_large(decoded.past)
        checks = [(infinite, "a number is too large for a 32-bit float")]
        for column, name in self._flags:
            values = decoded.inputs[:, column]
            checks.append(
                ((values != 0) & (values != 1) & ~np.isnan(values), f"{name} is a flag: true or false, 1 or 0")
            )
        wrong = {row: what for rows, what in checks if rows.any() for row in np.flatnonzero(rows).tolist()}
        return without_blank(decoded.refuse(wrong, RefusalCode.OUT_OF_RANGE) if wrong else decoded, self._event)


class _Matrix:
    """The numbers of events as the columns of the model; None becomes NaN, what float32 cannot hold infinite."""

    def __init__(self, definition: Definition, shape: Shape) -> None:
        self._size = len(definition.inputs)
        self._windows = [definition.column(entry.name) for entry in definition.windows]
        scales = [entry.scale for entry in definition.inputs]
        self._parts = [
            (number, len(node.names) - len(node.columns), node.columns, np.array([scales[i] for i in node.columns]))
            for number, node in enumerate(shape.objects)
            if node.columns
        ]

    def __call__(self, found: Tuples) -> np.ndarray:
        """float32 [m, inputs]; columns that are no numbers of the record are not filled, those of windows NaN."""
        matrix = np.empty((len(found[0]), self._size), dtype=np.float32)
        if self._windows:
            matrix[:, self._windows] = np.nan
        with np.errstate(over="ignore"):
            for number, first, columns, scale in self._parts:
                values = _numbers(found[number], first, len(columns))
                matrix[:, columns] = values if (scale == 1).all() else values * scale
        return matrix


class _Placing:
    """Assigns events to segments by a field of the record; an object, a list or null is in no segment."""

    def __init__(self, segments: Segments) -> None:
        self._of = Places(segments.groups, (segment.value for segment in segments.watched)).of

    def __call__(self, values: Sequence[Any]) -> np.ndarray:
        """Number of the segment of each, int64 [m]; 0 for none."""
        return np.array([*map(self._of, map(text_of, values))], dtype=np.int64)


def read_at(shape: Shape, path: str) -> Read:
    """Reads what stands at a path of the records of a micro-batch, or beside their values."""
    if path.startswith("$"):
        return lambda found, records: [of_record(record, path) for record in records] or [None] * len(found[0])
    number, place = shape.place(path)
    take = itemgetter(place)
    return lambda found, _: list(map(take, found[number]))


def identities(values: list[Any]) -> list[str]:
    """As text: joining them is the quickest way to see that all are, as a rule."""
    try:
        "".join(values)
    except TypeError:
        return ["" if value is None else str(value) for value in values]
    return values


def without_blank(decoded: Decoded, event: EventFields) -> Decoded:
    """The batch without events whose id or entity is missing or blank: a file with such rows is refused, too."""
    for path, texts in ((event.id, decoded.event_ids), (event.entity, decoded.entities)):
        if not texts or (min(texts) >= "!" and "".join(texts).isascii()):  # nothing begins with a blank: as a rule
            continue
        missing = dict.fromkeys(
            (row for row, text in enumerate(texts) if not text), f"the record has no {path}, or none that is text"
        )
        if missing:
            return without_blank(decoded.refuse(missing, RefusalCode.MISSING_FIELD), event)
        blank = dict.fromkeys((row for row, text in enumerate(texts) if not text.strip(BLANKS)), f"{path} is blank")
        if blank:
            return without_blank(decoded.refuse(blank, RefusalCode.OUT_OF_RANGE), event)
    return decoded


def _shares(texts: Sequence[str], category: Category) -> list[float]:
    """How rare each value was in training; NaN where there is none."""
    shares = category.shares | {"": float("nan")}
    other = category.other
    return [shares.get(text, other) for text in texts]


def _numbers(tuples: list[tuple[Any, ...]], first: int, width: int) -> np.ndarray:
    """The last fields of tuples, float64 [rows, width], NaN for None.

    Packing takes half the time of numpy's conversion, but fails on None.
    """
    if width == 1:
        return np.array(list(map(itemgetter(first), tuples)), dtype=np.float64)[:, None]
    rows = tuples if first == 0 else [fields[first:] for fields in tuples]
    try:
        packed = struct.pack(f"{len(rows) * width}d", *chain.from_iterable(rows))
    except struct.error:
        return np.array(rows, dtype=np.float64).reshape(len(rows), width)
    return np.frombuffer(packed).reshape(len(rows), width)
