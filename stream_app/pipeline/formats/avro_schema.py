"""Compiles an Avro schema for what is wanted of its records: the writer's schema says how bytes are read.

What is not wanted is passed over. A wanted path leads through records, maps and the branches of unions. Of logical
types, decimals are numbers, and timestamps are times where the definition reads the time of the event without a unit;
all others are what they are written as.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from stream_app.pipeline.formats import avro_machine as m
from stream_app.pipeline.formats.outcomes import SchemaError

Wanted = int | dict[str, "Wanted"] | None
"""A slot, or what is wanted inside; None: nothing."""
Names = dict[str, tuple[Any, str]]
"""Full name of a type to its definition, and the namespace around it."""

NUMBERS = ("int", "long")
TEXTS = {"string": m.WRITTEN, "bytes": m.BYTES}
MILLIS, MICROS, NANOS = 1, 2, 3
UNITS = {"timestamp-millis": MILLIS, "timestamp-micros": MICROS, "timestamp-nanos": NANOS}
NAMED = ("record", "error", "enum", "fixed")
SIMPLE = {"null": m.NOTHING, "boolean": m.BOOLEAN, "float": m.FLOAT, "double": m.DOUBLE}
KINDS = {*NUMBERS, *TEXTS, *SIMPLE, "array", "map", *NAMED}
MOST_DIGITS = 300
MOST_INSTRUCTIONS = 100_000


def compile_schema(
    text: str, paths: Sequence[str], time: int | None = None, referred: Sequence[str] = ()
) -> tuple[m.AvroProgram, list[tuple[str, ...]]]:
    """Compile a schema: a program for the machine, and the lists of symbols of its enums.

    Args:
        text: The writer's schema.
        paths: What is wanted; the slot of each is its place.
        time: The slot of the event's time, where timestamps are times.
        referred: The schemas that it refers to, each after those that it refers to itself.

    Raises:
        SchemaError: it is no Avro schema.
    """
    try:
        names: Names = {}
        for other in referred:
            _declare(json.loads(other), "", names)
        schema = json.loads(text)
        _declare(schema, "", names)
        return _Compiler(names, time).compiled(schema, _tree(paths))
    except RecursionError as error:
        raise SchemaError("it is nested too deeply") from error
    except json.JSONDecodeError as error:
        raise SchemaError(f"it is no JSON: {error}") from error
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise SchemaError(f"it is no Avro schema: {error!r}") from error


def _tree(paths: Sequence[str]) -> dict[str, Wanted]:
    tree: dict[str, Any] = {}
    for slot, path in enumerate(paths):
        *groups, name = path.split(".")
        node = tree
        for group in groups:
            node = node.setdefault(group, {})
        node[name] = slot
    return tree


def _full(name: str, space: str) -> str:
    return name if "." in name or not space else f"{space}.{name}"


def _declare(schema: Any, space: str, names: Names) -> None:
    """All named types in a schema."""
    if isinstance(schema, list):
        for branch in schema:
            _declare(branch, space, names)
    elif isinstance(schema, dict):
        kind = schema["type"]
        if kind in NAMED:
            full = _full(schema["name"], schema.get("namespace", space))
            space = full.rpartition(".")[0]
            names[full] = schema, space
            for entry in schema["fields"] if kind in ("record", "error") else ():
                _declare(entry["type"], space, names)
        else:
            for inner in ("items", "values", "type"):
                if not isinstance(schema.get(inner), str):
                    _declare(schema.get(inner), space, names)


@dataclass
class _Compiler:
    """Writes the program.

    Attributes:
        names: The named types.
        time: The slot of the event's time, where timestamps are times.
        calls: Instructions that pass over a record, and the type of each.
        pending: Types whose code for that is still to be written.
    """

    names: Names
    time: int | None
    code: list[list[int]] = field(default_factory=list)
    branches: list[int] = field(default_factory=list)
    keys: list[list[int]] = field(default_factory=list)
    key_bytes: bytearray = field(default_factory=bytearray)
    symbols: list[tuple[str, ...]] = field(default_factory=list)
    calls: list[tuple[int, str]] = field(default_factory=list)
    pending: list[str] = field(default_factory=list)

    def compiled(self, schema: Any, wanted: Wanted) -> tuple[m.AvroProgram, list[tuple[str, ...]]]:
        """The program of a schema, and the symbols of its enums."""
        self.value(schema, "", wanted)
        self.emit(m.END)
        begins: dict[str, int] = {}
        while self.pending:
            full = self.pending.pop()
            if full not in begins:
                begins[full] = len(self.code)
                inner, space = self.names[full]
                self.fields(inner, space, None)
                self.emit(m.RETURN)
        for at, full in self.calls:
            self.code[at][1] = begins[full]
        program = m.AvroProgram(
            np.array(self.code, dtype=np.int64),
            np.array(self.branches or [0], dtype=np.int64),
            np.array(self.keys or [[0, 0, 0]], dtype=np.int64),
            np.frombuffer(bytes(self.key_bytes) or b"\0", dtype=np.uint8),
        )
        return program, self.symbols

    def emit(self, op: int, *arguments: int) -> int:
        """Write an instruction, and tell where."""
        if len(self.code) >= MOST_INSTRUCTIONS:
            raise SchemaError("it is too large")
        self.code.append([op, *arguments, *[0] * (3 - len(arguments))])
        return len(self.code) - 1

    def value(self, schema: Any, space: str, wanted: Wanted) -> None:
        """The code that reads one value."""
        slot = wanted if isinstance(wanted, int) else m.NONE
        if isinstance(schema, list):
            self.union(schema, space, wanted)
            return
        kind = schema if isinstance(schema, str) else schema["type"]
        if not isinstance(kind, str) or (isinstance(schema, dict) and kind not in KINDS):
            self.value(kind, space, wanted)
        elif kind in NUMBERS:
            unit = UNITS.get(schema.get("logicalType", "")) if isinstance(schema, dict) and slot == self.time else None
            self.emit(m.INTEGER, slot, *((m.WHOLE, 0) if unit is None else (m.TIME, unit)))
        elif kind in TEXTS:
            scale = _scale(schema)
            self.emit(m.TEXT, slot, TEXTS[kind] if scale is None else m.DECIMAL, scale or 0)
        elif kind in ("array", "map"):
            self.items(schema, space, wanted)
        elif kind in SIMPLE:
            self.emit(SIMPLE[kind], slot)
        else:
            self.named(schema, space, wanted)

    def named(self, schema: Any, space: str, wanted: Wanted) -> None:
        """A value of a named type, here or where it was declared."""
        if isinstance(schema, str):
            full = schema if schema in self.names else _full(schema, space)
            schema, around = self.names[full]
        else:
            full = _full(schema["name"], schema.get("namespace", space))
            around = full.rpartition(".")[0]
        slot = wanted if isinstance(wanted, int) else m.NONE
        if schema["type"] == "enum":
            self.symbols.append(tuple(schema["symbols"]))
            self.emit(m.ENUM, slot, len(self.symbols) - 1, len(schema["symbols"]))
        elif schema["type"] == "fixed":
            scale = _scale(schema)
            self.emit(m.FIXED, slot, int(schema["size"]), m.NONE if scale is None else scale)
        elif isinstance(wanted, dict):
            self.fields(schema, around, wanted)
        else:
            if slot != m.NONE:
                self.emit(m.MARK, slot, m.OBJECT)
            self.calls.append((self.emit(m.CALL), full))
            self.pending.append(full)

    def fields(self, schema: Any, space: str, wanted: dict[str, Wanted] | None) -> None:
        """The fields of a record."""
        for entry in schema["fields"]:
            self.value(entry["type"], space, None if wanted is None else wanted.get(entry["name"]))

    def union(self, schema: Sequence[Any], space: str, wanted: Wanted) -> None:
        """One of some types."""
        table = len(self.branches)
        self.branches += [0] * len(schema)
        self.emit(m.UNION, table, len(schema))
        leave = []
        for number, branch in enumerate(schema):
            self.branches[table + number] = len(self.code)
            self.value(branch, space, wanted)
            leave.append(self.emit(m.JUMP))
        for at in leave:
            self.code[at][1] = len(self.code)

    def items(self, schema: Any, space: str, wanted: Wanted) -> None:
        """A list or a map."""
        is_map = schema["type"] == "map"
        inner = schema["values" if is_map else "items"]
        if isinstance(wanted, int):
            self.emit(m.MARK, wanted, m.OBJECT if is_map else m.LIST)
        self.emit(m.ENTER)
        loop = self.emit(m.LOOP)
        inside = wanted if isinstance(wanted, dict) and is_map else {}
        if is_map:
            first = len(self.keys)
            self.emit(m.KEY, first, len(inside))
            for name in inside:
                self.keys.append([len(self.key_bytes), len(name.encode()), 0])
                self.key_bytes += name.encode()
        self.value(inner, space, None)
        self.emit(m.JUMP, loop)
        for number, below in enumerate(inside.values()):
            self.keys[first + number][2] = len(self.code)
            self.value(inner, space, below)
            self.emit(m.JUMP, loop)
        self.code[loop][1] = len(self.code)


def _scale(schema: Any) -> int | None:
    """Of a decimal; None of anything else."""
    if not isinstance(schema, dict) or schema.get("logicalType") != "decimal":
        return None
    scale = int(schema.get("scale", 0))
    return scale if 0 <= scale <= MOST_DIGITS else None
