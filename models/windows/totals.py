"""Windows over entities whose events stand in every partition: totals of hops that are over, published and read by all.

`HopTotals` adds up the events of one partition, `view.TotalsView` what all partitions published. Their sums are exact,
so neither batches nor partitions nor the order of records show in a value.
"""

import struct
from collections.abc import Iterator, Sequence

import numpy as np

from models.windows.compiled import Totals
from models.windows.keys import MISSING
from models.windows.plan import Layout, WindowsError
from schemas.definition import OF_OTHERS, Window

QUANTUM = 2.0**-20  # of a value
MOST_WAITING = 65_536  # events before they are added up
RECORD_BYTES = 500_000  # about the most of one record
VERSION = 1
HEAD = struct.Struct("<HHIqI")  # version, ring, fingerprint, first hop that is not over, rows
NOTHING_OVER = -(1 << 62)


class HopTotals:
    """What the entities of one partition add up to, until their hops are over.

    Events are kept as they come, and added up some ten thousand at a time, or when a hop is over.
    """

    def __init__(self, windows: Sequence[Window]) -> None:
        self.layout = layout_of(windows)
        self._waiting: list[tuple[np.ndarray, np.ndarray, np.ndarray]] = []
        self._waiting_rows = 0
        self._parts: list[list[Totals]] = [[] for _ in self.layout.plan.rings]
        self._over = [NOTHING_OVER] * len(self._parts)

    @property
    def over(self) -> tuple[int, ...]:
        """Of each ring the first hop of which nothing has been published."""
        return tuple(self._over)

    def add(self, keys: np.ndarray, times: np.ndarray, numbers: np.ndarray) -> None:
        """Count events. The arrays are kept.

        Args:
            keys: int64 [events].
            times: int64 [events], microseconds.
            numbers: float64 [events, numbers of the layout]; not yet labelled: 0 in the column of the label.
        """
        self._waiting.append((keys, times, numbers))
        self._waiting_rows += keys.size
        if self._waiting_rows >= MOST_WAITING:
            self._add_up()

    def is_due(self, now: int) -> bool:
        """Whether `finished` has something to publish."""
        hops = self.layout.plan.rings[:, 0].tolist()
        return any(now // hop_us > over for hop_us, over in zip(hops, self._over, strict=True))

    def finished(self, now: int) -> list[bytes]:
        """Records of the hops that are over at a time, and of events that came late for those published before.

        A ring has some when another hop of it is over, and none until then. What is in a record is let go.

        Args:
            now: Microseconds: the newest time of the partition; of one without events, that of the others.
        """
        records: list[bytes] = []
        for ring, hop_us in enumerate(self.layout.plan.rings[:, 0].tolist()):
            before, until = self._over[ring], now // hop_us
            if until > before:
                records += _encoded(self.layout, ring, (before, until), self._taken(ring, until))
        return records

    def head(self, record: bytes) -> tuple[int, int]:
        """Ring, and first hop that is not over, of a record of `finished`.

        Raises:
            WindowsError: it is not of these windows.
        """
        ring, until, _ = decoded(self.layout, record)
        return ring, until

    def let_go(self, ring: int, until: int) -> None:
        """Drop what a record of this ring holds, that was published when exactly these events had been counted."""
        if until > self._over[ring]:
            self._taken(ring, until)

    def checkpoint(self) -> list[bytes]:
        """What is not over yet, for `restore`."""
        self._add_up()
        return [
            record
            for ring, over in enumerate(self._over)
            for record in _encoded(self.layout, ring, (over, over), self._merged(ring))
        ]

    def restore(self, records: Sequence[bytes]) -> None:
        """Take up what `checkpoint` gave.

        Raises:
            WindowsError: the records are not of these windows; nothing is taken.
        """
        for ring, over, rows in [decoded(self.layout, record) for record in records]:
            self._over[ring] = over
            self._parts[ring].append(rows)

    def _taken(self, ring: int, until: int) -> Totals:
        """The rows of the hops before `until`, which are not held any longer."""
        self._add_up()
        rows = self._merged(ring)
        over = rows.hops < until
        self._over[ring], self._parts[ring] = until, [Totals(*(column[~over] for column in rows))]
        return Totals(*(column[over] for column in rows))

    def _merged(self, ring: int) -> Totals:
        rows = added_up([_none(*self.layout.plan.rings[ring, 2:].tolist()), *self._parts[ring]])
        self._parts[ring] = [rows]
        return rows

    def _add_up(self) -> None:
        """The events that wait, of which some name no entity."""
        if not self._waiting:
            return
        keys, times, numbers = (np.concatenate(columns) for columns in zip(*self._waiting, strict=True))
        self._waiting, self._waiting_rows = [], 0
        named = keys != MISSING
        for ring in range(len(self._parts)):
            parts = self._parts[ring]
            parts.append(added_up([rows_of(self.layout, ring, keys[named], times[named], numbers[named])]))
            if sum(part.keys.size for part in parts[1:]) > max(MOST_WAITING, parts[0].keys.size):
                self._merged(ring)


def layout_of(windows: Sequence[Window], slack_s: int = 0) -> Layout:
    """The buckets of windows over another entity, held for so many seconds longer than the newest event needs.

    Raises:
        WindowsError: they cannot be computed of totals.
    """
    for window in windows:
        if window.aggregate not in OF_OTHERS or not window.delay_hops:
            raise WindowsError(
                f"{window.aggregate} is no window over {window.entity}: of another entity than that of the decision "
                "there are count, sum and mean, with a delay of at least one hop"
            )
    return Layout(windows, slack_s)


def _none(counts: int, sums: int) -> Totals:
    return Totals(np.empty(0, np.int64), np.empty(0, np.int64), np.empty((0, counts), np.int64), np.empty((0, sums)))


def rows_of(layout: Layout, ring: int, keys: np.ndarray, times: np.ndarray, numbers: np.ndarray) -> Totals:
    """A row for each event."""
    hop_us, _, counts, sums = layout.plan.rings[ring].tolist()
    sound = np.isfinite(numbers)
    exact = np.where(sound, np.rint(np.where(sound, numbers, 0.0) / QUANTUM) * QUANTUM, 0.0)
    rows = Totals(keys, times // hop_us, np.zeros((keys.size, counts), np.int64), np.zeros((keys.size, sums)))
    for _, source, count, total, *_ in layout.plan.puts[layout.plan.puts[:, 0] == ring].tolist():
        rows.counts[:, count] = 1 if source < 0 else sound[:, source]
        if total >= 0:
            rows.sums[:, total] = exact[:, source]
    return rows


def added_up(pending: Sequence[Totals]) -> Totals:
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


def _encoded(layout: Layout, ring: int, over: tuple[int, int], rows: Totals) -> Iterator[bytes]:
    """Records of bounded size: only the last of them has the first hop that is not over, the others that of before."""
    counts, sums = layout.plan.rings[ring, 2:].tolist()
    most = max(RECORD_BYTES // (12 + 4 * counts + 8 * sums), 1)
    for start in range(0, max(rows.keys.size, 1), most):
        part = Totals(*(column[start : start + most] for column in rows))
        until = over[start + most >= rows.keys.size]
        columns = (part.keys.astype("<i8"), part.hops.astype("<i4"), part.counts.astype("<i4"), part.sums.astype("<f8"))
        head = HEAD.pack(VERSION, ring, layout.totals_fingerprint, until, part.keys.size)
        yield head + b"".join(column.tobytes() for column in columns)


def decoded(layout: Layout, record: bytes) -> tuple[int, int, Totals]:
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
