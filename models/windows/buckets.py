"""What is added to the block of an entity, and what is read of it: buckets of a ring, values of a list."""

import math
from typing import NamedTuple

import numpy as np

from models.loops import compiled, inlined
from models.windows.blocks import (
    BLOCK,
    LENGTH,
    NO_EVENT,
    NONE,
    OFFSET,
    POSITION,
    ROOM,
    START,
    TIME,
    Memory,
    Store,
    admit,
    around,
    blank,
    copy,
    find,
    lacks,
    release,
    ring_words,
    size,
    take,
    touch,
)
from models.windows.plan import COUNT, DISTINCT, HEADER, MAX, MEAN, MIN, REMEMBERED, STD, SUM, Plan

SAME = 1e-7  # of the mean: a spread below it is rounding
EVERY = -1


class Section(NamedTuple):
    """A ring or a list of a block: where its numbers stand.

    Attributes:
        header: Of the section, in shorts.
        start: Slot of the oldest bucket.
        length: Buckets, or values.
        room: For so many.
        hops: In ints; the counts of a ring follow.
        longs: Sums of a ring, values of a list.
    """

    header: int
    start: int
    length: int
    room: int
    hops: int
    longs: int


@inlined
def ring_of(p: Plan, m: Memory, at: int, k: int) -> Section:
    """The k-th ring of a block."""
    header = (at + HEADER + k) * 4
    room, base = m.shorts[header + ROOM], at + m.shorts[header + OFFSET]
    longs = base + ring_words(room, p.rings[k, 2], 0)
    return Section(header, m.shorts[header + START], m.shorts[header + LENGTH], room, 2 * base, longs)


@inlined
def list_of(p: Plan, m: Memory, at: int, k: int) -> Section:
    """The k-th list of a block."""
    header = (at + HEADER + len(p.rings) + k) * 4
    room, base = m.shorts[header + ROOM], at + m.shorts[header + OFFSET]
    return Section(header, 0, m.shorts[header + LENGTH], room, 2 * (base + room), base)


@inlined
def block_of(s: Store, p: Plan, key: int, time: int, only: int, identities: np.ndarray, rooms: np.ndarray) -> int:
    """The block of a key, with room for what an event of this time adds to all rings and lists, or to `only` one ring.

    Returns:
        -1 where memory must be found first: nothing has been changed.
    """
    entity = find(s, key)
    if entity == NONE:
        rooms[:] = 1
        words = size(p, rooms)
        if lacks(s, words):
            return NONE
        at = take(s, admit(s, key), words)
        blank(p, s.memory, at, rooms, time)
        return at
    at = s.links[entity, BLOCK]
    if _lengthen(p, s.memory, at, time, only, identities, rooms):
        words = size(p, rooms)
        if lacks(s, words):
            return NONE
        old = at
        at = take(s, entity, words)
        copy(p, s.memory, old, rooms, s.memory, at)
        release(s, old)
    touch(s, entity)
    return at


@inlined
def _lengthen(p: Plan, m: Memory, at: int, time: int, only: int, identities: np.ndarray, rooms: np.ndarray) -> bool:
    """Whether a section is too short, and how much room each is to have. Buckets that no window reads again go."""
    newest = max(time, m.longs[at + TIME])
    short = False
    for k in range(len(p.rings)):
        now = newest // p.rings[k, 0]
        _expire(p, m, at, k, now - p.rings[k, 1])
        ring, hop = ring_of(p, m, at, k), time // p.rings[k, 0]
        lacking = ring.length == ring.room and hop >= now - p.rings[k, 1] and only in (EVERY, k)
        lacking = lacking and not _not_newer(m, ring, hop)[1]
        rooms[k] = _room(ring, lacking, p.rings[k, 1] + 1)
        short = short or lacking
    for k in range(len(p.lists)):
        known, value = list_of(p, m, at, k), identities[p.lists[k, 2]]
        lacking = value != 0 and known.length == known.room < REMEMBERED and _place(m, known, value) < 0
        lacking = lacking and m.ints[known.hops + _stalest(m, known)] >= newest // p.lists[k, 0] - p.lists[k, 1]
        rooms[len(p.rings) + k] = _room(known, lacking, REMEMBERED)
        short = short or lacking
    return short


@inlined
def _room(section: Section, lacking: bool, most: int) -> int:
    wide = min(section.length + 1 + section.length // 8, most)
    return wide if lacking else max(min(section.room, wide), 1)


@inlined
def _expire(p: Plan, m: Memory, at: int, k: int, bound: int) -> None:
    """Drop the buckets of hops before `bound`."""
    ring = ring_of(p, m, at, k)
    start, length = ring.start, ring.length
    while length > 0 and m.ints[ring.hops + start] < bound:
        start = around(start + 1, ring.room)
        length -= 1
    m.shorts[ring.header + START], m.shorts[ring.header + LENGTH] = start, length


@inlined
def _not_newer(m: Memory, ring: Section, hop: int) -> tuple[int, bool]:
    """How many buckets are of `hop` or before, and whether the last of them is of `hop`."""
    for length in range(ring.length, 0, -1):
        found = m.ints[ring.hops + around(ring.start + length - 1, ring.room)]
        if found <= hop:
            return length, found == hop
    return 0, False


@inlined
def bucket(p: Plan, m: Memory, at: int, k: int, hop: int) -> int:
    """The slot of a hop in a ring that has room for it; made where it does not exist."""
    ring = ring_of(p, m, at, k)
    before, found = _not_newer(m, ring, hop)
    if found:
        return around(ring.start + before - 1, ring.room)
    counts, sums = p.rings[k, 2], p.rings[k, 3]
    for i in range(ring.length, before, -1):  # the newer ones make way for one that comes late
        to, of = around(ring.start + i, ring.room), around(ring.start + i - 1, ring.room)
        for j in range(1 + counts):
            m.ints[ring.hops + j * ring.room + to] = m.ints[ring.hops + j * ring.room + of]
        for j in range(sums):
            m.longs[ring.longs + j * ring.room + to] = m.longs[ring.longs + j * ring.room + of]
    slot = around(ring.start + before, ring.room)
    m.shorts[ring.header + LENGTH] = ring.length + 1
    m.ints[ring.hops + slot] = hop
    for j in range(counts):
        m.ints[ring.hops + (1 + j) * ring.room + slot] = 0
    for j in range(sums):
        m.longs[ring.longs + j * ring.room + slot] = 0
    return slot


@inlined
def add(p: Plan, m: Memory, at: int, put: int, slot: int, x: float) -> None:
    """Count a value in a bucket: Welford's update, in sums in place of means."""
    ring, row = ring_of(p, m, at, p.puts[put, 0]), p.puts[put]
    total, spread = _sums(ring, row[3]), _sums(ring, row[4])
    least, most = _sums(ring, row[5]), _sums(ring, row[6])
    count = ring.hops + (1 + row[2]) * ring.room + slot
    n = m.ints[count]
    m.ints[count] = n + 1
    if spread >= 0 and n > 0:
        q = x * n - m.floats[total + slot]
        m.floats[spread + slot] += q * q / (float(n) * (n + 1.0))
    if total >= 0:
        m.floats[total + slot] += x
    if least >= 0 and (n == 0 or x < m.floats[least + slot]):
        m.floats[least + slot] = x
    if most >= 0 and (n == 0 or x > m.floats[most + slot]):
        m.floats[most + slot] = x


@inlined
def walk(p: Plan, m: Memory, at: int, k: int, times: tuple[int, int], x: float, out: np.ndarray) -> None:
    """The windows of a walk, from the newest bucket to the oldest; each is read where its last hop has been passed.

    Args:
        p: The plan.
        m: The memory.
        at: The block.
        k: The walk.
        times: Of the event, and the newest of the entity with it.
        x: The event's own value.
        out: Float32 [windows], of which those of the walk are written.
    """
    row = p.walks[k]
    ring, hop_us = ring_of(p, m, at, row[0]), p.rings[row[0], 0]
    counts, delay, window, end = ring.hops + (1 + row[2]) * ring.room, row[7], row[8], row[9]
    total, spread = _sums(ring, row[3]), _sums(ring, row[4])
    least, most = _sums(ring, row[5]), _sums(ring, row[6])
    rich = spread >= 0 or least >= 0 or most >= 0
    last = times[0] // hop_us - (delay + 1 if delay > 0 else 0)
    newest = times[1] // hop_us - delay
    events, n, a, b, low, high = 0, 0, 0.0, 0.0, math.inf, -math.inf
    for i in range(ring.length - 1, -1, -1):
        slot = around(ring.start + i, ring.room)
        hop, count = m.ints[ring.hops + slot], m.ints[counts + slot]
        if hop > last:
            continue
        while hop < newest - p.ends[window, 0]:
            kind = p.ends[window, 1]
            out[p.ends[window, 2]] = events if kind == COUNT else _value(kind, n, a, b, low, high, x)
            window += 1
            if window == end:
                return
        events += m.ints[ring.hops + ring.room + slot]
        if rich and count > 0:
            if spread >= 0:
                b += m.floats[spread + slot]
                if n > 0:  # Chan, Golub and LeVeque (1979), in sums in place of means
                    q = m.floats[total + slot] * n - a * count
                    b += q * q / (float(n) * count * (n + count))
            if least >= 0:
                low = min(low, m.floats[least + slot])
            if most >= 0:
                high = max(high, m.floats[most + slot])
        if total >= 0:
            a += m.floats[total + slot]
        n += count
    for rest in range(window, end):
        kind = p.ends[rest, 1]
        out[p.ends[rest, 2]] = events if kind == COUNT else _value(kind, n, a, b, low, high, x)


@compiled
def of_nothing(p: Plan, k: int, out: np.ndarray) -> None:
    """The windows of a walk of which nothing is known."""
    for window in range(p.walks[k, 8], p.walks[k, 9]):
        out[p.ends[window, 2]] = _value(p.ends[window, 1], 0, 0.0, 0.0, 0.0, 0.0, math.nan)


@inlined
def _sums(ring: Section, field: int) -> int:
    """Where the sums of a field begin, or -1 without it."""
    return ring.longs + field * ring.room if field >= 0 else NONE


@compiled
def _value(kind: int, n: int, total: float, spread: float, least: float, most: float, x: float) -> float:  # noqa: PLR0911
    """What an aggregate is of n values."""
    if kind == COUNT:
        return float(n)
    if kind == SUM:
        return total
    if n == 0:
        return math.nan
    if kind == MEAN:
        return total / n
    if kind == MIN:
        return least
    if kind == MAX:
        return most
    if n < 2:
        return math.nan
    std = math.sqrt(spread / (n - 1))
    if kind == STD:
        return std
    if not math.isfinite(x) or std <= SAME * abs(total / n):
        return math.nan
    return (x - total / n) / std


@inlined
def since_last(p: Plan, m: Memory, at: int, k: int, time: int) -> float:
    """Seconds since the newest event of the entity."""
    before, hop_us = m.longs[at + TIME], p.lasts[k, 0]
    if m.longs[at + POSITION] == NO_EVENT or before > time or before // hop_us < time // hop_us - p.lasts[k, 1]:
        return math.nan
    return float((time - before) / 1e6)


@inlined
def recall(p: Plan, m: Memory, at: int, k: int, newest: int, value: int) -> float:
    """How many values are known, or whether this one is not."""
    known = list_of(p, m, at, p.recalls[k, 0])
    bound = newest // p.lists[p.recalls[k, 0], 0] - p.recalls[k, 1]
    count, new = 0, 1.0
    for i in range(known.length):
        if m.ints[known.hops + i] >= bound:
            count += 1
            if m.longs[known.longs + i] == value:
                new = 0.0
    if p.recalls[k, 2] == DISTINCT:
        return float(count)
    return math.nan if value == 0 or count == 0 else new


@inlined
def remember(p: Plan, m: Memory, at: int, k: int, hop: int, bound: int, value: int) -> None:
    """The value was seen in this hop. In its place goes one last seen before `bound`, or where all places are taken."""
    known = list_of(p, m, at, k)
    place = _place(m, known, value)
    if place >= 0:
        m.ints[known.hops + place] = max(m.ints[known.hops + place], hop)
        return
    place = _stalest(m, known)
    spent = known.length > 0 and m.ints[known.hops + place] < bound
    if not spent and known.length < known.room:
        place = known.length
        m.shorts[known.header + LENGTH] = known.length + 1
    elif m.ints[known.hops + place] > hop:
        return
    m.longs[known.longs + place] = value
    m.ints[known.hops + place] = hop


@inlined
def _place(m: Memory, known: Section, value: int) -> int:
    for i in range(known.length):
        if m.longs[known.longs + i] == value:
            return i
    return NONE


@inlined
def _stalest(m: Memory, known: Section) -> int:
    stalest = 0
    for i in range(1, known.length):
        if m.ints[known.hops + i] < m.ints[known.hops + stalest]:
            stalest = i
    return stalest
