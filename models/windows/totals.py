"""Windows over entities whose events stand in every partition: totals of hops that are over, published and read by all.

`HopTotals` adds up the events of one partition, `TotalsView` what all partitions published. Their sums are exact, so
neither batches nor partitions nor the order of records show in a value.
"""

import struct
from collections.abc import Sequence

import numpy as np

from models.windows import compiled
from models.windows.compiled import Totals, plain
from models.windows.entities import Entities, HeldFigures
from models.windows.keys import MISSING
from models.windows.plan import MOST_TIME, Layout, WindowsError
from schemas.definition import OF_OTHERS, Window

QUANTUM = 2.0**-20  # of a value
MOST_PENDING = 65_536  # rows before they are added up
SLACK_S = 86_400
VERSION = 1
HEAD = struct.Struct("<HHIqI")  # version, ring, fingerprint, first hop that is not over, rows


class HopTotals:
    """What the entities of one partition add up to, until their hops are over."""

    def __init__(self, windows: Sequence[Window]) -> None:
        self.layout = _layout(windows)
        self._pending = [[_none(*counts)] for counts in self.layout.plan.rings[:, 2:].tolist()]
        self._rows = [0] * len(self._pending)
        self._over = [-(1 << 62)] * len(self._pending)

    def add(self, keys: np.ndarray, times: np.ndarray, numbers: np.ndarray) -> None:
        """Count events.

        Args:
            keys: int64 [events].
            times: int64 [events], microseconds.
            numbers: float64 [events, numbers of the layout]; not yet labelled: 0 in the column of the label.
        """
        self._note(keys, times, numbers, counted=True)

    def add_values(self, keys: np.ndarray, times: np.ndarray, numbers: np.ndarray) -> None:
        """Add to the sums of events that have been counted before: labels as they arrive, 0 in all other columns."""
        self._note(keys, times, numbers, counted=False)

    def finished(self, now: int) -> list[bytes]:
        """Records of the hops that are over at a time, and of events that came late for those published before.

        A ring has one when another hop of it is over, and none until then. What is in a record is let go.

        Args:
            now: Microseconds: the newest time of the partition; of one without events, that of the others.
        """
        records = []
        for ring, hop_us in enumerate(self.layout.plan.rings[:, 0].tolist()):
            until = now // hop_us
            if until <= self._over[ring]:
                continue
            self._over[ring], rows = until, _added_up(self._pending[ring])
            over = rows.hops < until
            records.append(_encoded(self.layout, ring, until, Totals(*(column[over] for column in rows))))
            self._keep(ring, Totals(*(column[~over] for column in rows)))
        return records

    def checkpoint(self) -> list[bytes]:
        """What is not over yet, for `restore`."""
        everything = [_added_up(pending) for pending in self._pending]
        return [_encoded(self.layout, ring, self._over[ring], rows) for ring, rows in enumerate(everything)]

    def restore(self, records: Sequence[bytes]) -> None:
        """Take up what `checkpoint` gave.

        Raises:
            WindowsError: the records are not of these windows.
        """
        for record in records:
            ring, until, rows = _decoded(self.layout, record)
            self._over[ring] = until
            self._keep(ring, rows)

    def _note(self, keys: np.ndarray, times: np.ndarray, numbers: np.ndarray, *, counted: bool) -> None:
        sound = np.isfinite(numbers)
        exact = np.where(sound, np.rint(np.where(sound, numbers, 0.0) / QUANTUM) * QUANTUM, 0.0)
        for ring, (hop_us, _, counts, sums) in enumerate(self.layout.plan.rings.tolist()):
            rows = Totals(
                keys,
                times // hop_us,
                np.zeros((keys.size, counts), np.int64),
                np.zeros((keys.size, sums)),
            )
            for _, source, count, total, *_ in self.layout.plan.puts[self.layout.plan.puts[:, 0] == ring].tolist():
                if counted:
                    rows.counts[:, count] = 1 if source < 0 else sound[:, source]
                if total >= 0:
                    rows.sums[:, total] = exact[:, source]
            self._pending[ring].append(rows)
            self._rows[ring] += keys.size
            if self._rows[ring] > max(MOST_PENDING, self._pending[ring][0].keys.size):
                self._keep(ring, _added_up(self._pending[ring]))

    def _keep(self, ring: int, rows: Totals) -> None:
        self._pending[ring], self._rows[ring] = [rows], 0


class TotalsView:
    """What is known of the entities of all partitions."""

    def __init__(self, windows: Sequence[Window], max_entities: int, partitions: Sequence[int] = (0,)) -> None:
        """Begin without a past.

        Args:
            windows: In the order of the columns of the result, all of one entity, each with a delay.
            max_entities: So many are held.
            partitions: Whose totals are awaited.

        Raises:
            WindowsError: they cannot be computed of totals.
        """
        self.layout = _layout(windows, SLACK_S)
        self.incomplete = 0
        self._entities = Entities(self.layout, max_entities)
        rings = self.layout.plan.rings
        self._over = {partition: np.full(len(rings), -(1 << 62)) for partition in partitions}
        walks = self.layout.plan.walks
        self._least_delay = np.array([walks[walks[:, 0] == ring, 7].min() for ring in range(len(rings))], np.int64)

    @property
    def figures(self) -> HeldFigures:
        """How many are held, forgotten."""
        return self._entities.figures

    def add(self, partition: int, record: bytes) -> None:
        """Take in a record of `HopTotals.finished`.

        Raises:
            WindowsError: the record is not of these windows; nothing of it is taken.
        """
        ring, until, rows = _decoded(self.layout, record)
        held, first = self._entities, 0
        while (
            first := compiled.add_totals(held.store, self.layout.plan, ring, rows, first, held.rooms)
        ) < rows.keys.size:
            held.make_room()
        if partition in self._over:
            self._over[partition][ring] = max(until, self._over[partition][ring])

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
        over = np.min(list(self._over.values()), axis=0)
        needed = times[:, None] // self.layout.plan.rings[:, 0] - self._least_delay
        self.incomplete += int((needed > over).any(axis=1).sum())
        return out


def _layout(windows: Sequence[Window], slack_s: int = 0) -> Layout:
    for window in windows:
        if window.aggregate not in OF_OTHERS or not window.delay_hops:
            raise WindowsError(
                f"{window.aggregate} is no window over {window.entity}: of another entity than that of the decision "
                "there are count, sum and mean, with a delay of at least one hop"
            )
    return Layout(windows, slack_s)


def _none(counts: int, sums: int) -> Totals:
    return Totals(np.empty(0, np.int64), np.empty(0, np.int64), np.empty((0, counts), np.int64), np.empty((0, sums)))


def _added_up(pending: Sequence[Totals]) -> Totals:
    """One row for each entity and hop."""
    rows = Totals(*(np.concatenate(columns) for columns in zip(*pending, strict=True)))
    if not rows.keys.size:
        return rows
    order = np.lexsort((rows.hops, rows.keys))
    keys, hops = rows.keys[order], rows.hops[order]
    first = np.flatnonzero(np.r_[True, (keys[1:] != keys[:-1]) | (hops[1:] != hops[:-1])])
    return Totals(
        keys[first], hops[first], np.add.reduceat(rows.counts[order], first), np.add.reduceat(rows.sums[order], first)
    )


def _encoded(layout: Layout, ring: int, until: int, rows: Totals) -> bytes:
    head = HEAD.pack(VERSION, ring, layout.totals_fingerprint, until, rows.keys.size)
    columns = (rows.keys.astype("<i8"), rows.hops.astype("<i4"), rows.counts.astype("<i4"), rows.sums.astype("<f8"))
    return head + b"".join(column.tobytes() for column in columns)


def _decoded(layout: Layout, record: bytes) -> tuple[int, int, Totals]:
    """Ring, first hop that is not over, rows."""
    if len(record) < HEAD.size:
        raise WindowsError(UNSOUND)
    version, ring, fingerprint, until, rows = HEAD.unpack_from(record)
    if (version, fingerprint) != (VERSION, layout.totals_fingerprint) or ring >= len(layout.plan.rings):
        raise WindowsError(UNSOUND)
    counts, sums = layout.plan.rings[ring, 2:].tolist()
    if len(record) != HEAD.size + rows * (12 + 4 * counts + 8 * sums):
        raise WindowsError(UNSOUND)
    place, columns = HEAD.size, []
    for kind, width in (("<i8", 1), ("<i4", 1), ("<i4", counts), ("<f8", sums)):
        columns.append(np.frombuffer(record, kind, rows * width, place).reshape(rows, width))
        place += columns[-1].nbytes
    keys, hops, counted, added = columns
    if (counted < 0).any() or not np.isfinite(added).all():
        raise WindowsError(UNSOUND)
    wide = (
        keys[:, 0].astype(np.int64),
        hops[:, 0].astype(np.int64),
        counted.astype(np.int64),
        added.astype(np.float64),
    )
    return ring, until, Totals(*wide)


UNSOUND = "a record of totals was not written for these windows: workers of one detector must have the same definition"
