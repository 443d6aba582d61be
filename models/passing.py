"""The smallest change with which an anomaly would have passed: of its first reason, or of its first few together.

What is changed goes from its value towards what the model expects of such an event. Windows over one thing go together,
since nothing moves one of them alone. Windows that count the event itself follow its value; all others are held, as
they are what happened before.
"""

from collections.abc import Sequence

import numpy as np
from msgspec import Struct

from models.features import means_of, things_of
from models.runtime import Runtime, one_thread
from models.words import is_rate, quantity
from schemas.definition import Definition, Input

STEPS = 33
MOST_THINGS = 3  # that are changed together
DIGITS = 3


class PassingValue(Struct, frozen=True):
    """A value of an input with which, and with those beside it, the event would pass."""

    feature: str
    value: float
    unit: str = ""


def smallest_change(
    runtime: Runtime, event: np.ndarray, expected: np.ndarray, reasons: Sequence[int]
) -> list[PassingValue]:
    """Of each input that must change, the value that is nearest to its own; empty where no such change is enough.

    Args:
        runtime: The model, of which the event is an anomaly.
        event: float32 [inputs], raw, NaN where missing.
        expected: float [inputs], what is expected of it, in the inputs' own units.
        reasons: Columns of its reasons, strongest first.
    """
    definition = runtime.manifest.definition
    things = [next((t for t in things_of(definition) if column in t), [column]) for column in reasons]
    distinct = [thing for place, thing in enumerate(things) if thing not in things[:place]]
    for count in range(1, min(len(distinct), MOST_THINGS) + 1):
        columns = [c for thing in distinct[:count] for c in thing if not np.isnan(event[c])]
        path = _Path(definition, event, expected, columns)
        if (steps := _steps(runtime, path)) is not None:
            return [PassingValue(entry.name, value, entry.unit) for entry, value in path.changes(runtime, steps)]
    return []


def sentence(changes: Sequence[PassingValue]) -> str:
    """For people: `would pass with amount 80.00 EUR`; empty where nothing is known that is enough."""
    told = [f"{change.feature} {quantity(change.value, change.unit)}" for change in changes]
    head = [", ".join(told[:-1])] if len(told) > 1 else []
    return f"would pass with {' and '.join([*head, told[-1]])}" if told else ""


class _Path:
    """An event on its way to what is expected of it."""

    def __init__(self, definition: Definition, event: np.ndarray, expected: np.ndarray, columns: list[int]) -> None:
        self._definition, self._event, self._columns = definition, event, columns
        inputs = [definition.inputs[column] for column in columns]
        ends = [_possible(entry, float(expected[column])) for entry, column in zip(inputs, columns, strict=True)]
        self._start, self._end = event[columns].astype(np.float64), np.array(ends)
        self._whole = np.array([_is_whole(entry) for entry in inputs], dtype=bool)

    def values(self, steps: np.ndarray) -> np.ndarray:
        """Of the inputs that change, float64 [steps, changed], at steps from 0 to 1."""
        found: np.ndarray = self._start + steps[:, None] * (self._end - self._start)
        towards = np.where(self._end < self._start, np.floor(found + 1e-6), np.ceil(found - 1e-6))
        return np.where(self._whole, towards, found)

    def rows(self, values: np.ndarray) -> np.ndarray:
        """The event with these values, float32 [steps, inputs]; means that count it follow."""
        rows = np.repeat(self._event[None].astype(np.float64), len(values), axis=0)
        rows[:, self._columns] = values
        for mean in means_of(self._definition):
            if mean.own in self._columns and mean.column not in self._columns and self._event[mean.counted_by] >= 1:
                moved = values[:, self._columns.index(mean.own)] - self._event[mean.own]
                rows[:, mean.column] += moved / self._event[mean.counted_by]
        return rows.astype(np.float32)

    def changes(self, runtime: Runtime, step: float) -> list[tuple[Input, float]]:
        """Each changed input and its value, in few digits where these are enough to pass."""
        exact = self.values(np.array([step]))
        short = np.array([[_short(value, end) for value, end in zip(exact[0], self._end, strict=True)]])
        values = short if _passes(runtime, self.rows(short))[0] else exact
        inputs = [self._definition.inputs[column] for column in self._columns]
        moved = zip(inputs, values[0].tolist(), self._start, strict=True)
        return [(entry, value) for entry, value, start in moved if value != start]


def _steps(runtime: Runtime, path: _Path) -> float | None:
    """How far it must go: the first step from which on it passes, to a thousandth; None if it does not at the end."""
    low, high = 0.0, 1.0
    for _ in range(2):
        steps = np.linspace(low, high, STEPS)
        passes = _passes(runtime, path.rows(path.values(steps)))
        if not passes[-1]:
            return None
        first = int(np.flatnonzero(~passes)[-1]) + 1 if not passes.all() else 0
        low, high = float(steps[max(first - 1, 0)]), float(steps[first])
    return high


def _passes(runtime: Runtime, rows: np.ndarray) -> np.ndarray:
    with one_thread():
        return np.asarray(runtime.score(rows).score < runtime.manifest.calibration.threshold)


def _possible(entry: Input, value: float) -> float:
    """What is expected, within what the input can be."""
    if entry.kind == "flag" or entry.unit == "flag":
        return float(value >= 0.5)
    if entry.unit == "share" or entry.kind == "category":
        value = min(max(value, 0.0), 1.0)
    least = 0.0 if _is_whole(entry) else entry.least
    return value if least is None else max(value, least)


def _is_whole(entry: Input) -> bool:
    counts = entry.window is not None and entry.window.aggregate in ("count", "distinct")
    return counts or is_rate(entry.unit) or entry.kind == "flag" or entry.unit == "flag"


def _short(value: float, end: float) -> float:
    """As few digits as people say, on the side of what is expected, and not beyond it."""
    if value in (0, end):
        return value
    unit = 10.0 ** (np.floor(np.log10(abs(value))) - DIGITS + 1)
    near = np.floor(value / unit) * unit if end < value else np.ceil(value / unit) * unit
    return float(max(near, end) if end < value else min(near, end))
