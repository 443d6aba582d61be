"""Windows of other entities, read from what all partitions have published of hops that are over."""

from collections.abc import Iterable, Sequence

import numpy as np

from models.windows import compiled
from models.windows.compiled import Totals, plain
from models.windows.entities import Entities, HeldFigures
from models.windows.keys import MISSING
from models.windows.plan import COUNT, MOST_TIME, SECOND_US, Layout, Plan, WindowsError
from models.windows.totals import NOTHING_OVER, added_up, decoded, layout_of, rows_of
from schemas.definition import LABEL, Window

DAY_US = 86_400 * SECOND_US
LATE_S = 86_400  # events may be so late and still see all that they look at
BEHIND_S = 7 * 86_400  # so far, in event time, may a partition be behind the others, as when its worker was away


class TotalsView:
    """What is known of the entities of all partitions.

    Attributes:
        layout: Of the buckets.
        incomplete: Events that were looked up when a partition had not published all that they look at, or so far
            behind the others that it is no longer held.
        taken: How many records.
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
        self.layout = _layout(windows)
        self.incomplete = self.taken = 0
        self._entities = Entities(self.layout, max_entities)
        rings = self.layout.plan.rings
        self._over: dict[int, np.ndarray] = {}
        self._nothing = np.full(len(rings), NOTHING_OVER)
        self.expect(partitions)
        self.newest_over = np.full(len(rings), NOTHING_OVER)
        walks = self.layout.plan.walks
        self._least_delay = np.array([walks[walks[:, 0] == ring, 7].min() for ring in range(len(rings))], np.int64)
        self._days = _of_days(self.layout.plan)
        self._reach = layout_of(windows).plan.rings[:, 1]

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
        self._take(ring, rows)
        self.newest_over[ring] = max(until, self.newest_over[ring])
        self.taken += 1
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

    def had_events(self, keys: np.ndarray, times: np.ndarray) -> np.ndarray:
        """Whether entities are known to have had an event on the days of these times, bool [entities]."""
        counts = np.empty((keys.size, len(self.layout.plan.rings)), np.float32)
        ends = (plain(times, np.int64) // DAY_US + 1) * DAY_US - 1
        compiled.look(self._entities.store, self._days, plain(keys, np.int64), ends, counts)
        known: np.ndarray = counts.max(axis=1, initial=0.0) > 0
        return known

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
        if self._expected and times.size:
            first, end = self._whole_between()
            self.incomplete += int(((times < first) | (times >= end)).sum())
        return out

    def _whole_between(self) -> tuple[int, int]:
        """Events from the first time on, and before the second, see all that they look at, microseconds."""
        over = np.min([self._over.get(p, self._nothing) for p in self._expected], axis=0)
        hops_us, depths = self.layout.plan.rings[:, 0].tolist(), self.layout.plan.rings[:, 1]
        firsts, ends = (self.newest_over - depths + self._reach).tolist(), (over + self._least_delay + 1).tolist()
        first = max(hop * hop_us for hop, hop_us in zip(firsts, hops_us, strict=True))
        end = min(hop * hop_us for hop, hop_us in zip(ends, hops_us, strict=True))
        return max(first, -MOST_TIME), max(end, -MOST_TIME)

    def _take(self, ring: int, rows: Totals) -> None:
        held, first = self._entities, 0
        while (
            first := compiled.add_totals(held.store, self.layout.plan, ring, rows, first, held.rooms)
        ) < rows.keys.size:
            held.make_room()


def _layout(windows: Sequence[Window]) -> Layout:
    """Hops are held so much longer than the newest event needs, if a block of memory can be that large."""
    try:
        return layout_of(windows, LATE_S + BEHIND_S)
    except WindowsError:
        return layout_of(windows, LATE_S)


def _of_days(plan: Plan) -> Plan:
    """Counts the events of the day whose last moment is looked at, in each ring."""
    firsts = [plan.puts[plan.puts[:, 0] == ring][0] for ring in range(len(plan.rings))]
    walks = [(*first.tolist(), 0, ring, ring + 1) for ring, first in enumerate(firsts)]
    ends = [(DAY_US // int(hop_us) - 1, COUNT, ring) for ring, hop_us in enumerate(plan.rings[:, 0])]
    return plan._replace(walks=np.array(walks, np.int64), ends=np.array(ends, np.int64))
