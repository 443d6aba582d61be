"""The windows of a whole history, by the code that computes them in the stream: what a model is trained on."""

from collections.abc import Callable, Iterator, Sequence

import numpy as np
import polars as pl

from models.windows.compiled import Batch
from models.windows.keys import keys_of, keys_of_numbers
from models.windows.plan import MOST_TIME, by_entity
from models.windows.state import WindowState
from models.windows.totals import HopTotals
from models.windows.view import TotalsView
from schemas.definition import Window

CHUNK = 65_536  # rows


def windows_of(frame: pl.DataFrame, windows: Sequence[Window], *, time: str, entity: str) -> np.ndarray:
    """Compute the windows of every row from the rows before it.

    Args:
        frame: In the order in which the stream would have it: by time. A column for each path that a window reads;
            `label` as it is known by now.
        windows: In the order of the result's columns.
        time: Column of the time.
        entity: Path of the entity of the decision; windows of other entities, and of labels, are computed from totals.

    Returns:
        float32 [rows, windows], NaN where missing.
    """
    times = frame[time].dt.epoch("us").to_numpy()
    out = np.empty((frame.height, len(windows)), np.float32)
    own, others = by_entity(windows, entity)
    if own:
        _own(frame, times, entity, [windows[place] for place in own], out, own)
    for path, places in others.items():
        _others(frame, times, path, [windows[place] for place in places], out, places)
    return out


def state_of(
    frame: pl.DataFrame, state: WindowState, *, time: str, entity: str, end: int, advance: Callable[[int], object]
) -> None:
    """Count rows that stand before a log.

    Args:
        frame: As of `windows_of`.
        state: Without a past; it has the windows of the entity of the decision.
        time: Column of the time.
        entity: Path of that entity.
        end: The offset at which the log begins: rows take the places before it, which may be below 0.
        advance: Called with how many rows are counted.
    """
    for at, batch in _batches(frame, frame[time].dt.epoch("us").to_numpy(), entity, state, end - frame.height):
        state.step(batch)
        advance(at + batch.keys.size)


def _own(
    frame: pl.DataFrame, times: np.ndarray, path: str, windows: Sequence[Window], out: np.ndarray, places: list[int]
) -> None:
    state = WindowState(windows, frame[path].n_unique())
    for at, batch in _batches(frame, times, path, state):
        out[at : at + CHUNK, places] = state.step(batch)


def _batches(
    frame: pl.DataFrame, times: np.ndarray, path: str, state: WindowState, first: int = 0
) -> Iterator[tuple[int, Batch]]:
    """The rows as a state takes them, from a position in the log on, each batch with its first row."""
    for at in range(0, frame.height, CHUNK):
        rows = frame[at : at + CHUNK]
        identities = [_keys(rows[name]) for name in state.layout.identities]
        yield (
            at,
            Batch(
                np.arange(first + at, first + at + rows.height),
                _keys(rows[path]),
                times[at : at + CHUNK],
                _numbers(rows, state.layout.numbers),
                np.stack(identities, axis=1) if identities else np.empty((rows.height, 0), np.int64),
            ),
        )


def _others(
    frame: pl.DataFrame, times: np.ndarray, path: str, windows: Sequence[Window], out: np.ndarray, places: list[int]
) -> None:
    """Hop by hop of the newest time: when one is over, its totals are published, as a partition does."""
    totals, view = HopTotals(windows), TotalsView(windows, frame[path].n_unique())
    hop_us = int(totals.layout.plan.rings[:, 0].min())
    newest = np.maximum.accumulate(times)
    numbers, keys = _numbers(frame, totals.layout.numbers), _keys(frame[path])
    starts = np.flatnonzero(np.diff(newest // hop_us, prepend=-MOST_TIME) > 0)
    ends = np.r_[starts[1:], times.size][: starts.size]
    for start, end in zip(starts.tolist(), ends.tolist(), strict=True):
        for record in totals.finished(int(newest[start])):
            view.add(0, record)
        out[start:end, places] = view.look(keys[start:end], times[start:end])
        totals.add(keys[start:end], times[start:end], numbers[start:end])


def _keys(column: pl.Series) -> np.ndarray:
    if column.dtype.is_float():
        return keys_of_numbers(column.fill_null(float("nan")).to_numpy())
    return keys_of(column.cast(pl.String).to_list())


def _numbers(frame: pl.DataFrame, names: Sequence[str]) -> np.ndarray:
    columns = [frame[name].cast(pl.Float64).fill_null(float("nan")).to_numpy() for name in names]
    return np.stack(columns, axis=1) if columns else np.empty((frame.height, 0))
