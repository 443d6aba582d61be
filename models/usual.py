"""What is usual for the entity of an event, from the inputs that carry it: the feature specification says which."""

from collections.abc import Sequence

import numpy as np

from models.words import per_days
from schemas.definition import Input
from schemas.scoring import Usual


def usual(inputs: Sequence[Input], column: int, row: np.ndarray) -> Usual | None:
    """The range of what the other inputs say is usual of one; None where none of them knows.

    Args:
        inputs: Of the model.
        column: Which of them.
        row: float32 [inputs], the event, NaN where missing.
    """
    entry, values, spans = inputs[column], [], []
    places = {source.name: place for place, source in enumerate(inputs)}
    for place, source in enumerate(inputs):
        if entry.name in source.usual_of:
            value = float(row[place]) * per_days(entry.unit) / per_days(source.unit)
            if entry.role == "own" and source.window is None and source.count in places:
                value = _without(float(row[column]), value, float(row[places[source.count]]))
            if np.isfinite(value):
                values.append(value)
                spans.append(source.over)
    longest = max(spans, key=days, default="")
    return Usual(min(values), max(values), longest) if values else None


def days(over: str) -> float:
    """The length of a window: `30d`, `12h` or `5m`."""
    return float(over[:-1]) / {"d": 1, "h": 24, "m": 1440}[over[-1]]


def _without(value: float, mean: float, count: float) -> float:
    """The mean of the others, where the event itself counts among them; NaN where it is alone."""
    return (mean * count - value) / (count - 1) if count > 1 else float("nan")
