"""Blocks of entities as records of a checkpoint, and back.

A record is a block without room to spare: its first word says of which layout it is, the rest is as in `blocks`, in the
byte order of the processor, which is the little end first on all that are served.
"""

import math

import numpy as np

from models.loops import compiled
from models.windows.blocks import (
    BLOCK,
    LENGTH,
    NEWEST,
    NONE,
    OFFSET,
    OLDER,
    POSITION,
    ROOM,
    START,
    TIME,
    Memory,
    Store,
    admit,
    copy,
    find,
    lacks,
    list_words,
    release,
    ring_words,
    size,
    take,
)
from models.windows.buckets import ring_of
from models.windows.plan import HEADER, MOST_TIME, REMEMBERED, Plan


@compiled
def measure(s: Store, p: Plan, since: int, rooms: np.ndarray) -> tuple[int, int]:
    """How many entities were seen at `since` or after it, and the words of their records."""
    entity, entities, words = s.counters[NEWEST], 0, 0
    while entity != NONE and s.memory.longs[s.links[entity, BLOCK] + POSITION] >= since:
        _lengths(s.memory, s.links[entity, BLOCK], rooms)
        words += size(p, rooms)
        entities += 1
        entity = s.links[entity, OLDER]
    return entities, words


@compiled
def write(s: Store, p: Plan, stamp: int, keys: np.ndarray, ends: np.ndarray, m: Memory, rooms: np.ndarray) -> int:
    """The records of the entities seen last, as many as there are keys."""
    entity, to = s.counters[NEWEST], 0
    for i in range(keys.size):
        at = s.links[entity, BLOCK]
        _lengths(s.memory, at, rooms)
        copy(p, s.memory, at, rooms, m, to)
        m.longs[to] = stamp
        to += size(p, rooms)
        keys[i], ends[i] = s.keys[entity], to
        entity = s.links[entity, OLDER]
    return to


@compiled
def _lengths(m: Memory, at: int, rooms: np.ndarray) -> None:
    for k in range(rooms.size):
        rooms[k] = m.shorts[(at + HEADER + k) * 4 + LENGTH]


@compiled
def restore(s: Store, p: Plan, keys: np.ndarray, starts: np.ndarray, m: Memory, first: int, rooms: np.ndarray) -> int:
    """Enter records that were found sound, the one seen longest ago first, in place of what is held of their entity."""
    for i in range(first, keys.size):
        _lengths(m, starts[i], rooms)
        for k in range(rooms.size):
            rooms[k] = max(rooms[k], 1)
        words = size(p, rooms)
        if lacks(s, words):
            return i
        entity = find(s, keys[i])
        if entity == NONE:
            entity = admit(s, keys[i])
        else:
            release(s, s.links[entity, BLOCK])
        copy(p, m, starts[i], rooms, s.memory, take(s, entity, words))
    return keys.size


@compiled
def first_unsound(p: Plan, stamp: int, starts: np.ndarray, ends: np.ndarray, m: Memory) -> int:
    """The first record that nothing of this layout has written, or -1."""
    for i in range(starts.size):
        if not _sound(p, stamp, starts[i], ends[i] - starts[i], m):
            return i
    return NONE


@compiled
def _sound(p: Plan, stamp: int, at: int, words: int, m: Memory) -> bool:
    sections = len(p.rings) + len(p.lists)
    offset = HEADER + sections
    if words < offset or m.longs[at] != stamp or abs(m.longs[at + TIME]) >= MOST_TIME:
        return False
    for k in range(sections):
        header = (at + HEADER + k) * 4
        length = m.shorts[header + LENGTH]
        most = p.rings[k, 1] + 1 if k < len(p.rings) else REMEMBERED
        same = m.shorts[header + START] == 0 and m.shorts[header + ROOM] == length
        if not (same and m.shorts[header + OFFSET] == offset and 0 <= length <= most):
            return False
        if k < len(p.rings):
            offset += ring_words(length, p.rings[k, 2], p.rings[k, 3])
        else:
            offset += list_words(length)
        if offset > words:
            return False
    for k in range(len(p.rings)):
        if not _sound_ring(p, at, k, m):
            return False
    return offset == words


@compiled
def _sound_ring(p: Plan, at: int, k: int, m: Memory) -> bool:
    ring, newest = ring_of(p, m, at, k), m.longs[at + TIME] // p.rings[k, 0]
    before = newest - p.rings[k, 1] - 1
    for i in range(ring.length):
        if m.ints[ring.hops + i] <= before:
            return False
        before = m.ints[ring.hops + i]
    for i in range(ring.length * p.rings[k, 2]):
        if m.ints[ring.hops + ring.length + i] < 0:
            return False
    for i in range(ring.length * p.rings[k, 3]):
        if not math.isfinite(m.floats[ring.longs + i]):
            return False
    return bool(before <= newest)
