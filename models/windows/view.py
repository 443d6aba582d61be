"""Windows of other entities, read from what all partitions have published of hops that are over."""

from collections.abc import Iterable, Sequence

import numpy as np

from models.windows import compiled
from models.windows.compiled import Totals, plain
from models.windows.entities import Entities, HeldFigures
from models.windows.keys import MISSING
from models.windows.plan import MOST_TIME, SECOND_US, Layout, WindowsError
from models.windows.totals import NOTHING_OVER, added_up, decoded, layout_of, rows_of
from schemas.definition import LABEL, Window

LATE_S = 86_400  # events may be so late and still see all that they look at
BEHIND_S = 7 * 86_400  # so far, in event time, may a partition be behind the others, as when its worker was away


class TotalsView:
    """What is known of the entities of all partitions.

    Attributes:
        layout: Of the buckets. How far back they are held follows the partition that is furthest behind.
        incomplete: Events that were looked up when a partition had not published all that they look at, or so far
            behind the others that it is no longer held.
        newest_over: int64 [rings], the first hop of which no partition has published anything.
    """

    def __init__(self, windows: Sequence[Window], max_entities: int, partitions: Sequence[int] = (0,)) -> None:
        """Begin without a past.

        Args:
            windows: In the order of the columns of the result, all of one entity, each with a delay.
            max_entities: So many are held.
            partitions: As of `expect`.

        Raises:
            WindowsError: they cannot be computed of totals.
        """
        self.layout, held_longer = _layout(windows)
        self._most_depth = self.layout.plan.rings[:, 1].copy()
        self._least_depth = self._most_depth - held_longer
        self.incomplete = 0
        self._entities = Entities(self.layout, max_entities)
        rings = self.layout.plan.rings
        self._over: dict[int, np.ndarray] = {}
        self._nothing = np.full(len(rings), NOTHING_OVER)
        self.expect(partitions)
        self.newest_over = np.full(len(rings), NOTHING_OVER)
        walks = self.layout.plan.walks
        self._least_delay = np.array([walks[walks[:, 0] == ring, 7].min() for ring in range(len(rings))], np.int64)
        self._reach = self._least_depth - np.ceil(LATE_S * SECOND_US / rings[:, 0]).astype(np.int64)

    @property
    def figures(self) -> HeldFigures:
        """How many are held, forgotten."""
        return self._entities.figures

    @property
    def newest_us(self) -> int | None:
        """The newest time at which a hop was over, microseconds; None before the first."""
        ends = self.newest_over * self.layout.plan.rings[:, 0]
        return int(ends[self.newest_over > NOTHING_OVER].max()) if (self.newest_over > NOTHING_OVER).any() else None

    def expect(self, partitions: Iterable[int]) -> None:
        """The totals of these partitions, and of no others, are awaited."""
        self._expected = tuple(partitions)

    def has(self, partition: int, over: Sequence[int]) -> bool:
        """Whether everything has been taken in that a partition has published, which is over so far."""
        return bool((self._over.get(partition, self._nothing) >= over).all())

    def add(self, partition: int, record: bytes) -> None:
        """Take in a record of `HopTotals.finished`.

        Raises:
            WindowsError: the record is not of these windows; nothing of it is taken.
        """
        ring, until, rows = decoded(self.layout, record)
        self.newest_over[ring] = max(until, self.newest_over[ring])
        behind = self.newest_over - self._all_over
        self.layout.plan.rings[:, 1] = np.clip(self._least_depth + behind, self._least_depth, self._most_depth)
        self._take(ring, rows)
        over = self._over.setdefault(partition, self._nothing.copy())
        over[ring] = max(until, over[ring])

    def add_labels(self, keys: np.ndarray, times: np.ndarray, changes: np.ndarray) -> None:
        """Labels have arrived: their events have been counted, and what became of them changes by so much.

        Args:
            keys: int64 [labels].
            times: int64 [labels] of the events, microseconds, before `newest_us`: one to come would end what is held.
            changes: float64 [labels].
        """
        if LABEL not in self.layout.numbers or not keys.size:
            return
        numbers = np.zeros((keys.size, len(self.layout.numbers)))
        numbers[:, self.layout.numbers.index(LABEL)] = changes
        for ring in range(len(self.layout.plan.rings)):
            rows = rows_of(self.layout, ring, keys, times, numbers)
            rows.counts[:] = 0
            self._take(ring, added_up([rows]))

    def look(self, keys: np.ndarray, times: np.ndarray) -> np.ndarray:
        """The windows of events; `incomplete` counts those for which a partition had not published all.

        Args:
            keys: int64 [events].
            times: int64 [events], microseconds.

        Returns:
            float32 [events, windows], NaN where missing; so is every window of an event that names no entity.
        """
        if times.size and not -MOST_TIME < times.min() <= times.max() < MOST_TIME:
            raise ValueError("an event of an impossible time: they are refused before windows see them")
        keys, times = plain(keys, np.int64), plain(times, np.int64)
        out = np.empty((keys.size, self.layout.columns), np.float32)
        compiled.look(self._entities.store, self.layout.plan, keys, times, out)
        out[keys == MISSING] = np.nan
        if self._expected:
            hops, held = times[:, None] // self.layout.plan.rings[:, 0], self.newest_over - self.layout.plan.rings[:, 1]
            is_whole = (hops - self._least_delay <= self._all_over) & (hops - self._reach >= held)
            self.incomplete += int((~is_whole).any(axis=1).sum())
        return out

    @property
    def _all_over(self) -> np.ndarray:
        """Of each ring the first hop that is not over in all partitions that are awaited."""
        over = [self._over.get(p, self._nothing) for p in self._expected]
        return np.min(over, axis=0) if over else self._nothing

    def _take(self, ring: int, rows: Totals) -> None:
        held, first = self._entities, 0
        while (
            first := compiled.add_totals(held.store, self.layout.plan, ring, rows, first, held.rooms)
        ) < rows.keys.size:
            held.make_room()


def _layout(windows: Sequence[Window]) -> tuple[Layout, np.ndarray]:
    """That of a view, and of each ring by how many hops it is deeper than what an event needs that is late by a day."""
    least = layout_of(windows, LATE_S)
    try:
        most = layout_of(windows, LATE_S + BEHIND_S)
    except WindowsError:  # more than a block can be
        most = least
    return most, most.plan.rings[:, 1] - least.plan.rings[:, 1]
