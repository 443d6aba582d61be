"""What Python calls of the compiled code, which numba keeps beside this file, or in the user's cache.

A function that needs memory which only Python can find returns before it has changed anything for the event at which it
is, and goes on from there when it is called again.
"""

import hashlib
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from models.loops import cached, compiled, inlined
from models.windows import records
from models.windows.blocks import (
    BLOCK,
    LATE,
    LOST,
    NONE,
    POSITION,
    TIME,
    TOUCHED,
    Memory,
    Store,
    find,
    move,
)
from models.windows.buckets import EVERY, add, block_of, bucket, of_nothing, recall, remember, ring_of, since_last, walk
from models.windows.plan import Plan

AHEAD = 32  # events


class Batch(NamedTuple):
    """Events in the order of the log.

    Attributes:
        positions: int64 [events], ascending.
        keys: int64 [events].
        times: int64 [events], microseconds since 1970.
        numbers: float64 [events, numbers of the layout]; NaN: missing.
        identities: int64 [events, identities of the layout]; 0: missing.
    """

    positions: np.ndarray
    keys: np.ndarray
    times: np.ndarray
    numbers: np.ndarray
    identities: np.ndarray


class Totals(NamedTuple):
    """What entities add up to in hops of one length.

    Attributes:
        keys: int64 [rows].
        hops: int64 [rows].
        counts: int64 [rows, counts of the ring].
        sums: float64 [rows, sums of the ring].
    """

    keys: np.ndarray
    hops: np.ndarray
    counts: np.ndarray
    sums: np.ndarray


def plain(column: np.ndarray, kind: type) -> np.ndarray:
    """The column as it was compiled for: another kind of array, read-only or with gaps, would be compiled for anew."""
    return np.require(column, kind, ("C", "W"))


@inlined
def _step(s: Store, p: Plan, batch: Batch, first: int, out: np.ndarray, rooms: np.ndarray) -> int:
    m, c = s.memory, s.counters
    for i in range(first, batch.keys.size):
        if i == first or i % AHEAD == 0:
            c[TOUCHED] ^= _fetch(s, batch.keys, i, min(i - i % AHEAD + AHEAD, batch.keys.size))
        time, numbers, identities = batch.times[i], batch.numbers[i], batch.identities[i]
        at = block_of(s, p, batch.keys[i], time, EVERY, identities, rooms)
        if at == NONE:
            return i
        before = m.longs[at + TIME]
        newest = max(before, time)
        for k in range(len(p.walks)):
            source = p.walks[k, 1]
            walk(p, m, at, k, (time, newest), numbers[source] if source >= 0 else math.nan, out[i])
        for k in range(len(p.recalls)):
            value = identities[p.lists[p.recalls[k, 0], 2]]
            out[i, p.recalls[k, 3]] = recall(p, m, at, k, newest, value)
        for k in range(len(p.lasts)):
            out[i, p.lasts[k, 2]] = since_last(p, m, at, k, time)
        c[LATE] += time < before
        c[LOST] += _count(p, m, at, (time, newest), numbers, identities)
        m.longs[at + TIME] = newest
        m.longs[at + POSITION] = batch.positions[i]
    return batch.keys.size


@inlined
def _fetch(s: Store, keys: np.ndarray, first: int, end: int) -> int:
    """Read a word of each cache line of the blocks to come: the processor waits for many of them at a time."""
    read = 0
    for i in range(first, end):
        entity = find(s, keys[i])
        if entity != NONE:
            at = s.links[entity, BLOCK]
            for word in range(at, at + s.memory.ints[2 * at + 1], 8):
                read ^= s.memory.longs[word]
    return read


@inlined
def _count(p: Plan, m: Memory, at: int, times: tuple[int, int], numbers: np.ndarray, identities: np.ndarray) -> bool:
    """Add an event to all rings and lists; whether a hop of it is no longer held."""
    lost, ring, slot = False, NONE, NONE
    for put in range(len(p.puts)):
        if p.puts[put, 0] != ring:
            ring = p.puts[put, 0]
            hop, newest = times[0] // p.rings[ring, 0], times[1] // p.rings[ring, 0]
            slot = bucket(p, m, at, ring, hop) if hop >= newest - p.rings[ring, 1] else NONE
            lost = lost or slot == NONE
        source = p.puts[put, 1]
        x = numbers[source] if source >= 0 else 0.0
        if slot != NONE and math.isfinite(x):
            add(p, m, at, put, slot, x)
    for k in range(len(p.lists)):
        hop, newest, value = times[0] // p.lists[k, 0], times[1] // p.lists[k, 0], identities[p.lists[k, 2]]
        if value != 0 and hop >= newest - p.lists[k, 1]:
            remember(p, m, at, k, hop, newest - p.lists[k, 1], value)
    return lost


@compiled
def _add_totals(s: Store, p: Plan, ring: int, totals: Totals, first: int, rooms: np.ndarray) -> int:
    m, hop_us, depth = s.memory, p.rings[ring, 0], p.rings[ring, 1]
    for i in range(first, totals.keys.size):
        hop = totals.hops[i]
        at = block_of(s, p, totals.keys[i], hop * hop_us, ring, totals.hops, rooms)
        if at == NONE:
            return i
        m.longs[at + TIME] = max(m.longs[at + TIME], hop * hop_us)
        if hop < m.longs[at + TIME] // hop_us - depth:
            s.counters[LOST] += 1
            continue
        slot = bucket(p, m, at, ring, hop)
        place = ring_of(p, m, at, ring)
        for j in range(p.rings[ring, 2]):
            m.ints[place.hops + (1 + j) * place.room + slot] += totals.counts[i, j]
        for j in range(p.rings[ring, 3]):
            m.floats[place.longs + j * place.room + slot] += totals.sums[i, j]
    return totals.keys.size


@compiled
def _look(s: Store, p: Plan, keys: np.ndarray, times: np.ndarray, out: np.ndarray) -> int:
    for i in range(keys.size):
        entity = find(s, keys[i])
        for k in range(len(p.walks)):
            if entity == NONE:
                of_nothing(p, k, out[i])
            else:
                walk(p, s.memory, s.links[entity, BLOCK], k, (times[i], times[i]), math.nan, out[i])
    return keys.size


@compiled
def _held(s: Store, keys: np.ndarray, out: np.ndarray) -> int:
    for i in range(keys.size):
        out[i] = find(s, keys[i]) != NONE
    return keys.size


def _kept(sources: str) -> list[Callable[..., Any]]:
    """Functions whose machine code is kept under the digest of all sources: numba itself looks at this file only."""

    def step(s: Store, p: Plan, batch: Batch, first: int, out: np.ndarray, rooms: np.ndarray) -> int:
        return _step(s, p, batch, first, out, rooms) if sources else NONE

    def add_totals(s: Store, p: Plan, ring: int, totals: Totals, first: int, rooms: np.ndarray) -> int:
        return _add_totals(s, p, ring, totals, first, rooms) if sources else NONE

    def look(s: Store, p: Plan, keys: np.ndarray, times: np.ndarray, out: np.ndarray) -> int:
        return _look(s, p, keys, times, out) if sources else NONE

    def sweep(s: Store, segment: int) -> int:
        return move(s, segment) if sources else NONE

    def measure(s: Store, p: Plan, since: int, rooms: np.ndarray) -> tuple[int, int]:
        return records.measure(s, p, since, rooms) if sources else (NONE, NONE)

    def write(s: Store, p: Plan, stamp: int, keys: np.ndarray, ends: np.ndarray, m: Memory, rooms: np.ndarray) -> int:
        return records.write(s, p, stamp, keys, ends, m, rooms) if sources else NONE

    def restore(
        s: Store, p: Plan, keys: np.ndarray, starts: np.ndarray, m: Memory, first: int, rooms: np.ndarray
    ) -> int:
        return records.restore(s, p, keys, starts, m, first, rooms) if sources else NONE

    def first_unsound(p: Plan, stamp: int, starts: np.ndarray, ends: np.ndarray, m: Memory) -> int:
        return records.first_unsound(p, stamp, starts, ends, m) if sources else NONE

    def held(s: Store, keys: np.ndarray, out: np.ndarray) -> int:
        return _held(s, keys, out) if sources else NONE

    return [cached(f) for f in (step, add_totals, look, sweep, measure, write, restore, first_unsound, held)]


_SOURCES = hashlib.sha256(b"".join(path.read_bytes() for path in sorted(Path(__file__).parent.glob("*.py"))))
step, add_totals, look, sweep, measure, write, restore, first_unsound, held = _kept(_SOURCES.hexdigest())
