"""Makes columns of values, one for each leaf of a shape, into the fields of its objects, checked as JSON's are."""

from collections.abc import Sequence
from dataclasses import dataclass
from types import GenericAlias
from typing import Any

import msgspec
import numpy as np

from schemas.definition import Definition
from stream_app.pipeline.batch import Refusal
from stream_app.pipeline.formats.outcomes import Outcomes, misfit
from stream_app.pipeline.shape import Shape, bounds

Column = list[Any] | np.ndarray
"""The values of one leaf, None where there is none; or float64, NaN where there is none."""


@dataclass(frozen=True)
class _Leaf:
    """One value of a record.

    Attributes:
        path: Of the value.
        kind: List of what it may be; None: anything.
        is_needed: A record without it is refused.
        least: Of a number.
        most: Of a number.
    """

    path: str
    kind: Any
    is_needed: bool
    least: float
    most: float


class AnyLeaves:
    """Leaves of which none is needed, whatever they are: for what people see of a few records.

    Args:
        paths: Of each leaf.
    """

    def __init__(self, paths: Sequence[str]) -> None:
        self.paths = list(paths)
        self.numbers = set[int]()

    def outcomes(self, columns: Sequence[Column], rows: Sequence[int]) -> Outcomes:
        """The values of every record, as those of one object."""
        return [list(zip(*columns, strict=True))], rows, []


class Leaves:
    """The leaves of a shape, in the order of its objects.

    Args:
        definition: What the shape was made of.
        shape: The objects.

    Attributes:
        paths: Of each leaf.
        numbers: The leaves that may come as float64.
    """

    def __init__(self, definition: Definition, shape: Shape) -> None:
        self._shape = shape
        self._leaves: list[_Leaf] = []
        self.numbers = set[int]()
        for node in shape.objects:
            for name, kind in (*node.values.items(), *node.numbers.items()):
                path = ".".join((*node.path, name))
                entry = definition.at(path) if name in node.numbers else None
                low, high = (None, None) if entry is None else bounds(entry)
                least, most = -np.inf if low is None else low, np.inf if high is None else high
                wanted = None if kind[0] is msgspec.Raw else GenericAlias(list, (kind[0],))
                if name in node.numbers:
                    self.numbers.add(len(self._leaves))
                self._leaves.append(_Leaf(path, wanted, len(kind) == 1, least, most))
        self.paths = [leaf.path for leaf in self._leaves]

    def outcomes(self, columns: Sequence[Column], rows: Sequence[int]) -> Outcomes:
        """The fields of the objects in records.

        Args:
            columns: The values of each leaf in all records.
            rows: Of the records in the batch.
        """
        try:
            checked = [_checked(leaf, column) for leaf, column in zip(self._leaves, columns, strict=True)]
        except msgspec.ValidationError:
            return self._one_by_one(columns, rows)
        found, taken = [], 0
        nothing: list[Any] = [None] * len(rows)
        for node in self._shape.objects:
            first, taken = taken, taken + len(node.values) + len(node.numbers)
            values = checked[first : first + len(node.values)]
            fields = (*values, *[nothing] * len(node.inside), *checked[first + len(node.values) : taken])
            found.append(list(zip(*fields, strict=True)) if fields else [()] * len(rows))
        return found, rows, []

    def _one_by_one(self, columns: Sequence[Column], rows: Sequence[int]) -> Outcomes:
        """Record by record, each with its own fate."""
        events, good, refused = list[Any](), list[int](), list[Refusal]()
        plain = [_or_none(column) for column in columns]
        for row, values in zip(rows, zip(*plain, strict=True), strict=True):
            try:
                events.append(msgspec.convert(self._nested(values), self._shape.kind))
                good.append(row)
            except msgspec.ValidationError as error:
                refused.append(misfit(row, error))
        return self._shape.read(events), good, refused

    def _nested(self, values: Sequence[Any]) -> dict[str, Any]:
        """One record as JSON would have it."""
        record: dict[str, Any] = {}
        for leaf, value in zip(self._leaves, values, strict=True):
            if value is not None:
                *groups, name = leaf.path.split(".")
                node = record
                for group in groups:
                    node = node.setdefault(group, {})
                node[name] = value if leaf.kind is not None else msgspec.Raw(msgspec.json.encode(value))
        return record


def _checked(leaf: _Leaf, column: Column) -> list[Any]:
    """The values of a leaf, as their type has them.

    Raises:
        ValidationError: one of them may not be there.
    """
    if isinstance(column, np.ndarray):
        good = (column >= leaf.least) & (column <= leaf.most)
        if not good.all() and (leaf.is_needed or not (good | np.isnan(column)).all()):
            raise msgspec.ValidationError
        values: list[Any] = column.tolist()
        return values
    return column if leaf.kind is None else msgspec.convert(column, leaf.kind)


def _or_none(column: Column) -> list[Any]:
    values = column if isinstance(column, list) else column.tolist()
    return [None if value != value else value for value in values]  # noqa: PLR0124 - NaN alone is not itself
