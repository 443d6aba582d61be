"""What is held of one partition's log: the windows of its entities, and totals of others until their hops are over."""

from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from models.windows.compiled import Batch
from models.windows.entities import HeldFigures
from models.windows.plan import WindowsError
from models.windows.state import WindowState
from models.windows.totals import HopTotals
from stream_app.pipeline.window_records import CUT, PublishedTotals

ON_THEIR_WAY_US = 60_000_000  # hops are of 300 seconds or more

Block = tuple[bytes, bytes | None]


class Counted(NamedTuple):
    """What windows look at in some events of one partition, in the order of the log.

    Attributes:
        offsets: int64 [m].
        times: int64 [m], microseconds.
        own: Of the windows that follow this log.
        others: Of each other entity keys, int64 [m], and numbers, float64 [m, numbers].
    """

    offsets: np.ndarray
    times: np.ndarray
    own: Batch | None
    others: Sequence[tuple[np.ndarray, np.ndarray]]


class PartitionWindows:
    """The state of one partition: a function of its log, and of what was published about it.

    Attributes:
        own: The windows of its entities; None: the definition has none that follow the log.
        totals: Of each other entity.
        published: What the log of `window-totals` has of this partition beyond where it is counted up to, ascending.
            It is let go where it was published, and until then nothing else is.
        newest: Microseconds, of the newest event; None before the first one that was counted here.
    """

    def __init__(self, own: WindowState | None, totals: Sequence[HopTotals]) -> None:
        self.own = own
        self.totals = totals
        self.published: deque[PublishedTotals] = deque()
        self.newest: int | None = None

    @property
    def figures(self) -> HeldFigures:
        """Of the entities of this partition."""
        return HeldFigures(0, 0, 0, 0, 0) if self.own is None else self.own.figures

    @property
    def entities(self) -> int:
        """How many are held."""
        return self.figures.entities

    def count(self, columns: Counted) -> np.ndarray | None:
        """Compute the own windows of each event from the events before it, then count it.

        Returns:
            float32 [m, own windows]; None without any.
        """
        values, first, count = [], 0, len(columns.offsets)
        while first < count:
            self.let_go(int(columns.offsets[first]))
            end = count
            if self.published:
                end = first + int(np.searchsorted(columns.offsets[first:], self.published[0].offset))
            part = slice(first, end)
            for totals, (keys, numbers) in zip(self.totals, columns.others, strict=True):
                totals.add(keys[part], columns.times[part], numbers[part])
            if self.own is not None and columns.own is not None:
                values.append(self.own.step(Batch(*(column[part] for column in columns.own))))
            first = end
        if count:
            newest = int(columns.times.max())
            self.newest = newest if self.newest is None else max(newest, self.newest)
        return np.concatenate(values) if values else None

    def let_go(self, offset: int) -> None:
        """Drop what has been published of the log before this offset, which has been counted up to there."""
        while self.published and self.published[0].offset <= offset:
            record = self.published.popleft()
            self.totals[record.entity].let_go(record.ring, record.until)

    def is_due(self, quiet_at: int | None) -> bool:
        """Whether `finished` has something to publish."""
        if self.published:
            return False
        now = self._now(quiet_at)
        return now is not None and any(totals.is_due(now) for totals in self.totals)

    def finished(self, quiet_at: int | None) -> Iterator[tuple[int, bytes]]:
        """What is to be published of the hops that are over: which other entity, and a record.

        Args:
            quiet_at: Newest time of the other partitions, where this one has nothing that is not counted: it must not
                hold readers up. A hop stays open a while longer, for events on their way.
        """
        now = self._now(quiet_at)
        if self.published or now is None:
            return
        for entity, totals in enumerate(self.totals):
            for record in totals.finished(now):
                yield entity, record

    def _now(self, quiet_at: int | None) -> int | None:
        times = [self.newest, None if quiet_at is None else quiet_at - ON_THEIR_WAY_US]
        return max((at for at in times if at is not None), default=None)

    def changed(self) -> Iterable[Block]:
        """Entities that changed since the last call."""
        return () if self.own is None else self.own.changed()

    def checkpoint(self) -> list[bytes]:
        """What is not over of other entities."""
        return [bytes([entity]) + record for entity, totals in enumerate(self.totals) for record in totals.checkpoint()]

    def restore(self, blocks: Iterable[Block], totals: Mapping[bytes, bytes]) -> int:
        """Take up a cut, at the beginning.

        Args:
            blocks: Of the entities.
            totals: Number to what a cut has of other entities.

        Returns:
            When the cut was taken, in milliseconds; 0 where it has no other entities.

        Raises:
            WindowsError: it is none of these windows.
        """
        if self.own is not None:
            self.own.restore(blocks)
        if not self.totals or not totals:  # a cut that was made of a file has none
            return 0
        taken_at, *contents = (totals[number] for number in sorted(totals))
        if len(taken_at) != CUT.size or any(not content or content[0] >= len(self.totals) for content in contents):
            raise WindowsError("the checkpoint has no totals of other entities as these windows have them")
        for content in contents:
            self.totals[content[0]].restore([content[1:]])
        at: int = CUT.unpack(taken_at)[0]
        return at

    def overlay(self, blocks: Iterable[Block]) -> None:
        """Records of this offset take the place of what is held of their entities."""
        if self.own is not None:
            self.own.overlay(blocks)
