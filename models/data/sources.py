"""Which columns of a data file a definition asks for, and how the values of each are read."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import polars as pl

from models.data.columns import LARGEST, as_number, as_text, as_time, as_truth
from schemas.definition import MICROSECONDS, Definition, Input

EVENT_ID, EVENT_TIME, ENTITY, FRAUD = "event_id", "event_time", "entity", "fraud"
PAST = "past:"  # before the path of a value that windows look at: no name of an input, nor a path, has a column of it
TYPES: dict[str, pl.DataType] = {
    "text": pl.String(),
    "number": pl.Float64(),
    "flag": pl.Float64(),
    "time": pl.Datetime("us", "UTC"),
    "label": pl.Boolean(),
}


@dataclass(frozen=True)
class ColumnSource:
    """One column of a frame, and where it comes from.

    Attributes:
        name: In the frame.
        paths: Where it may stand in a file: the path, then other names. The first is what people know.
        kind: `text`, `number`, `flag`, `time` or `label`.
        scale: Of a number.
        unit: Of a time that is a number; None: by its size.
        needed: A file without it is refused.
        filled: A row without a value is refused.
        least: Smaller values are refused.
        most: Larger values are refused.
    """

    name: str
    paths: tuple[str, ...]
    kind: str
    scale: float = 1.0
    unit: str | None = None
    needed: bool = True
    filled: bool = False
    least: float | None = None
    most: float | None = None

    def read(self, column: pl.Expr, dtype: pl.DataType) -> pl.Expr:
        """The values in their type; null where there is none, or none that can be read."""
        if self.kind == "text":
            return as_text(column, dtype)
        if self.kind == "time":
            return as_time(column, dtype, self.unit)
        if self.kind == "label":
            return as_truth(column, dtype)
        if self.kind == "flag":
            return as_truth(column, dtype).cast(pl.Float64)
        number = as_number(column, dtype) * self.scale
        return pl.when(number.is_nan() | (number.abs() <= LARGEST)).then(number)

    def expected(self, value: object) -> str:
        """What a value that cannot be read should be."""
        if self.kind == "time" and self.unit is not None:
            fits = [unit for unit in MICROSECONDS if unit != self.unit and _is_time(value, unit)]
            better = f', but one in {fits[0]}: write time_unit = "{fits[0]}"' if fits else ""
            return f"a time from 1990 to 2100 in {self.unit}{better}"
        if self.kind == "number" and isinstance(value, int | float):
            return "a number that a 32-bit float can hold: leave that row out, the stream refuses such events"
        return {
            "text": "an id or a name: write it as text",
            "time": "a time from 1990 to 2100: write 2018-04-26T10:00:00Z, or seconds since 1970",
            "number": "a number: write 1234.5",
        }.get(self.kind, "yes or no: write true or false, or 1 or 0")


def sources(definition: Definition, labels_needed: bool, also: Sequence[str]) -> list[ColumnSource]:
    """The columns of a frame, in their order; each name once."""
    event, past = definition.event, list(_of_windows(definition))
    found = [
        ColumnSource(EVENT_ID, (event.id,), "text", filled=True),
        ColumnSource(EVENT_TIME, (event.time,), "time", unit=event.time_unit, filled=True),
        ColumnSource(ENTITY, (event.entity,), "text", filled=True),
        *(_of_input(entry) for entry in definition.inputs if entry.path),
        *past,
    ]
    if definition.label is not None:
        found.append(ColumnSource(FRAUD, (definition.label.column,), "label", needed=labels_needed))
    further = [*event.show, *([definition.segments.by] if definition.segments else []), *also]
    read = {path for source in found if source not in past for path in source.paths}
    found += [ColumnSource(path, (path,), "text", needed=False) for path in dict.fromkeys(further) if path not in read]
    return list({source.name: source for source in reversed(found)}.values())[::-1]


def place(schema: Mapping[str, pl.DataType], paths: Sequence[str]) -> tuple[pl.Expr, pl.DataType] | None:
    """The first of the paths that a file has, as column or as field of a struct; the case of names counts last."""
    for path in paths:
        for lower in (False, True):
            found = _inside(schema, path, lower)
            if found is not None:
                return found
    return None


def _of_input(entry: Input) -> ColumnSource:
    """A precomputed window may stand in a file under the input's name alone, without the group it has in a record."""
    names = (entry.path, entry.name) if entry.path.endswith(f".{entry.name}") else (entry.path,)
    kind = "text" if entry.kind == "category" else entry.kind
    filled = entry.missing == "reject"
    return ColumnSource(entry.name, names, kind, entry.scale, filled=filled, least=entry.least, most=entry.most)


def _of_windows(definition: Definition) -> Iterator[ColumnSource]:
    for path, is_identity in definition.past.items():
        if path == definition.event.entity:
            continue
        read = definition.at(path)
        source = ColumnSource(path, (path,), "number") if read is None else _of_input(read)
        kind = "text" if is_identity else "flag" if source.kind == "flag" else "number"
        yield ColumnSource(PAST + path, source.paths, kind, source.scale)


def _inside(schema: Mapping[str, pl.DataType], path: str, lower: bool) -> tuple[pl.Expr, pl.DataType] | None:
    """The longest column that the path begins with, and in it the fields that follow."""
    names = {name.lower(): name for name in schema} if lower else {name: name for name in schema}
    parts = (path.lower() if lower else path).split(".")
    for length in range(len(parts), 0, -1):
        name = names.get(".".join(parts[:length]))
        if name is None:
            continue
        expression, dtype = pl.col(name), schema[name]
        for part in parts[length:]:
            inner: Mapping[str, Any] = dtype.to_schema() if isinstance(dtype, pl.Struct) else {}
            field = next((field for field in inner if (field.lower() if lower else field) == part), None)
            if field is None:
                break
            expression, dtype = expression.struct.field(field), inner[field]
        else:
            return expression, dtype
    return None


def _is_time(value: object, unit: str) -> bool:
    try:
        number = float(str(value))
    except ValueError:
        return False
    return pl.select(as_time(pl.lit(number), pl.Float64(), unit)).item() is not None
