"""The windows of the rows of data files, by the code that computes those of the stream."""

import logging
from datetime import datetime, timedelta

import polars as pl

from models.data.sources import ENTITY, EVENT_TIME, FRAUD, PAST
from schemas.definition import LABEL, Definition

TIME = "$time"  # no path begins so

log = logging.getLogger(__name__)


def with_windows(frame: pl.DataFrame, definition: Definition) -> pl.DataFrame:
    """The frame with the inputs that are windows, and without the columns that only these look at.

    Args:
        frame: All rows that are known, by time, with the columns of `definition.past`.
        definition: Which windows.
    """
    if not definition.windows:
        return frame
    from models.windows.history import windows_of  # it compiles, and few need it

    windows = [entry.window for entry in definition.windows if entry.window is not None]
    values = windows_of(looked_at(frame, definition), windows, time=TIME, entity=definition.event.entity)
    columns = {entry.name: pl.Series(values[:, place]) for place, entry in enumerate(definition.windows)}
    return frame.select(pl.exclude(f"^{PAST}.*$")).with_columns(**columns)


def looked_at(frame: pl.DataFrame, definition: Definition) -> pl.DataFrame:
    """What windows look at in rows: their time under `TIME`, and a column for each path."""
    return frame.select(
        pl.col(EVENT_TIME).alias(TIME),
        *(_looked_at(frame, path, definition) for path in definition.past),
        *([pl.col(FRAUD).fill_null(value=False).cast(pl.Float64).alias(LABEL)] if FRAUD in frame.columns else []),
    )


def _looked_at(frame: pl.DataFrame, path: str, definition: Definition) -> pl.Expr:
    """One of the columns, null where an event has nothing there."""
    column = ENTITY if path == definition.event.entity else PAST + path
    if frame.schema[column] != pl.String:
        return pl.col(column).alias(path)
    return pl.when(pl.col(column) != "").then(pl.col(column)).alias(path)


def warn_of_short(definition: Definition, known: pl.Series, used: pl.Series) -> None:
    """Say for how long windows are not full, where the history is shorter than they are.

    Args:
        definition: Which windows.
        known: Times of all rows.
        used: Times of the rows that are used, sorted.
    """
    begins: datetime = known.to_frame().min().item()
    full = begins + timedelta(seconds=definition.reach_s)
    if definition.windows and used[0] < full:
        until = f"until {full:%Y-%m-%d %H:%M}" if full <= used[-1] else "in all rows"
        log.warning("the data begins %s, so the longest windows are short %s", f"{begins:%Y-%m-%d %H:%M}", until)
