"""Reads records in protobuf, of one writer's schema at a time, by Google's own library."""

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from operator import attrgetter
from typing import Any, TypeAlias

import numpy as np
from google.protobuf import json_format
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import DecodeError, Message
from google.protobuf.message_factory import GetMessageClass

from schemas.definition import EventFields
from schemas.scoring import RefusalCode
from stream_app.pipeline.batch import Refusal
from stream_app.pipeline.formats.leaves import AnyLeaves, Column, Leaves
from stream_app.pipeline.formats.outcomes import Outcomes

PACKAGE = "google.protobuf."
TIMESTAMP, STRUCT = PACKAGE + "Timestamp", PACKAGE + "Struct"
WRAPPED = frozenset(
    f"{PACKAGE}{kind}Value" for kind in ("Double", "Float", "Int64", "UInt64", "Int32", "UInt32", "Bool", "String")
)
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
FIRST_S, LAST_S = -62_135_596_800, 253_402_300_799  # of the years 1 to 9999
NUMBERS = frozenset(
    getattr(FieldDescriptor, f"CPPTYPE_{kind}") for kind in ("INT32", "INT64", "UINT32", "UINT64", "DOUBLE", "FLOAT")
)
BEYOND = datetime(1, 1, 1)  # in place of a time that no calendar has; compared by identity

Take = Callable[[Any], Any]
"""What stands at a name of an object; None where nothing does."""
Inside: TypeAlias = Descriptor | FieldDescriptor | None
"""What an object is: a message, a map (the field of its values), or a plain dictionary."""


class ProtobufReader:
    """Reads the records of one message.

    Args:
        message: Its descriptor.
        leaves: What is wanted.
        event: How the definition reads times.
    """

    def __init__(self, message: Descriptor, leaves: Leaves | AnyLeaves, event: EventFields) -> None:
        self._parse: Callable[[bytes], Message] = GetMessageClass(message).FromString
        self._name = message.full_name
        self._leaves = leaves
        self._objects = _Objects(message)
        self._columns = [self._objects.leaf(path, is_time=path == event.time) for path in leaves.paths]

    def __call__(self, values: Sequence[bytes], skipped: int, rows: Sequence[int]) -> Outcomes:
        """The fields of records.

        Args:
            values: Of the records.
            skipped: How many bytes of each stand before the record itself.
            rows: Of the records in the batch.
        """
        messages, good, refused = [], [], []
        for row, value in zip(rows, values, strict=True):
            try:
                messages.append(self._parse(value[skipped:]))
                good.append(row)
            except DecodeError:
                what = f"the record is no message {self._name}, as the schema that it names has it"
                refused.append(Refusal(row, RefusalCode.NOT_PROTOBUF, what))
        columns = self._read(messages)
        beyond = {i for column in columns for i, value in enumerate(column) if value is BEYOND}
        if beyond:
            what = "event_time is in no calendar: its unit or a clock is wrong"
            refused += [Refusal(good[i], RefusalCode.IMPLAUSIBLE_TIME, what) for i in sorted(beyond)]
            kept = [i for i in range(len(good)) if i not in beyond]
            good, columns = [good[i] for i in kept], self._read([messages[i] for i in kept])
        found, kept_rows, more = self._leaves.outcomes(columns, good)
        return found, kept_rows, [*refused, *more]

    def _read(self, messages: Sequence[Message]) -> list[Column]:
        """The values of every leaf."""
        objects = self._objects.of(messages)
        columns: list[Column] = []
        for slot, (parent, take, is_number) in enumerate(self._columns):
            values = [None if inside is None else take(inside) for inside in objects[parent]]
            is_array = is_number and slot in self._leaves.numbers
            columns.append(np.array(values, dtype=np.float64) if is_array else values)
        return columns


class _Objects:
    """The objects inside a message in which leaves stand, each found once."""

    def __init__(self, message: Descriptor) -> None:
        self._kinds: dict[tuple[str, ...], Inside] = {(): message}
        self._takes: dict[tuple[str, ...], Take] = {}

    def of(self, messages: Sequence[Message]) -> Mapping[tuple[str, ...], Sequence[Any]]:
        """Path of an object to what stands there in each message; None where nothing does."""
        found: dict[tuple[str, ...], Sequence[Any]] = {(): messages}
        for path, take in self._takes.items():  # the outer ones come first
            found[path] = [None if outer is None else take(outer) for outer in found[path[:-1]]]
        return found

    def leaf(self, path: str, *, is_time: bool) -> tuple[tuple[str, ...], Take, bool]:
        """The path of the object in which a leaf stands, what reads it there, and whether it is always a number."""
        if path.startswith("$"):
            return (), _nothing, False
        *outer, name = path.split(".")
        for depth in range(1, len(outer) + 1):
            self._enter(tuple(outer[:depth]))
        inside = self._kinds[tuple(outer)]
        if not isinstance(inside, Descriptor):
            return tuple(outer), _in_map(inside, name), False
        field = _field(inside, name)
        if field is None:
            return tuple(outer), _nothing, False
        is_number = not field.is_repeated and field.cpp_type in NUMBERS
        return tuple(outer), _value(field, is_time=is_time), is_number

    def _enter(self, path: tuple[str, ...]) -> None:
        if path in self._kinds:
            return
        inside, name = self._kinds[path[:-1]], path[-1]
        self._takes[path], self._kinds[path] = _nothing, None
        if isinstance(inside, Descriptor):
            field = _field(inside, name)
            if field is not None and field.message_type is not None:
                self._takes[path], self._kinds[path] = _entered(field)
        elif inside is None:
            self._takes[path] = _in_map(None, name)
        elif inside.message_type is not None:  # a map of messages
            self._takes[path], self._kinds[path] = _in_map(inside, name), inside.message_type


def _entered(field: FieldDescriptor) -> tuple[Take, Inside]:
    """What takes an object out of a message, and what it is."""
    name, message = field.name, field.message_type
    if _is_map(field):
        return attrgetter(name), message.fields_by_name["value"]
    if field.is_repeated:
        return _nothing, None
    take = _if_there(name, attrgetter(name))
    if message.full_name == STRUCT:
        return lambda outer: _plain(take(outer)), None
    return take, message


def _value(field: FieldDescriptor, *, is_time: bool) -> Take:
    """What reads the value of a field in a message."""
    name = field.name
    if _is_map(field):
        return lambda _: {}
    if field.is_repeated:
        return lambda _: []
    if field.message_type is not None:
        return _if_there(name, _of_message(name, field.message_type.full_name, is_time=is_time))
    take: Take = attrgetter(name)
    if field.enum_type is not None:
        names = {number: value.name for number, value in field.enum_type.values_by_number.items()}
        take = _symbol(take, names)
    return _if_there(name, take) if field.has_presence else take


def _of_message(name: str, kind: str, *, is_time: bool) -> Take:
    """What reads the value that a message stands for: a time, a wrapped number, an object of any shape."""
    if kind == TIMESTAMP:
        return lambda outer: _time(getattr(outer, name)) if is_time else _written(getattr(outer, name))
    if kind in WRAPPED:
        return attrgetter(f"{name}.value")
    return lambda _: {}


def _if_there(name: str, take: Take) -> Take:
    return lambda outer: take(outer) if outer.HasField(name) else None


def _symbol(take: Take, names: Mapping[int, str]) -> Take:
    def symbol(outer: Any) -> Any:
        number = take(outer)
        return names.get(number, number)

    return symbol


def _in_map(values: FieldDescriptor | None, name: str) -> Take:
    """What takes a value out of a map, or out of a dictionary."""
    if values is None:
        return lambda inside: inside.get(name) if isinstance(inside, dict) else None
    key = values.containing_type.fields_by_name["key"]
    if key.cpp_type != FieldDescriptor.CPPTYPE_STRING:
        return _nothing
    return lambda inside: inside[name] if name in inside else None  # noqa: SIM401 - `get` of a map of messages makes one


def _field(message: Descriptor, name: str) -> FieldDescriptor | None:
    """By the name that it has in the schema, or in JSON."""
    found: FieldDescriptor | None = message.fields_by_name.get(name)
    return found or next((field for field in message.fields if field.json_name == name), None)


def _is_map(field: FieldDescriptor) -> bool:
    message = field.message_type
    return field.is_repeated and message is not None and message.GetOptions().map_entry


def _time(stamp: Any) -> datetime:
    """A timestamp as a time; `BEYOND` where no calendar has it."""
    if not FIRST_S <= stamp.seconds <= LAST_S or not 0 <= stamp.nanos < 1_000_000_000:
        return BEYOND
    return EPOCH + timedelta(seconds=stamp.seconds, microseconds=stamp.nanos // 1000)


def _written(stamp: Any) -> str | None:
    at = _time(stamp)
    return None if at is BEYOND else at.isoformat()


def _plain(message: Message | None) -> dict[str, Any] | None:
    return None if message is None else json_format.MessageToDict(message)


def _nothing(_: Any) -> None:
    return None
