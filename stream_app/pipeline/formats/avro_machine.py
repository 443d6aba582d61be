"""Runs a compiled Avro schema over the bytes of a micro-batch: what is wanted of each record goes into columns.

A small machine, compiled by numba. It reads nothing beyond a record, and does no more work than its bytes are worth:
whatever is wrong with them ends that record alone, with the reason in `status`.
"""

from typing import Any, NamedTuple

import numpy as np

from models.loops import cached, inlined

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


class Room(NamedTuple):
    """What a record needs while it is read.

    Attributes:
        bytes_: uint8 [8], to put a float together in.
        single: The first four of them, as a float.
        double: All of them, as a float.
        stack: int64 [DEEPEST], where calls return to, and items that are left in open lists and maps.
    """

    bytes_: np.ndarray
    single: np.ndarray
    double: np.ndarray
    stack: np.ndarray


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


@inlined
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


@inlined
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


@inlined
def _float(c: Columns, data: np.ndarray, room: Room, put: tuple[int, int], at: int, size: int) -> None:
    """A float of 4 or 8 bytes into its column; NaN is no value."""
    for k in range(size):
        room.bytes_[k] = data[at + k]
    value = room.double[0] if size == 8 else np.float64(room.single[0])
    if not np.isnan(value):
        c.tags[put], c.real[put] = REAL, value


@inlined
def _sized(c: Columns, data: np.ndarray, room: Room, code: tuple[int, int, int], put: tuple[int, int], at: int) -> Any:
    """A value whose size the schema says, if it is wanted; what is wrong with it."""
    op, bytes_, scale = code
    if op == BOOLEAN:
        if data[at] > 1:
            return NO_TRUTH
        if put[1] >= 0:
            c.tags[put], c.whole[put], c.real[put] = TRUTH, data[at], data[at]
    elif put[1] >= 0:
        if op == FIXED:
            c.tags[put], c.whole[put], c.more[put] = BYTES if scale < 0 else DECIMAL, at, bytes_
            c.real[put] = scale
        else:
            _float(c, data, room, put, at, 8 if op == DOUBLE else 4)
    return GOOD


@inlined
def _size(op: int, bytes_: int) -> int:
    """Bytes of a value of an operation that `_sized` reads."""
    return 1 if op == BOOLEAN else 4 if op == FLOAT else 8 if op == DOUBLE else bytes_


@inlined
def _counted(
    c: Columns, code: tuple[int, int, int], put: tuple[int, int], value: int, at: int, end: int
) -> tuple[int, int]:
    """An integer, or a text or a symbol that begins with one; the place after it, and what is wrong with it."""
    op, b, d = code
    if op == TEXT:
        if value < 0:
            return at, NO_LENGTH
        if value > end - at:
            return at, CUT_SHORT
        if put[1] >= 0:
            c.tags[put], c.whole[put], c.more[put], c.real[put] = b, at, value, d
        return at + value, GOOD
    if op == ENUM and (value < 0 or value >= d):
        return at, NO_SYMBOL
    if put[1] >= 0:
        c.whole[put] = value
        if op == ENUM:
            c.tags[put], c.more[put] = SYMBOL, b
        else:
            c.tags[put], c.more[put], c.real[put] = b, d, value
    return at, GOOD


@inlined
def _block(data: np.ndarray, at: int, end: int, items: int) -> tuple[int, int, int]:
    """How many items the next block of a list or a map has, the place after that, and what is wrong with it."""
    value, after = _integer(data, at, end)
    if after >= 0 and value < 0:  # its size in bytes follows
        value = -value
        _, after = _integer(data, after, end)
    if after < 0:
        return 0, at, CUT_SHORT if after == -1 else NO_NUMBER
    if value < 0 or value > items:
        return 0, at, ENDLESS
    return value, after, GOOD


@inlined
def _wanted(p: AvroProgram, data: np.ndarray, at: int, end: int, which: tuple[int, int]) -> tuple[Any, int, int]:
    """Where the code of the next key of a map begins (NONE: unwanted), the place after it, and what is wrong."""
    value, after = _integer(data, at, end)
    if after < 0:
        return NONE, at, CUT_SHORT if after == -1 else NO_NUMBER
    if value < 0 or value > end - after:
        return NONE, at, NO_LENGTH if value < 0 else CUT_SHORT
    return _key(p, data, after, value, which), after + value, GOOD


@inlined
def _value(
    c: Columns,
    data: np.ndarray,
    room: Room,
    code: tuple[int, int, int],
    put: tuple[int, int],
    span: tuple[int, int],
) -> tuple[int, int]:
    """One value; the place after it, and what is wrong with it."""
    at, end = span
    if code[0] in (BOOLEAN, FLOAT, DOUBLE, FIXED):
        size = _size(code[0], code[1])
        if end - at < size:
            return at, CUT_SHORT
        return at + size, _sized(c, data, room, code, put, at)
    value, after = _integer(data, at, end)
    if after < 0:
        return at, CUT_SHORT if after == -1 else NO_NUMBER
    return _counted(c, code, put, value, after, end)


@inlined
def _branch(p: AvroProgram, data: np.ndarray, span: tuple[int, int], which: tuple[int, int]) -> tuple[Any, int, int]:
    """Where the code of the branch of a union begins, the place after its number, and what is wrong with it."""
    value, after = _integer(data, span[0], span[1])
    if after < 0:
        return 0, span[0], CUT_SHORT if after == -1 else NO_NUMBER
    if value < 0 or value >= which[1]:
        return 0, span[0], NO_BRANCH
    return p.branches[which[0] + value], after, GOOD


@inlined
def _record(  # noqa: PLR0912 - one branch for each operation
    p: AvroProgram, data: np.ndarray, room: Room, c: Columns, i: int, span: tuple[int, int]
) -> int:
    """Read one record; whether it is good, or what is wrong with it."""
    (at, end), pc, depth, wrong = span, 0, 0, GOOD
    stack = room.stack
    items = end - at + MOST_ITEMS
    while wrong == GOOD:
        op, slot, b, d = p.code[pc, 0], p.code[pc, 1], p.code[pc, 2], p.code[pc, 3]
        pc += 1
        if op == END:
            return GOOD if at == end else TOO_LONG
        if op == UNION:
            pc, at, wrong = _branch(p, data, (at, end), (slot, b))
        elif op <= ENUM:
            at, wrong = _value(c, data, room, (op, b, d), (i, slot), (at, end))
        elif op == JUMP:
            pc = slot
        elif op == LOOP:
            if stack[depth - 1] == 0:
                stack[depth - 1], at, wrong = _block(data, at, end, items)
                items -= stack[depth - 1]
            stack[depth - 1] -= 1
            if stack[depth - 1] < 0:
                depth -= 1
                pc = slot
        elif op == KEY:
            found, at, wrong = _wanted(p, data, at, end, (slot, b))
            pc = found if found >= 0 else pc
        elif op == RETURN:
            depth -= 1
            pc = stack[depth]
        elif op == MARK:
            c.tags[i, slot] = b
        elif op in (ENTER, CALL):
            if depth >= DEEPEST:
                return DEEP
            stack[depth] = 0 if op == ENTER else pc
            depth += 1
            if op == CALL:
                pc = slot
                items -= 1
                wrong = ENDLESS if items < 0 else GOOD
    return wrong


@cached
def _records(
    p: AvroProgram,
    data: np.ndarray,
    room: Room,
    starts: np.ndarray,
    ends: np.ndarray,
    c: Columns,
    status: np.ndarray,
) -> None:
    for i in range(starts.size):
        status[i] = _record(p, data, room, c, i, (starts[i], ends[i]))


def run(p: AvroProgram, data: np.ndarray, starts: np.ndarray, ends: np.ndarray, c: Columns) -> np.ndarray:
    """Read records.

    Args:
        p: Their schema.
        data: uint8, the bytes of all records.
        starts: int64, first byte of each record.
        ends: int64, the byte after its last.
        c: Filled; must hold nothing but zeros, `real` nothing but NaN.

    Returns:
        uint8, of each record whether it is good, or what is wrong with it.
    """
    status, bytes_ = np.zeros(starts.size, np.uint8), np.zeros(8, np.uint8)
    room = Room(bytes_, bytes_[:4].view(np.float32), bytes_.view(np.float64), np.zeros(DEEPEST, np.int64))
    _records(p, data, room, starts, ends, c, status)
    return status
