"""Decodes records to columns: each is parsed and validated in one pass, and only the model's inputs are kept.

The typed decoder is built from the manifest, so a swap may change which fields are read. A record that does not fit
becomes a refusal with a stable code and a sentence, without effect on any other.

A micro-batch is parsed in one call, a record a line, if that cannot mistake one record for another; in any doubt its
records are decoded one by one, and only there refused.
"""

import struct
from collections.abc import Sequence
from datetime import timedelta
from itertools import chain, groupby
from operator import attrgetter
from typing import Annotated, Any

import msgspec
import numpy as np
from msgspec import Meta

from models.manifest import Input, Segments
from models.segments import Places
from schemas.transactions import LONGEST_ID, Moment, NonEmpty, RefusalCode
from stream_app.pipeline.batch import Decoded, Raw, Refusal
from stream_app.pipeline.event_time import timely

Identifier = Annotated[NonEmpty, Meta(max_length=LONGEST_ID)]
REQUIRED: dict[str, Any] = {
    "transaction_id": Identifier,
    "customer_id": Identifier,
    "event_time": Moment,
    "amount": Annotated[float, Meta(ge=0)],
}

# Only a top level takes two values side by side, so an incomplete record cannot be completed by the next one.
BETWEEN = b"\nnull\nnull\n"

decode_value = msgspec.json.Decoder(str | bool | int | float).decode
EXACT = 2**53  # integers beyond have lost digits as floating point

Outcomes = tuple[list[Any], Sequence[int], list[Refusal]]
"""Events, the row of each in the batch, and the refusals of the other rows."""


class Decoder:
    """Decodes the events that one model reads.

    Args:
        inputs: The model's inputs. A path is `field` or `group.field`.
        record_max_bytes: Larger values are refused unread.
        segments: The text field by which drift is watched too; no record is refused for its value.
        ahead_max_s: How much later than its record an event may be.
    """

    def __init__(
        self,
        inputs: list[Input],
        record_max_bytes: int,
        segments: Segments | None = None,
        ahead_max_s: float = 3600.0,
    ) -> None:
        groups = _groups(inputs)
        self._record_max_bytes = record_max_bytes
        self._ahead_max = timedelta(seconds=ahead_max_s)
        event: Any = _event_type(groups, None if segments is None else segments.field)
        self._segments = None if segments is None else _Placing(segments)
        self._decode = msgspec.json.Decoder(event).decode
        self._decode_lines = msgspec.json.Decoder(event | None).decode_lines
        self._size = len(inputs)
        self._fields = [(entry.path, column) for entry, column in groups.pop("", [])]
        self._groups = [(name, [column for _, column in entries]) for name, entries in groups.items()]

    def __call__(self, raw: Raw) -> Decoded:
        """Decode a micro-batch."""
        events, rows, refused = self._at_once(raw.values) or self._one_by_one(raw.values)
        decoded = Decoded(
            rows=np.array(rows, dtype=np.int64),
            inputs=self._matrix(events),
            transaction_ids=[event.transaction_id for event in events],
            customer_ids=[event.customer_id for event in events],
            event_times=[event.event_time for event in events],
            refused=refused,
            segments=None if self._segments is None else self._segments(events),
        )
        infinite = np.isinf(decoded.inputs)
        if infinite.any():
            too_large = "a number is too large for a 32-bit float"
            decoded = decoded.refuse(infinite.any(axis=1), RefusalCode.OUT_OF_RANGE, too_large)
        return timely(decoded, raw.records, self._ahead_max)

    def _at_once(self, values: Sequence[bytes | None]) -> Outcomes | None:
        """All records in one call, which saves a fifth of the time; None unless all are certainly good."""
        try:
            lines = BETWEEN.join(values)  # type: ignore[arg-type]  # a tombstone is a TypeError
            if len(lines) > self._record_max_bytes < max(map(len, values)):  # type: ignore[arg-type]
                return None
            found = self._decode_lines(lines)
        except (TypeError, msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return None
        events = found[::3]
        whole = len(found) == 3 * len(values) - 2 and all(events) and not any(found[1::3]) and not any(found[2::3])
        return (events, range(len(events)), []) if whole else None

    def _one_by_one(self, values: Sequence[bytes | None]) -> Outcomes:
        """Record by record, each with its own fate."""
        events, rows, refused = [], [], []
        decode, limit = self._decode, self._record_max_bytes
        for row, value in enumerate(values):
            if value is None or len(value) > limit:
                refused.append(_unread(row, value, limit))
                continue
            try:
                events.append(decode(value))
                rows.append(row)
            except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
                refused.append(_refusal(row, value, error))
        return events, rows, refused

    def _matrix(self, events: list[Any]) -> np.ndarray:
        """float32 [m, inputs]; None becomes NaN, numbers beyond float32 become infinite."""
        matrix = np.empty((len(events), self._size), dtype=np.float32)
        with np.errstate(over="ignore"):
            for name, column in self._fields:
                matrix[:, column] = [getattr(event, name) for event in events]
            for name, columns in self._groups:
                rows = [msgspec.structs.astuple(getattr(event, name)) for event in events]
                matrix[:, columns] = _numbers(rows, len(columns))
        return matrix


class _Placing:
    """Assigns events to segments by a raw field of the record; an object, a list or null is in no segment."""

    def __init__(self, segments: Segments) -> None:
        self._values = attrgetter(segments.field)
        self._is_text = segments.field in REQUIRED
        self._of = Places(segments.groups, (segment.value for segment in segments.watched)).of

    def __call__(self, events: list[Any]) -> np.ndarray:
        """Number of the segment of each, int64 [m]; 0 for none."""
        values = map(self._values, events)
        return np.array([*map(self._of, values if self._is_text else map(_text, values))], dtype=np.int64)


def _text(value: msgspec.Raw) -> str:
    """The text of a field, of a number as `models.data.columns` has it; empty if it holds none or is missing."""
    try:
        found = decode_value(value)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return ""
    if isinstance(found, str):
        return found
    if isinstance(found, float):
        return "" if abs(found) >= EXACT else str(int(found) if found.is_integer() else found)
    return str(found).lower()  # of a truth value as JSON has it


def _numbers(rows: list[tuple[float | None, ...]], width: int) -> np.ndarray:
    """float64 [rows, width], NaN for None. Packing takes half the time of numpy's conversion, but fails on None."""
    try:
        packed = struct.pack(f"{len(rows) * width}d", *chain.from_iterable(rows))
    except struct.error:
        return np.array(rows, dtype=np.float64)
    return np.frombuffer(packed).reshape(len(rows), width)


def _groups(inputs: list[Input]) -> dict[str, list[tuple[Input, int]]]:
    """Inputs and their columns by the object that holds them; the event itself is ``""``."""
    placed = sorted(((entry, column) for column, entry in enumerate(inputs)), key=lambda item: _group(item[0]))
    return {name: list(entries) for name, entries in groupby(placed, key=lambda item: _group(item[0]))}


def _group(entry: Input) -> str:
    return entry.path.rpartition(".")[0]


def _event_type(groups: dict[str, list[tuple[Input, int]]], segment: str | None) -> type:
    """A struct of exactly the required fields and the model's inputs; the garbage collector skips it."""
    fields: dict[str, tuple[Any, ...]] = {name: (name, kind) for name, kind in REQUIRED.items()}
    for entry, _ in groups.get("", []):
        fields.setdefault(entry.path, _number(entry))
    if segment is not None:
        fields.setdefault(segment, (segment, msgspec.Raw, msgspec.Raw()))
    for group, entries in groups.items():
        if group:
            kind = msgspec.defstruct(group, [_number(entry) for entry, _ in entries], gc=False, kw_only=True)
            optional = all(entry.missing == "impute" for entry, _ in entries)
            fields[group] = (group, kind, msgspec.field(default_factory=kind)) if optional else (group, kind)
    return msgspec.defstruct("Event", fields.values(), gc=False, kw_only=True)


def _number(entry: Input) -> tuple[Any, ...]:
    """One input as a field. JSON null is a missing value, as an absent field is."""
    name = entry.path.rpartition(".")[2]
    return (name, float) if entry.missing == "reject" else (name, float | None, None)


def _unread(row: int, value: bytes | None, limit: int) -> Refusal:
    if value is None:
        return Refusal(row, RefusalCode.EMPTY, "the record has no value (a tombstone)")
    return Refusal(row, RefusalCode.TOO_LARGE, f"the record has {len(value)} bytes, {limit} are allowed")


def _refusal(row: int, value: bytes, error: Exception) -> Refusal:
    """The refusal for a decoding error. Its sentence is the decoder's own, which names the path."""
    sentence = str(error)
    if not value.strip():
        return Refusal(row, RefusalCode.EMPTY, "the record is empty")
    if isinstance(error, RecursionError):
        return Refusal(row, RefusalCode.TOO_DEEP, "the JSON is nested too deeply")
    if not isinstance(error, msgspec.ValidationError):
        return Refusal(row, RefusalCode.NOT_JSON, sentence)
    if "missing required field" in sentence:
        return Refusal(row, RefusalCode.MISSING_FIELD, sentence)
    # Numbers, lengths and times out of bounds: the decoder tells these apart only in its sentences.
    if any(sign in sentence for sign in ("out of range", ">=", "<=", "Invalid", "timezone")):
        return Refusal(row, RefusalCode.OUT_OF_RANGE, sentence)
    return Refusal(row, RefusalCode.WRONG_TYPE, sentence)
