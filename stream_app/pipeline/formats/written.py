"""Reads records that are written by a schema: the one of the definition, or one that they name by a registry's number.

    0 | number, 4 bytes | record                            as serializers of schema registries write
    header __value_schema_id: 0 | number, or 1 | GUID       as newer ones can; the value is the record alone

In protobuf the place of the message in its file follows the number: how many indexes, then each, as zigzag varints; a
single 0 stands for the first message. A micro-batch is read in one go for each schema that occurs in it.
"""

from collections.abc import Callable, Sequence
from uuid import UUID

from schemas.scoring import RefusalCode
from stream_app.kafka.log import Record
from stream_app.kafka.records import headers_of
from stream_app.kafka.schema_registry import SchemaId, SchemaRegistry, UnknownSchemaError, WriterSchema
from stream_app.pipeline.batch import Raw, Refusal
from stream_app.pipeline.formats.leaves import AnyLeaves, Leaves
from stream_app.pipeline.formats.outcomes import Outcomes, SchemaError, unread

HEADER = "__value_schema_id"
BY_NUMBER, BY_GUID = 0, 1  # the first byte
SIZES = {BY_NUMBER: 5, BY_GUID: 17}  # with it
MOST_PLACES = 16  # messages inside messages

SchemaReader = Callable[[Sequence[bytes], int, Sequence[int]], Outcomes]
"""Reads records of one schema: their values, how many bytes of each to skip, their rows."""
Make = Callable[[WriterSchema, Sequence[int]], SchemaReader]
"""Makes the reader of a schema, and of the message at a place in it."""


class OneSchemaReader:
    """Reads records of the schema that stands in the definition.

    Args:
        read: Reads them.
        record_max_bytes: Larger values are refused unread.
    """

    def __init__(self, read: SchemaReader, record_max_bytes: int) -> None:
        self._read = read
        self._record_max_bytes = record_max_bytes

    def __call__(self, raw: Raw) -> Outcomes:
        """The fields of a micro-batch."""
        rows, refused = _readable(raw, self._record_max_bytes)
        found, kept, more = self._read([raw.values[row] or b"" for row in rows], 0, rows)
        return found, kept, [*refused, *more]


class RegisteredReader:
    """Reads records that name their schemas.

    Args:
        make: Makes the reader of a schema.
        leaves: What is wanted.
        registry: Where schemas are.
        record_max_bytes: Larger values are refused unread.
        code: Of records that are not in the format. In protobuf a place follows the number.
    """

    def __init__(
        self, make: Make, leaves: Leaves | AnyLeaves, registry: SchemaRegistry, record_max_bytes: int, code: RefusalCode
    ) -> None:
        self._make = make
        self._leaves = leaves
        self._registry = registry
        self._record_max_bytes = record_max_bytes
        self._code = code
        self._has_places = code is RefusalCode.NOT_PROTOBUF
        self._readers: dict[bytes, SchemaReader] = {}

    def __call__(self, raw: Raw) -> Outcomes:
        """The fields of a micro-batch.

        Raises:
            SchemaRegistryError: the registry cannot be asked for a schema that is not known yet.
        """
        rows, refused = _readable(raw, self._record_max_bytes)
        groups: dict[tuple[bytes, int], list[int]] = {}
        for row in rows:
            value = raw.values[row] or b""
            written = _in_header(raw.records[row]) if raw.records else None
            head, skipped = (written, 0) if written is not None else (value[: self._size(value)], self._size(value))
            groups.setdefault((head, skipped), []).append(row)
        parts = [self._part(head, skipped, raw, some) for (head, skipped), some in groups.items()]
        if len(parts) == 1 and not refused:
            return parts[0]
        found, kept, more = _merged([self._leaves.outcomes([[]] * len(self._leaves.paths), []), *parts])
        return found, kept, [*refused, *more]

    def _size(self, value: bytes) -> int:
        """How many bytes of a value name its schema."""
        size = SIZES[BY_NUMBER]
        if not self._has_places or value[size : size + 1] == b"\0":
            return size + self._has_places
        return _places(value, size)[1]

    def _part(self, head: bytes, skipped: int, raw: Raw, rows: Sequence[int]) -> Outcomes:
        """The fields of the records that name the same schema."""
        read = self._readers.get(head) or self._reader(head)
        if isinstance(read, Refusal):
            refused = [Refusal(row, read.code, read.sentence) for row in rows]
            return self._leaves.outcomes([[]] * len(self._leaves.paths), [])[0], (), refused
        return read([raw.values[row] or b"" for row in rows], skipped, rows)

    def _reader(self, head: bytes) -> SchemaReader | Refusal:
        """The reader of what a head names; where there is none, a refusal (of no row yet)."""
        try:
            identity, places = self._named(head)
        except ValueError as error:
            return Refusal(0, self._code, str(error))
        try:
            schema = self._registry.schema(identity)
            read = self._make(schema, places)
        except UnknownSchemaError as error:
            return Refusal(0, RefusalCode.UNKNOWN_SCHEMA, f"schema {identity}: {error}")
        except SchemaError as error:
            return Refusal(0, RefusalCode.UNKNOWN_SCHEMA, f"schema {identity} of {self._registry.url}: {error}")
        self._readers[head] = read
        return read

    def _named(self, head: bytes) -> tuple[SchemaId, Sequence[int]]:
        """The schema, and the place in it, that a head names.

        Raises:
            ValueError: it names none.
        """
        size = SIZES.get(head[0]) if head else None
        if size is None:
            begins = f"0x{head[:1].hex()}" if head else "nothing"
            raise ValueError(f"the record begins with {begins}, not with 0 and the number of a schema: is it JSON?")
        if len(head) < size:
            raise ValueError("the record ends within the number of its schema")
        places, end = _places(head, size) if self._has_places else ((), size)
        if end != len(head) or not 0 <= len(places) <= MOST_PLACES:
            raise ValueError("the record names no message of its schema: its indexes are wrong")
        named = head[1:size]
        return (int.from_bytes(named, "big") if size == SIZES[BY_NUMBER] else str(UUID(bytes=named))), places


def _readable(raw: Raw, limit: int) -> tuple[list[int], list[Refusal]]:
    """The rows with a value that may be read, and the refusals of the others."""
    rows = [row for row, value in enumerate(raw.values) if value and len(value) <= limit]
    if len(rows) == len(raw.values):
        return rows, []
    others = set(range(len(raw.values))).difference(rows)
    return rows, [unread(row, raw.values[row], limit) for row in sorted(others)]


def _in_header(record: Record) -> bytes | None:
    return next((value for name, value in headers_of(record) or () if name == HEADER), None)


def _places(head: bytes, at: int) -> tuple[Sequence[int], int]:
    """The place of a message in its file, and the byte after it; the last of all where there is none."""
    found: list[int] = []
    while at < len(head) and len(found) <= MOST_PLACES:
        number, shift = 0, 0
        while at < len(head):
            byte = head[at]
            at += 1
            number |= (byte & 127) << shift
            shift += 7
            if byte < 128 or shift > 35:
                break
        found.append((number >> 1) ^ -(number & 1))
        if found[0] == 0:
            return (0,), at
        if len(found) == found[0] + 1:
            return tuple(found[1:]), at
    return (), len(head) + 1


def _merged(parts: Sequence[Outcomes]) -> Outcomes:
    """The outcomes of several schemas, in the order of the rows."""
    rows = [row for _, kept, _ in parts for row in kept]
    order = sorted(range(len(rows)), key=rows.__getitem__)
    objects = [[fields for found, _, _ in parts for fields in found[node]] for node in range(len(parts[0][0]))]
    refused = [refusal for _, _, some in parts for refusal in some]
    return [[fields[i] for i in order] for fields in objects], [rows[i] for i in order], refused
