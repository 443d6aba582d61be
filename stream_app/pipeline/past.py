"""Reads what windows look at from the records of a micro-batch, to the bits that training has of a file."""

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any

import numpy as np

from schemas.definition import Definition
from stream_app.kafka.log import Record
from stream_app.pipeline.batch import Past
from stream_app.pipeline.shape import Tuples, text_of

Read = Callable[[Tuples, Sequence[Record]], list[Any]]
"""The values of one path in the accepted records."""


class PastReader:
    """Reads the columns of `Definition.past`.

    Args:
        definition: With windows.
        read: Makes the reader of a path.
    """

    def __init__(self, definition: Definition, read: Callable[[str], Read]) -> None:
        from models.windows.keys import keys_of  # the compiler takes half a second, and most definitions need none

        self._keys_of = keys_of
        self._identities = [(path, read(path)) for path, is_identity in definition.past.items() if is_identity]
        numbers = [path for path, is_identity in definition.past.items() if not is_identity]
        self._numbers = [(path, read(path), _scale(definition, path)) for path in numbers]

    def __call__(
        self, found: Tuples, records: Sequence[Record], event_times: Sequence[datetime], us: np.ndarray | None
    ) -> Past:
        """The columns of the accepted records.

        Args:
            found: Their fields.
            records: The records themselves.
            event_times: Of m events.
            us: The same as microseconds, where that is known already.
        """
        if us is None:  # a whole number of microseconds is at most half of one from its float until the year 2100
            us = np.rint(np.array([at.timestamp() for at in event_times]) * 1e6).astype(np.int64)
        columns = {path: self._keys_of(list(map(text_of, read(found, records)))) for path, read in self._identities}
        for path, read, scale in self._numbers:
            values = np.array(read(found, records), dtype=np.float64)
            columns[path] = values if scale == 1 else values * scale
        return Past(us, columns)


def _scale(definition: Definition, path: str) -> float:
    entry = definition.at(path)
    return 1.0 if entry is None else entry.scale


def too_large(past: Past) -> np.ndarray:
    """Bool [m], the rows with a number that no input could have."""
    wrong = np.zeros(len(past.times), dtype=bool)
    with np.errstate(over="ignore"):
        for values in past.columns.values():
            if values.dtype == np.float64:
                wrong |= np.isinf(values.astype(np.float32))
    return wrong
