"""Where entities are kept: an index, the order in which they were seen, and one block of memory for each.

An entity has one block, so that an event touches one place: a header, then a section for each ring of buckets and each
list of remembered values.

    header     owner and size; newest time; position of the last event; and of each section its start, length, room
               and offset, 16 bits each
    ring       hops [room] and each count [room], 32 bits; each sum [room], 64 bits: buckets sorted by hop, from `start`
               on, around the end
    list       values [room], 64 bits; their newest hops [room], 32 bits

Blocks lie one behind the other in segments of the memory. A block that becomes too small is written anew at the end of
the open segment, with some room to spare; a segment in which much has become free is swept.
"""

from typing import NamedTuple

import numpy as np

from models.loops import compiled, inlined
from models.windows import plan as layouts
from models.windows.plan import HEADER, Plan

SEGMENT_BITS = 16
SEGMENT = 1 << SEGMENT_BITS  # words of 8 bytes
TIME, POSITION = 1, 2  # words of a header
START, LENGTH, ROOM, OFFSET = range(4)  # of a section
BLOCK, NEWER, OLDER = range(3)  # of the links of an entity
LIVE, FILLED = range(2)  # of a segment: words
# of the counters
HELD, LIMIT, NEWEST, OLDEST, OPEN, OPEN_END, WORDS, FORGOTTEN, LATE, LOST, GONE, MARK, TOUCHED = range(
    13
)  # of the counters
NONE = -1
NO_EVENT = -(1 << 62)  # in the place of a position; what stands before a log has positions below 0

ring_words = inlined(layouts.ring_words)
list_words = inlined(layouts.list_words)


class Memory(NamedTuple):
    """The same memory, read as numbers of different sizes."""

    longs: np.ndarray
    floats: np.ndarray
    ints: np.ndarray
    shorts: np.ndarray

    @classmethod
    def of(cls, longs: np.ndarray) -> "Memory":
        """All views of int64 [words]."""
        return cls(longs, longs.view(np.float64), longs.view(np.int32), longs.view(np.int16))


class Store(NamedTuple):
    """Entities and their blocks.

    Attributes:
        memory: The blocks.
        segments: int64 [segments, 2].
        keys: int64 [entities].
        links: int32 [entities, 3]: the block, and which entity was seen after and before it.
        table: int32 [a power of two]: open addressing, entity + 1.
        gone: int64: keys of entities forgotten since the last checkpoint.
        counters: int64.
    """

    memory: Memory
    segments: np.ndarray
    keys: np.ndarray
    links: np.ndarray
    table: np.ndarray
    gone: np.ndarray
    counters: np.ndarray


@inlined
def find(s: Store, key: int) -> int:
    """The entity of a key, or -1."""
    mask = s.table.size - 1
    at = key & mask
    while s.table[at] != 0:
        entity = s.table[at] - 1
        if s.keys[entity] == key:
            return int(entity)
        at = (at + 1) & mask
    return NONE


@compiled
def admit(s: Store, key: int) -> int:
    """A place for a new entity, without a block: where all are taken, that of the one seen longest ago."""
    c = s.counters
    entity = c[HELD]
    if entity < c[LIMIT]:
        c[HELD] += 1
    else:
        entity = c[OLDEST]
        _unlink(s, entity)
        release(s, s.links[entity, BLOCK])
        _strike(s, s.keys[entity])
        c[FORGOTTEN] += 1
        if c[MARK] >= 0:
            s.gone[c[GONE]] = s.keys[entity]
            c[GONE] += 1
    mask = s.table.size - 1
    at = key & mask
    while s.table[at] != 0:
        at = (at + 1) & mask
    s.table[at] = entity + 1
    s.keys[entity] = key
    _link(s, entity)
    return int(entity)


@inlined
def touch(s: Store, entity: int) -> None:
    """It is the one seen last."""
    if s.counters[NEWEST] != entity:
        _unlink(s, entity)
        _link(s, entity)


@inlined
def lacks(s: Store, words: int) -> bool:
    """Whether there is no room for a block, or none for the key of an entity that goes."""
    c = s.counters
    return bool(c[OPEN] + words > c[OPEN_END] or c[GONE] == s.gone.size)


@compiled
def take(s: Store, entity: int, words: int) -> int:
    """A block of the entity at the end of the open segment, without content."""
    at = s.counters[OPEN]
    s.counters[OPEN] += words
    s.counters[WORDS] += words
    s.segments[at >> SEGMENT_BITS, LIVE] += words
    s.memory.ints[2 * at] = entity
    s.memory.ints[2 * at + 1] = words
    s.links[entity, BLOCK] = at
    return int(at)


@compiled
def release(s: Store, at: int) -> None:
    """The block is nobody's; its words are found free when the segment is swept."""
    words = s.memory.ints[2 * at + 1]
    s.counters[WORDS] -= words
    s.segments[at >> SEGMENT_BITS, LIVE] -= words
    s.memory.ints[2 * at] = NONE


@compiled
def move(s: Store, segment: int) -> int:
    """Move the blocks of a segment to the open one, which has room for them."""
    m = s.memory
    at = segment << SEGMENT_BITS
    end = at + s.segments[segment, FILLED]
    while at < end:
        entity, words = m.ints[2 * at], m.ints[2 * at + 1]
        if entity != NONE:
            release(s, at)
            to = take(s, entity, words)
            for word in range(1, words):
                m.longs[to + word] = m.longs[at + word]
        at += words
    s.segments[segment, FILLED] = 0
    return segment


@compiled
def size(p: Plan, rooms: np.ndarray) -> int:
    """Words of a block with so much room in its sections."""
    words = HEADER + rooms.size
    for k in range(rooms.size):
        words += _section_words(p, k, rooms[k])
    return words


@compiled
def blank(p: Plan, m: Memory, at: int, rooms: np.ndarray, time: int) -> None:
    """Write the header of an entity without events."""
    m.longs[at + TIME] = time
    m.longs[at + POSITION] = NO_EVENT
    offset = HEADER + rooms.size
    for k in range(rooms.size):
        section = (at + HEADER + k) * 4
        m.shorts[section + START], m.shorts[section + LENGTH] = 0, 0
        m.shorts[section + ROOM], m.shorts[section + OFFSET] = rooms[k], offset
        offset += _section_words(p, k, rooms[k])


@compiled
def copy(p: Plan, source: Memory, at: int, rooms: np.ndarray, target: Memory, to: int) -> None:
    """Write what a block holds into one of other room, all but the first word; rings from their oldest bucket on."""
    blank(p, target, to, rooms, source.longs[at + TIME])
    target.longs[to + POSITION] = source.longs[at + POSITION]
    for k in range(rooms.size):
        old, new = (at + HEADER + k) * 4, (to + HEADER + k) * 4
        start, length, room = source.shorts[old + START], source.shorts[old + LENGTH], source.shorts[old + ROOM]
        wide = rooms[k]
        target.shorts[new + LENGTH] = length
        begin, into = at + source.shorts[old + OFFSET], to + target.shorts[new + OFFSET]
        if k < len(p.rings):
            ints, longs = 1 + p.rings[k, 2], p.rings[k, 3]
            words, wide_words = ring_words(room, p.rings[k, 2], 0), ring_words(wide, p.rings[k, 2], 0)
            for i in range(length):
                slot = around(start + i, room)
                for j in range(ints):
                    target.ints[2 * into + j * wide + i] = source.ints[2 * begin + j * room + slot]
                for j in range(longs):
                    target.longs[into + wide_words + j * wide + i] = source.longs[begin + words + j * room + slot]
        else:
            for i in range(length):
                target.longs[into + i] = source.longs[begin + i]
                target.ints[2 * (into + wide) + i] = source.ints[2 * (begin + room) + i]


@inlined
def around(place: int, room: int) -> int:
    """A place in a ring."""
    return place - room if place >= room else place


@compiled
def _section_words(p: Plan, k: int, room: int) -> int:
    return ring_words(room, p.rings[k, 2], p.rings[k, 3]) if k < len(p.rings) else list_words(room)


@inlined
def _unlink(s: Store, entity: int) -> None:
    c, newer, older = s.counters, s.links[entity, NEWER], s.links[entity, OLDER]
    if newer == NONE:
        c[NEWEST] = older
    else:
        s.links[newer, OLDER] = older
    if older == NONE:
        c[OLDEST] = newer
    else:
        s.links[older, NEWER] = newer


@inlined
def _link(s: Store, entity: int) -> None:
    c = s.counters
    s.links[entity, NEWER] = NONE
    s.links[entity, OLDER] = c[NEWEST]
    if c[NEWEST] == NONE:
        c[OLDEST] = entity
    else:
        s.links[c[NEWEST], NEWER] = entity
    c[NEWEST] = entity


@compiled
def _strike(s: Store, key: int) -> None:
    """Take a key out of the index; those behind it move up to where they will be looked for."""
    mask = s.table.size - 1
    gap = key & mask
    while s.keys[s.table[gap] - 1] != key:
        gap = (gap + 1) & mask
    at = (gap + 1) & mask
    while s.table[at] != 0:
        home = s.keys[s.table[at] - 1] & mask
        if ((at - home) & mask) >= ((at - gap) & mask):
            s.table[gap] = s.table[at]
            gap = at
        at = (at + 1) & mask
    s.table[gap] = 0
