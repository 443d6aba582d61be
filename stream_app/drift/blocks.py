"""Joins consecutive summaries to blocks of at least a given number of transactions."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime

from schemas.drift import DriftSummary
from stream_app.drift.merge import Sums


@dataclass(frozen=True, eq=False)
class Block:
    """Consecutive summaries as one observation.

    Attributes:
        sums: Of its transactions, at least one.
        begins: Event time of its first transaction.
        ends: Event time of its newest transaction.
        offsets: Input partition to the first offset that is not before the block, for every partition seen so far.
    """

    sums: Sums
    begins: datetime
    ends: datetime
    offsets: Mapping[int, int]


class Blocks:
    """Collects summaries until a block is full.

    Summaries are never split, so a block is a little larger than asked for; a summary that alone is larger (a backlog
    being worked off) becomes one larger block. Summaries without sums, from workers of an older version, are passed
    over: a rolling upgrade is a short blind spot, no alarm.

    Args:
        events: Scored transactions that fill a block.
    """

    def __init__(self, events: int) -> None:
        self._events = events
        self._positions: dict[int, int] = {}
        self._open: list[DriftSummary] = []
        self._sums: Sums | None = None

    def add(self, summary: DriftSummary) -> Block | None:
        """The block that this summary completes, if it does."""
        if summary.sums is None:
            return None
        sums = Sums.of(summary, summary.sums)
        self._sums = sums = sums if self._sums is None else self._sums + sums
        self._open.append(summary)
        if sums.scored < self._events:
            return None
        block = Block(
            sums=sums,
            begins=min(_known(s.event_time_min for s in self._open)),
            ends=max(_known(s.event_time_max for s in self._open)),
            offsets={s.partition: s.from_offset for s in reversed(self._open)} | self._positions,
        )
        self._positions |= {s.partition: s.to_offset for s in self._open}
        self._open, self._sums = [], None
        return block

    @property
    def pending(self) -> Sums | None:
        """The transactions since the last block; None if there are none."""
        return self._sums if self._sums is not None and self._sums.scored else None


def _known(times: Iterable[datetime | None]) -> list[datetime]:
    return [time for time in times if time is not None]
