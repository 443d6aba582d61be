"""Which buckets of the past a set of windows needs, and what is read of them: the tables of the compiled loop.

Windows of one hop length share a ring of buckets; windows of one ring, value and delay share a walk over it, and those
that count events go along.
"""

import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from schemas.definition import LABEL, WITHOUT_DELAY, Window
from schemas.errors import UserError

AGGREGATES = ("count", "sum", "mean", "std", "min", "max", "deviation", "since_last", "distinct", "is_new")
COUNT, SUM, MEAN, STD, MIN, MAX, DEVIATION, SINCE_LAST, DISTINCT, IS_NEW = range(len(AGGREGATES))
# What of a bucket's values an aggregate is made of: their sum, their squared deviations, the least, the most. Their
# number always.
S, M2, LEAST, MOST = range(4)
MADE_OF = {COUNT: (), SUM: (S,), MEAN: (S,), STD: (S, M2), DEVIATION: (S, M2), MIN: (LEAST,), MAX: (MOST,)}
REMEMBERED = 64  # values of an entity that `distinct` and `is_new` tell apart
HEADER = 3  # words of a block: owner and size; newest time; last position
MOST_WORDS = 32_767  # of a block: places in it are 16 bits wide
SECOND_US = 1_000_000
MOST_TIME = (1 << 31) * 300 * SECOND_US  # microseconds: hops are numbered by 32 bits; the year 22,391

EVENTS = -1  # in the place of a value: its count is the first of its ring

Row = tuple[int, ...]


class WindowsError(UserError):
    """Windows that cannot be computed, or state that was not written for these windows."""


class Plan(NamedTuple):
    """The tables, each int64 [entries, fields].

    Attributes:
        rings: microseconds of a hop, hops that are held before the newest, counts and sums of a bucket.
        puts: ring, column of the value (-1: the event itself), its count, its four sums (-1: not needed).
        walks: as `puts`, and hops of delay, first and end of its `ends`.
        ends: hops, aggregate, column of the result; of a walk by the number of hops.
        lists: microseconds of a hop, hops that are held, column of the identity.
        recalls: list, hops, aggregate, column of the result.
        lasts: microseconds of a hop, hops, column of the result.
    """

    rings: np.ndarray
    puts: np.ndarray
    walks: np.ndarray
    ends: np.ndarray
    lists: np.ndarray
    recalls: np.ndarray
    lasts: np.ndarray


class Layout:
    """The windows of one entity, ready to be computed.

    Attributes:
        plan: For the compiled loop.
        columns: How many windows.
        numbers: Paths of the values that are calculated with: columns of float64.
        identities: Paths of the values that are only the same or not: columns of `keys.keys_of`.
        most_words: The largest block of an entity, in words of 8 bytes.
        fingerprint: Differs where the content of a block differs.
        totals_fingerprint: Differs where the content of a bucket differs.
    """

    def __init__(self, windows: Sequence[Window], slack_s: int = 0) -> None:
        """Lay out the buckets.

        Args:
            windows: In the order of the columns of the result.
            slack_s: Hops are held for so many seconds longer than the newest event needs: for readers that are behind.

        Raises:
            WindowsError: they cannot be computed, or would take too much of each entity.
        """
        for window in windows:
            if window.delay_hops and window.aggregate in WITHOUT_DELAY:
                raise WindowsError(f"{window.aggregate} knows no delay: leave it out")
        asked = [_Asked(AGGREGATES.index(w.aggregate), w, column) for column, w in enumerate(windows)]
        self.columns = len(asked)
        self.numbers = _paths(one for one in asked if MADE_OF.get(one.kind))
        self.identities = _paths(one for one in asked if one.kind in (DISTINCT, IS_NEW))
        rings, puts, walks, ends = _rings([one for one in asked if one.kind in MADE_OF], self.numbers, slack_s)
        lists, recalls = _lists([one for one in asked if one.kind in (DISTINCT, IS_NEW)], self.identities)
        lasts: list[Row] = [(one.hop_us, one.window.hops, one.column) for one in asked if one.kind == SINCE_LAST]
        self.plan = Plan(*(_table(rows) for rows in (rings, puts, walks, ends, lists, recalls, lasts)))
        self.most_words = _words(self.plan, [depth + 1 for _, depth, _, _ in rings], [REMEMBERED] * len(lists))
        if self.most_words > MOST_WORDS:
            raise WindowsError(
                f"these windows take up to {self.most_words * 8 // 1024} KiB of each entity, {MOST_WORDS // 128} KiB "
                "are the most: use fewer values, or lengths with fewer hops"
            )
        self.totals_fingerprint = zlib.crc32(repr((self.numbers, [(r[0], *r[2:]) for r in rings], puts)).encode())
        self.fingerprint = zlib.crc32(repr((self.numbers, self.identities, rings, puts, lists)).encode())

    @property
    def least_words(self) -> int:
        """The block of an entity with one event."""
        return _words(self.plan, [1] * len(self.plan.rings), [1] * len(self.plan.lists))


class _Asked(NamedTuple):
    """A window, and the column of its result."""

    kind: int
    window: Window
    column: int

    @property
    def hop_us(self) -> int:
        return self.window.hop_s * SECOND_US


def by_entity(windows: Sequence[Window], entity: str) -> tuple[list[int], dict[str, list[int]]]:
    """How windows are computed, by their places.

    Args:
        windows: Any.
        entity: Path of the entity of the decision.

    Returns:
        The places of those that follow the log of that entity, and, for each path of an entity, of those that are
        computed from totals: windows of other entities, and of labels, which come when the event is long past.
    """
    own = [place for place, w in enumerate(windows) if w.entity == entity and w.of != LABEL]
    others: dict[str, list[int]] = {}
    for place, window in enumerate(windows):
        if place not in own:
            others.setdefault(window.entity, []).append(place)
    return own, others


def _paths(asked: Iterable[_Asked]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(one.window.of for one in asked))


def _rings(
    asked: list[_Asked], numbers: tuple[str, ...], slack_s: int
) -> tuple[list[Row], list[Row], list[Row], list[Row]]:
    """The rows of rings, puts, walks and ends."""
    rings: list[Row] = []
    puts: list[Row] = []
    walks: list[Row] = []
    ends: list[Row] = []

    def source(one: _Asked) -> int:
        return numbers.index(one.window.of) if MADE_OF[one.kind] else EVENTS

    for hop_us, of_ring in _grouped(asked, lambda one: one.hop_us):
        ring, values, put = len(rings), 0, {}
        for count, (of, of_source) in enumerate(_grouped(of_ring, source)):
            needed = sorted({field for one in of_source for field in MADE_OF[one.kind]})
            places = {field: values + place for place, field in enumerate(needed)}
            put[of] = (ring, of, count, *(places.get(field, -1) for field in (S, M2, LEAST, MOST)))
            values += len(needed)
        depth = max(one.window.hops + one.window.delay_hops for one in of_ring) - (-slack_s * SECOND_US // hop_us)
        rings.append((hop_us, depth, len(put), values))
        puts += put.values()
        for delay, of_delay in _grouped(of_ring, lambda one: one.window.delay_hops):
            for of, of_walk in _walked(of_delay, source).items():
                rows = sorted((one.window.hops, one.kind, one.column) for one in of_walk)
                walks.append((*put[of], delay, len(ends), len(ends) + len(rows)))
                ends += rows
    return rings, puts, walks, ends


def _walked(asked: list[_Asked], source: Callable[[_Asked], int]) -> dict[int, list[_Asked]]:
    """What is walked over, for which windows; those that count events go along with the first of the others."""
    of = dict(_grouped(asked, source))
    counting = of.pop(EVENTS, [])
    if not of:
        return {EVENTS: counting}
    of[min(of)] += counting
    return of


def _lists(asked: list[_Asked], identities: tuple[str, ...]) -> tuple[list[Row], list[Row]]:
    """The rows of lists and recalls."""
    lists: list[Row] = []
    recalls: list[Row] = []
    for (hop_us, source), of_list in _grouped(asked, lambda one: (one.hop_us, identities.index(one.window.of))):
        recalls += [(len(lists), one.window.hops, one.kind, one.column) for one in of_list]
        lists.append((hop_us, max(one.window.hops for one in of_list), source))
    return lists, recalls


def _grouped(asked: list[_Asked], key: Callable[[_Asked], Any]) -> Iterator[tuple[Any, list[_Asked]]]:
    """In the order of the keys."""
    for value in sorted({key(one) for one in asked}):
        yield value, [one for one in asked if key(one) == value]


def _table(rows: list[Row]) -> np.ndarray:
    return np.array(rows, np.int64).reshape(len(rows), -1) if rows else np.empty((0, 1), np.int64)


def _words(plan: Plan, rings: list[int], lists: list[int]) -> int:
    """Words of a block with so many buckets and so many remembered values."""
    buckets = sum(
        ring_words(n, counts, values) for n, (_, _, counts, values) in zip(rings, plan.rings.tolist(), strict=True)
    )
    return HEADER + len(rings) + len(lists) + buckets + sum(list_words(n) for n in lists)


def ring_words(buckets: int, counts: int, values: int) -> int:
    """Hop and counts of 4 bytes, then sums of 8."""
    return (buckets * (1 + counts) + 1) // 2 + buckets * values


def list_words(remembered: int) -> int:
    """A value of 8 bytes, its hop of 4."""
    return remembered + (remembered + 1) // 2
