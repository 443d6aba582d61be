"""Summaries in the order of the log in, blocks of at least a given count out, each with its place in the stream."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import reduce
from operator import add

from schemas.drift import DriftSummary
from stream_app.drift.merge import Sums


@dataclass(frozen=True, eq=False)
class Block:
    """Consecutive summaries as one observation.

    Attributes:
        sums: What is in it, at least one scored transaction.
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
    being worked off) becomes one larger block.

    Args:
        events: Scored transactions that fill a block.
    """

    def __init__(self, events: int) -> None:
        self._events = events
        self._positions: dict[int, int] = {}
        self._open: list[DriftSummary] = []
        self._held = 0

    def add(self, summary: DriftSummary) -> Block | None:
        """The block that this summary completes, if it does."""
        self._open.append(summary)
        self._held += summary.scored
        if self._held < self._events:
            return None
        block = self._block()
        self._positions |= {s.partition: s.to_offset for s in self._open}
        self._open, self._held = [], 0
        return block

    @property
    def pending(self) -> Sums | None:
        """What has come since the last block; None where nothing has."""
        return reduce(add, map(Sums.of, self._open)) if self._held else None

    def _block(self) -> Block:
        return Block(
            sums=reduce(add, map(Sums.of, self._open)),
            begins=min(_known(s.event_time_min for s in self._open)),
            ends=max(_known(s.event_time_max for s in self._open)),
            offsets={s.partition: s.from_offset for s in reversed(self._open)} | self._positions,
        )


def _known(times: Iterable[datetime | None]) -> list[datetime]:
    return [time for time in times if time is not None]
