"""Runs a compiled Avro schema over the bytes of a micro-batch: what is wanted of each record goes into columns.

A small machine, compiled by numba. It reads nothing beyond a record, and does no more work than its bytes are worth:
whatever is wrong with them ends that record alone, with the reason in `status`.
"""

from typing import Any, NamedTuple

import numpy as np
from numba import njit

# operations; the first argument of those that read a value is its slot, or NONE
(
    END,
    BOOLEAN,
    INTEGER,
    FLOAT,
    DOUBLE,
    TEXT,
    FIXED,
    ENUM,
    UNION,
    ENTER,
    LOOP,
    KEY,
    JUMP,
    CALL,
    RETURN,
    MARK,
    NOTHING,
) = range(17)
# of a value, in `Columns.tags`
MISSING, TRUTH, WHOLE, REAL, WRITTEN, BYTES, DECIMAL, SYMBOL, TIME, OBJECT, LIST = range(11)
# of a record
(GOOD, CUT_SHORT, TOO_LONG, ENDLESS, DEEP, NO_LENGTH, NO_BRANCH, NO_SYMBOL, NO_TRUTH, NO_NUMBER) = range(10)
NONE = -1
DEEPEST = 256  # loops and calls that are open at once
MOST_ITEMS = 1024  # of lists and maps in a record, beside one for each of its bytes


class AvroProgram(NamedTuple):
    """A schema, compiled.

    Attributes:
        code: int64 [instructions, 4], operation and three arguments.
        branches: int64, where the code of each branch of a union begins.
        keys: int64 [keys, 3], of wanted keys of maps: first byte in `names`, length, where the code begins.
        names: uint8, the keys.
    """

    code: np.ndarray
    branches: np.ndarray
    keys: np.ndarray
    names: np.ndarray


class Columns(NamedTuple):
    """What was read, each [records, slots].

    Attributes:
        tags: uint8, what kind of value.
        whole: int64, the integer, or the first byte of a text, or the number of a symbol.
        real: float64, the number; NaN where there is none; of a decimal its scale.
        more: int64, the length of a text, the list of a symbol, the unit of a time.
    """

    tags: np.ndarray
    whole: np.ndarray
    real: np.ndarray
    more: np.ndarray


@njit(nogil=True, forceinline=True)
def _integer(data: np.ndarray, at: int, end: int) -> tuple[Any, int]:
    """The zigzag varint at a place, and the place after it; -1: it is cut short, -2: it is none."""
    found = np.uint64(0)
    for shift in range(0, 64, 7):
        if at >= end:
            return 0, -1
        byte = np.uint64(data[at])
        at += 1
        found |= (byte & np.uint64(127)) << np.uint64(shift)
        if byte < 128:
            if shift == 63 and byte > 1:
                return 0, -2
            return np.int64(found >> np.uint64(1)) ^ -np.int64(found & np.uint64(1)), at
    return 0, -2


@njit(nogil=True, forceinline=True)
def _key(p: AvroProgram, data: np.ndarray, at: int, size: int, which: tuple[int, int]) -> Any:
    """Where the code for the key at a place begins; NONE: it is not wanted."""
    for k in range(which[0], which[0] + which[1]):
        if p.keys[k, 1] == size:
            first, same = p.keys[k, 0], True
            for i in range(size):
                if p.names[first + i] != data[at + i]:
                    same = False
                    break
            if same:
                return p.keys[k, 2]
    return NONE


@njit(nogil=True, cache=True, error_model="numpy")
def run(  # noqa: PLR0912, PLR0915 - one loop over one set of instructions
    p: AvroProgram, data: np.ndarray, floats: np.ndarray, starts: np.ndarray, ends: np.ndarray, c: Columns
) -> np.ndarray:
    """Read records.

    Args:
        p: Their schema.
        data: uint8, the bytes of all records.
        floats: uint8 [8], room to put bytes together in.
        starts: int64, first byte of each record.
        ends: int64, the byte after its last.
        c: Filled; must hold nothing but zeros, `real` nothing but NaN.

    Returns:
        uint8, of each record whether it is good, or what is wrong with it.
    """
    status = np.zeros(starts.size, np.uint8)
    stack = np.zeros(DEEPEST, np.int64)
    code, tags, whole, real, more = p.code, c.tags, c.whole, c.real, c.more
    single, double = floats[:4].view(np.float32), floats.view(np.float64)
    for i in range(starts.size):
        at, end, pc, depth = starts[i], ends[i], 0, 0
        items = end - at + MOST_ITEMS
        wrong = GOOD
        while True:
            op, slot, b, d = code[pc, 0], code[pc, 1], code[pc, 2], code[pc, 3]
            pc += 1
            if op in (DOUBLE, FLOAT):
                size = 8 if op == DOUBLE else 4
                if end - at < size:
                    wrong = CUT_SHORT
                    break
                if slot >= 0:
                    for k in range(size):
                        floats[k] = data[at + k]
                    value = double[0] if op == DOUBLE else np.float64(single[0])
                    if not np.isnan(value):
                        tags[i, slot], real[i, slot] = REAL, value
                at += size
            elif op in (INTEGER, TEXT, ENUM, UNION):
                value, after = _integer(data, at, end)
                if after < 0:
                    wrong = CUT_SHORT if after == -1 else NO_NUMBER
                    break
                at = after
                if op == UNION:
                    if value < 0 or value >= b:
                        wrong = NO_BRANCH
                        break
                    pc = p.branches[slot + value]
                elif op == TEXT:
                    if value < 0:
                        wrong = NO_LENGTH
                        break
                    if value > end - at:
                        wrong = CUT_SHORT
                        break
                    if slot >= 0:
                        tags[i, slot], whole[i, slot], more[i, slot], real[i, slot] = b, at, value, d
                    at += value
                elif op == ENUM and (value < 0 or value >= d):
                    wrong = NO_SYMBOL
                    break
                elif slot >= 0:
                    whole[i, slot] = value
                    if op == ENUM:
                        tags[i, slot], more[i, slot] = SYMBOL, b
                    else:
                        tags[i, slot], more[i, slot], real[i, slot] = b, d, value
            elif op == BOOLEAN:
                if at >= end:
                    wrong = CUT_SHORT
                    break
                if data[at] > 1:
                    wrong = NO_TRUTH
                    break
                if slot >= 0:
                    tags[i, slot], whole[i, slot], real[i, slot] = TRUTH, data[at], data[at]
                at += 1
            elif op == FIXED:
                if end - at < b:
                    wrong = CUT_SHORT
                    break
                if slot >= 0:
                    tags[i, slot], whole[i, slot], more[i, slot] = BYTES if d < 0 else DECIMAL, at, b
                    real[i, slot] = d
                at += b
            elif op == JUMP:
                pc = slot
            elif op == LOOP:
                if stack[depth - 1] == 0:
                    value, after = _integer(data, at, end)
                    if after >= 0 and value < 0:
                        value = -value
                        _, after = _integer(data, after, end)
                    if after < 0:
                        wrong = CUT_SHORT if after == -1 else NO_NUMBER
                        break
                    if value < 0 or value > items:
                        wrong = ENDLESS
                        break
                    at, stack[depth - 1] = after, value
                    items -= value
                if stack[depth - 1] == 0:
                    depth -= 1
                    pc = slot
                else:
                    stack[depth - 1] -= 1
            elif op == KEY:
                value, after = _integer(data, at, end)
                if after < 0:
                    wrong = CUT_SHORT if after == -1 else NO_NUMBER
                    break
                if value < 0 or value > end - after:
                    wrong = NO_LENGTH if value < 0 else CUT_SHORT
                    break
                found = _key(p, data, after, value, (slot, b))
                at = after + value
                if found >= 0:
                    pc = found
            elif op in (ENTER, CALL):
                if depth >= DEEPEST:
                    wrong = DEEP
                    break
                stack[depth] = 0 if op == ENTER else pc
                depth += 1
                if op == CALL:
                    pc = slot
                    items -= 1
                    if items < 0:
                        wrong = ENDLESS
                        break
            elif op == RETURN:
                depth -= 1
                pc = stack[depth]
            elif op == MARK:
                tags[i, slot] = b
            elif op == END:
                if at != end:
                    wrong = TOO_LONG
                break
        status[i] = wrong
    return status
