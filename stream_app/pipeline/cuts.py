"""Writes checkpoints of the windows: cuts, one partition after another, so many records in each transaction.

A cut is taken in memory right after a commit: it is the state as of the committed offset. Its records go out with the
commits that follow, its mark last, so a checkpoint never overtakes a commit. A cut that was not finished is harmless.
"""

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from itertools import islice
from typing import NamedTuple

from stream_app.pipeline.clock import Clock
from stream_app.pipeline.enrich import Windows
from stream_app.pipeline.window_records import CUT, StateRecord, mark, of_entity, of_totals, prefix

MOST_RECORDS = 2000  # in one transaction: about a megabyte

Whose = tuple[bytes, int]
"""Fingerprint of the windows, input partition."""


class Cut(NamedTuple):
    """What is to be written of one partition's windows.

    Attributes:
        whose: Of which windows and partition.
        offset: What it stands for.
        records: What is left of its entities.
        last: What is not over of other entities, and the mark: in one transaction.
    """

    whose: Whose
    offset: int
    records: Iterator[StateRecord]
    last: Sequence[StateRecord]


class Cuts:
    """The checkpoints of one session.

    Args:
        every_s: From one cut of a partition to its next.
        clock: The time.
    """

    def __init__(self, every_s: float, clock: Clock) -> None:
        self._every_s = every_s
        self._clock = clock
        self._cut: Cut | None = None
        self._written = False
        self._last: dict[Whose, tuple[float, int]] = {}

    @property
    def is_open(self) -> bool:
        """Whether records wait to be written."""
        return self._cut is not None

    def age_s(self, used: Iterable[Windows]) -> float:
        """Seconds since the oldest of the last cuts, of partitions that have counted something since; 0 without any."""
        places = [(windows, p) for windows in used for p in windows.states]
        lasts = [(self._last.get((windows.fingerprint, p)), windows.reached[p]) for windows, p in places]
        begun = [last[0] for last, reached in lasts if last is not None and reached > last[1]]
        return self._clock.monotonic() - min(begun) if begun else 0.0

    def restored(self, windows: Windows, partition: int, offset: int | None) -> None:
        """The state of a partition was built from a checkpoint of this offset; None: there was none."""
        self._last[windows.fingerprint, partition] = (self._clock.monotonic(), -1 if offset is None else offset)

    def take(self) -> list[StateRecord]:
        """The records for the open transaction."""
        if self._cut is None:
            return []
        records = list(islice(self._cut.records, MOST_RECORDS))
        self._written = len(records) < MOST_RECORDS
        return [*records, *self._cut.last] if self._written else records

    def committed(self) -> None:
        """A transaction has been committed: what was taken for it is written."""
        if self._cut is not None and self._written:
            self._last[self._cut.whose] = (self._clock.monotonic(), self._cut.offset)
            self._cut, self._written = None, False

    def begin(self, used: Iterable[Windows]) -> None:
        """Take the next cut, if one is due.

        Args:
            used: The windows in use, each at its committed offsets.
        """
        there = {(windows.fingerprint, p): windows for windows in used for p in windows.states}
        self._last = {whose: last for whose, last in self._last.items() if whose in there}
        if self._cut is not None and self._cut.whose not in there:
            self._cut, self._written = None, False
        if self._cut is None:
            self._cut = self._next(there, self._clock.monotonic())

    def _next(self, there: dict[Whose, Windows], now: float) -> Cut | None:
        """The cut that is most overdue, if one is: since the last one something must have been counted."""
        due = []
        for (fingerprint, partition), windows in there.items():
            at, offset = self._last.setdefault((fingerprint, partition), (now, -1))
            if now - at >= self._every_s and windows.reached[partition] > offset:
                due.append((at, partition, windows))
        if not due:
            return None
        _, partition, windows = min(due, key=lambda entry: entry[:2])
        return _cut(windows, partition, self._clock.now())


def _cut(windows: Windows, partition: int, now: datetime) -> Cut:
    """The state as it is now: what goes on to be counted does not change it."""
    begin, cut = prefix(windows.fingerprint, partition), windows.reached[partition]
    state = windows.states[partition]
    changed, entities = state.changed(), state.entities
    totals = [CUT.pack(int(now.timestamp() * 1000)), *state.checkpoint()] if state.totals else []
    return Cut(
        (windows.fingerprint, partition),
        cut,
        (of_entity(begin, partition, key, block, cut) for key, block in changed),
        [
            *(of_totals(begin, partition, number, content, cut) for number, content in enumerate(totals)),
            mark(begin, partition, cut, entities),
        ],
    )
