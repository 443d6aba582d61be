"""Joins consecutive summaries to blocks of at least a given number of events."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from schemas.drift import DriftSummary
from stream_app.drift.merge import Sums
from stream_app.kafka.records import EARLIEST, is_plausible

DAY = timedelta(days=1)
USUAL_SPANS = 8  # a block that ends so many spans of the last one after it has leapt


@dataclass(frozen=True, eq=False)
class Block:
    """Consecutive summaries as one observation.

    Attributes:
        sums: Of its events, at least one.
        begins: Event time of its first event, a few late ones apart.
        ends: Event time of its newest event, a few that are far ahead apart.
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
        events: Scored events that fill a block.
    """

    def __init__(self, events: int) -> None:
        self._events = events
        self._positions: dict[int, int] = {}
        self._last: Block | None = None
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
        begins, ends = self._span()
        self._last = block = Block(
            sums=sums,
            begins=begins,
            ends=ends,
            offsets={s.partition: s.from_offset for s in reversed(self._open)} | self._positions,
        )
        self._positions |= {s.partition: s.to_offset for s in self._open}
        self._open, self._sums = [], None
        return block

    def _span(self) -> tuple[datetime, datetime]:
        """Event times of the open summaries, in so far as the block before bears them out.

        A stream goes on, or leaps as a whole (a pause, a replay). A few late events must not date a change back,
        and one whose clock is ahead must not date it forward.
        """
        last = self._last
        begins = min(_known(s.event_time_min for s in self._open), default=last.begins if last else EARLIEST)
        ends = max(_known(s.event_time_max for s in self._open), default=last.ends if last else EARLIEST)
        if last is None:
            return begins, ends
        far = last.ends + max(DAY, USUAL_SPANS * (last.ends - last.begins))
        if begins <= far < ends:
            ends = max(begins, last.ends)
        if begins < last.begins <= ends:
            begins = last.begins
        return begins, ends

    @property
    def pending(self) -> Sums | None:
        """The events since the last block; None if there are none."""
        return self._sums if self._sums is not None and self._sums.scored else None


def _known(times: Iterable[datetime | None]) -> list[datetime]:
    return [time for time in times if time is not None and is_plausible(time)]
