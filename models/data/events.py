"""The events that producers would publish for the rows of a frame, as a definition reads them, and the labels apart.

Nothing of a label is ever in an event. What is missing is left out.
"""

from collections.abc import Iterator, Mapping
from datetime import timedelta
from itertools import repeat
from typing import Any

import orjson
import polars as pl

from models.data.sources import ENTITY, EVENT_ID, EVENT_TIME, PAST
from models.data.windows import LABEL_DELAY_DAYS
from models.definition import cards
from schemas.definition import Definition, Input
from schemas.scoring import Label

CHUNK_ROWS = 8192  # bounds the Python objects that are alive at once
PER_SECOND = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}

Tree = dict[str, Any]
"""Name to the column that stands there, or to the tree below it."""


def encode(frame: pl.DataFrame, definition: Definition | None = None) -> Iterator[tuple[bytes, bytes, int]]:
    """The events, in the order of the frame.

    Args:
        frame: As `models.data.frame.read` returns it. Further columns of text are fields of the event by their name.
        definition: Where what stands in a record. None: the simulator's.

    Yields:
        Key (the entity), value (JSON, UTF-8), event time in milliseconds since 1970.
    """
    definition = definition or cards()
    fields = _fields(frame, definition)
    for chunk in frame.iter_slices(CHUNK_ROWS):
        columns = {path: chunk.select(expression).to_series() for path, expression in fields.items()}
        events = _objects(_tree(columns), chunk.height)
        keys, times = chunk[ENTITY].to_list(), chunk[EVENT_TIME].dt.epoch("ms").to_list()
        for key, ms, event in zip(keys, times, events, strict=True):
            yield key.encode(), orjson.dumps(event), ms


def labels(
    frame: pl.DataFrame, definition: Definition | None = None, delay: timedelta = timedelta(days=LABEL_DELAY_DAYS)
) -> Iterator[Label]:
    """What becomes of the events, in the order of the frame; nothing of those whose label is null.

    Args:
        frame: With `fraud`, and `fraud_scenario` where that is known.
        definition: Which other entities of its event a label names. None: none.
        delay: How long after the event its label is known.
    """
    is_known = frame.schema.get("fraud_scenario", pl.Null()).is_integer()
    known = pl.col("fraud_scenario") if is_known else pl.lit(None)
    labelled_at = pl.col(EVENT_TIME) + delay
    paths = () if definition is None else definition.labelled
    columns = frame.select(
        *(EVENT_ID, "fraud", ENTITY, EVENT_TIME),
        *(PAST + path for path in paths),
        labelled_at=labelled_at,
        scenario=known,
    ).filter(pl.col("fraud").is_not_null())
    for event, fraud, entity, at, *others, known_at, scenario in columns.iter_rows():
        entities = {path: text for path, text in zip(paths, others, strict=True) if text}
        kind = scenario if fraud else None
        yield Label(event, fraud, known_at, kind, entity=entity, event_time=at, entities=entities)


def _fields(frame: pl.DataFrame, definition: Definition) -> dict[str, pl.Expr]:
    """Path to the values that stand there; null where there is none."""
    event = definition.event
    fields = {event.id: pl.col(EVENT_ID), event.time: _time(event.time_unit), event.entity: pl.col(ENTITY)}
    for entry in definition.inputs:
        if entry.path and entry.name in frame.columns:
            fields.setdefault(entry.path, _value(entry))
    inputs = {entry.name for entry in definition.inputs}
    for path in definition.past:
        if PAST + path in frame.columns:
            fields.setdefault(path, _looked_at(pl.col(PAST + path), frame.schema[PAST + path]))
    for name, dtype in frame.schema.items():
        own = name in inputs or name in (EVENT_ID, ENTITY) or name.startswith(PAST)
        if dtype == pl.String and not own:
            fields.setdefault(name, pl.when(pl.col(name) != "").then(pl.col(name)))
    return {path: expression for path, expression in fields.items() if not path.startswith("$")}


def _time(unit: str | None) -> pl.Expr:
    if unit is None:
        return pl.col(EVENT_TIME).dt.to_string("%Y-%m-%dT%H:%M:%S%.fZ")
    us = pl.col(EVENT_TIME).dt.epoch("us")
    return us * (PER_SECOND[unit] // 10**6) if unit in ("us", "ns") else us // (10**6 // PER_SECOND[unit])


def _value(entry: Input) -> pl.Expr:
    column = pl.col(entry.name)
    if entry.kind == "category":
        return pl.when(column != "").then(column)
    number = pl.when(column.is_finite()).then(column)
    if entry.kind == "flag":
        return number == 1
    return number if entry.scale == 1 else (number / entry.scale).round_sig_figs(15)


def _looked_at(column: pl.Expr, dtype: pl.DataType) -> pl.Expr:
    return pl.when(column != "" if dtype == pl.String else column.is_finite()).then(column)


def _tree(columns: Mapping[str, pl.Series]) -> Tree:
    tree: Tree = {}
    for path, column in columns.items():
        *groups, name = path.split(".")
        node = tree
        for group in groups:
            node = node.setdefault(group, {})
        node[name] = column
    return tree


def _objects(tree: Tree, rows: int) -> Iterator[Tree]:
    """An object for each row; only where a chunk has a missing value is every one looked at."""
    names = [name for name, column in tree.items() if isinstance(column, pl.Series)]
    groups = {name: _objects(below, rows) for name, below in tree.items() if isinstance(below, dict)}
    values = [tree[name].to_list() for name in names]
    complete = all(tree[name].null_count() == 0 for name in names)
    for row in zip(*values, strict=True) if values else repeat((), rows):
        pairs = zip(names, row, strict=True)
        found = dict(pairs) if complete else {name: value for name, value in pairs if value is not None}
        if groups:
            found |= {name: next(below) for name, below in groups.items()}
        yield found
