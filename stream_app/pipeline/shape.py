"""The shape of the records that a definition reads: one struct for each object, of exactly the fields that are wanted.

A struct has its numbers last, so that the numbers of a micro-batch are slices of the tuples of its structs.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Annotated, Any

import msgspec
import numpy as np
from msgspec import Meta

from schemas.definition import Definition, Input
from schemas.scoring import LONGEST_ID, Moment, NonEmpty

IDENTIFIER = Annotated[NonEmpty, Meta(max_length=LONGEST_ID)] | int
VALUE = Annotated[str, Meta(min_length=1)] | int | bool | float
ANY_VALUE = str | int | bool | float | None
EXACT = 2**53  # integers beyond have lost digits as floating point
DECIMAL = 1e-5  # where data files have shorter floating point with an exponent
decode_value = msgspec.json.Decoder(str | bool | int | float).decode

Place = tuple[int, int]
"""Number of an object in `Shape.objects`, and of a field in its tuples."""
Tuples = list[list[tuple[Any, ...]]]
"""The tuples of each object, in the order of `Shape.objects`."""


@dataclass
class Node:
    """One object of a record.

    Attributes:
        values: Name of a field that is no number to its type and default, none or one.
        inside: Name of a field to the object there.
        numbers: As `values`, of numbers and flags.
        columns: Of each of the numbers, the column of the model.
        kind: The struct, once it is made.
        around: Number of the object around it, and its place in the tuples of that.
        path: The names that lead to it.
    """

    values: dict[str, tuple[Any, ...]] = field(default_factory=dict)
    inside: "dict[str, Node]" = field(default_factory=dict)
    numbers: dict[str, tuple[Any, ...]] = field(default_factory=dict)
    columns: list[int] = field(default_factory=list)
    kind: Any = None
    around: Place = (0, 0)
    path: tuple[str, ...] = ()

    @property
    def names(self) -> list[str]:
        """Of the fields, as they stand in its tuples."""
        return [*self.values, *self.inside, *self.numbers]

    @property
    def is_optional(self) -> bool:
        """Whether a record may be without it."""
        fields = (*self.values.values(), *self.numbers.values())
        return all(len(entry) > 1 for entry in fields) and all(below.is_optional for below in self.inside.values())

    def tuples(self, objects: Iterable[Any]) -> list[tuple[Any, ...]]:
        """The fields of objects; where one is null, as if it were empty."""
        try:
            return list(map(msgspec.structs.astuple, objects))
        except TypeError:
            nothing = self.kind()
            return [msgspec.structs.astuple(nothing if one is None else one) for one in objects]


class Shape:
    """The objects of a definition's records.

    Args:
        definition: What is read.
        segment: Path of the field by which drift is watched; where nothing else reads it, it may be anything.

    Attributes:
        objects: The record itself, then every object in it, each after the one around it.
        kind: The struct of the record.
    """

    def __init__(self, definition: Definition, segment: str | None) -> None:
        self._top = Node()
        event = definition.event
        moment = Moment if event.time_unit is None else float
        for path, kind in ((event.id, IDENTIFIER), (event.entity, IDENTIFIER), (event.time, moment)):
            self._put(path, (kind,))
        for column, entry in enumerate(definition.inputs):
            if entry.kind == "category":
                self._put(entry.path, (VALUE,) if entry.missing == "reject" else (ANY_VALUE, None))
            elif entry.path:
                self._put(entry.path, _number(entry), column)
        for path, is_identity in definition.past.items():
            self._put(path, (ANY_VALUE if is_identity else float | None, None))
        if segment is not None:
            self._put(segment, (msgspec.Raw, msgspec.Raw()))
        self.objects: list[Node] = []
        self._number(self._top, (0, 0))
        for node in reversed(self.objects):
            node.kind = _struct(node)
        self.kind = self._top.kind

    def read(self, events: list[Any]) -> Tuples:
        """The fields of all objects in all events."""
        found = [self._top.tuples(events)]
        for node in self.objects[1:]:
            around, place = node.around
            found.append(node.tuples([fields[place] for fields in found[around]]))
        return found

    def place(self, path: str) -> Place:
        """Where the values of a path are."""
        *groups, name = path.split(".")
        node = self._top
        for group in groups:
            node = node.inside[group]
        return next(i for i, other in enumerate(self.objects) if other is node), node.names.index(name)

    def _put(self, path: str, kind: tuple[Any, ...], column: int | None = None) -> None:
        """The first that reads a path says what may stand there."""
        if path.startswith("$"):
            return
        *groups, name = path.split(".")
        node = self._top
        for group in groups:
            node = node.inside.setdefault(group, Node())
        if column is not None:
            node.numbers[name] = kind
            node.columns.append(column)
        elif name not in node.numbers:
            node.values.setdefault(name, kind)

    def _number(self, node: Node, around: Place) -> None:
        node.around = around
        number = len(self.objects)
        self.objects.append(node)
        for place, (name, below) in enumerate(node.inside.items(), start=len(node.values)):
            below.path = (*node.path, name)
            self._number(below, (number, place))


def _struct(node: Node) -> Any:
    """Made after the structs inside; the garbage collector skips it."""
    inside = [
        (below.kind | None, msgspec.field(default_factory=below.kind)) if below.is_optional else (below.kind,)
        for below in node.inside.values()
    ]
    fields = [*node.values.values(), *inside, *node.numbers.values()]
    names = [f"f{number}" for number in range(len(fields))]
    named = [(name, *entry) for name, entry in zip(names, fields, strict=True)]
    rename = dict(zip(names, node.names, strict=True))
    return msgspec.defstruct("Event", named, rename=rename, gc=False, kw_only=True)


def bounds(entry: Input) -> tuple[float | None, float | None]:
    """The least and the greatest number that a record may have."""
    low, high = (bound if bound is None else bound / entry.scale for bound in (entry.least, entry.most))
    return (high, low) if entry.scale < 0 else (low, high)


def _number(entry: Input) -> tuple[Any, ...]:
    """A number as a field. JSON null is a missing value, as an absent field is."""
    kind: Any = float
    low, high = bounds(entry)
    if low is not None:
        kind = Annotated[kind, Meta(ge=low)]
    if high is not None:
        kind = Annotated[kind, Meta(le=high)]
    if entry.kind == "flag":
        kind = bool | float
    return (kind,) if entry.missing == "reject" else (kind | None, None)


def text_of(value: Any) -> str:
    """A value as text, a number as `models.data.columns` has it; empty if it holds none or is missing."""
    if isinstance(value, str):
        return value
    if isinstance(value, msgspec.Raw):
        try:
            return text_of(decode_value(value))
        except (msgspec.DecodeError, UnicodeDecodeError):
            return ""
    if isinstance(value, float):
        return "" if abs(value) >= EXACT else _written(value)
    return "" if value is None else str(value).lower()  # of a truth value as JSON has it


def _written(value: float) -> str:
    if value.is_integer():
        return str(int(value))
    if DECIMAL <= abs(value) < 10 * DECIMAL:
        return np.format_float_positional(value)
    return str(value).replace("e-0", "e-")
