"""The reader for the format of a definition."""

from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any

from schemas.definition import Definition, EventFields
from schemas.scoring import RefusalCode
from stream_app.kafka.clients import RECORD_BYTES
from stream_app.kafka.log import Record
from stream_app.kafka.schema_registry import AVRO, PROTOBUF, SchemaRegistry, WriterSchema, schema_registry
from stream_app.pipeline.batch import Raw
from stream_app.pipeline.fields import FieldReader
from stream_app.pipeline.formats.json import JsonReader
from stream_app.pipeline.formats.leaves import AnyLeaves, Leaves
from stream_app.pipeline.formats.outcomes import Reader, RecordsError, SchemaError
from stream_app.pipeline.formats.written import Make, OneSchemaReader, RegisteredReader, SchemaReader
from stream_app.pipeline.shape import Shape
from stream_app.settings import Settings

Values = Callable[[Record], dict[str, Any]]
"""Path to what stands there in a record."""


def reader_of(definition: Definition, shape: Shape, record_max_bytes: int, registry: SchemaRegistry | None) -> Reader:
    """The reader of a definition's records.

    Args:
        definition: In which format they are.
        shape: What is wanted of each.
        record_max_bytes: Larger values are refused unread.
        registry: Where the schemas are that records name.

    Raises:
        RecordsError: the schema of the definition cannot be used, or there is no registry.
    """
    if definition.event.format == "json":
        return JsonReader(shape, record_max_bytes)
    return _by_schema(definition.event, Leaves(definition, shape), record_max_bytes, registry)


def require_readable(definition: Definition, settings: Settings) -> None:
    """Refuse a definition whose records cannot be read with these settings.

    Raises:
        RecordsError: its schema cannot be used, or it needs a registry and there is none.
        SettingsError: what the settings say about the registry is wrong.
    """
    reader_of(definition, Shape(definition, None), settings.record_max_bytes, schema_registry(settings))


@lru_cache(maxsize=16)
def values_of(event: EventFields, paths: tuple[str, ...], registry: SchemaRegistry | None) -> Values:
    """Reads what stands at some paths of a record, for people. A record that cannot be read has nothing.

    Raises:
        RecordsError: records cannot be read as the definition says.
    """
    if event.format == "json":
        read_json = FieldReader(paths)
        return lambda record: read_json(record.value() or b"")
    read = _by_schema(event, AnyLeaves(paths), RECORD_BYTES, registry)

    def values(record: Record) -> dict[str, Any]:
        (found,), _, _ = read(Raw([record.value()], (0,), (0,), [record], {}))
        return dict(zip(paths, found[0], strict=True)) if found else {}

    return values


def _by_schema(
    event: EventFields, leaves: Leaves | AnyLeaves, record_max_bytes: int, registry: SchemaRegistry | None
) -> Reader:
    """The reader of records that are written by a schema."""
    kind, code, make = _avro(event, leaves) if event.format == "avro" else _protobuf(event, leaves)

    def checked(schema: WriterSchema, places: Sequence[int]) -> SchemaReader:
        if schema.kind != kind:
            raise SchemaError(f"it is a schema in {schema.kind}, and the definition reads {event.format}")
        return make(schema, places)

    if event.schema:
        try:
            return OneSchemaReader(make(WriterSchema(kind, event.schema), ()), record_max_bytes)
        except SchemaError as error:
            raise RecordsError(f"[event], field schema: {error}") from error
    if registry is None:
        raise RecordsError(
            f"records in {event.format} name their schemas by number: set schema_registry to the address of the "
            "registry, or name a file in the definition: schema under [event]"
        )
    return RegisteredReader(checked, leaves, registry, record_max_bytes, code)


def _avro(event: EventFields, leaves: Leaves | AnyLeaves) -> tuple[str, RefusalCode, Make]:
    from stream_app.pipeline.formats.avro import AvroReader  # with numba, which no reader of JSON waits for

    def make(schema: WriterSchema, _: Sequence[int]) -> SchemaReader:
        return AvroReader(schema.text, [text for _, text in schema.referred], leaves, event)

    return AVRO, RefusalCode.NOT_AVRO, make


def _protobuf(event: EventFields, leaves: Leaves | AnyLeaves) -> tuple[str, RefusalCode, Make]:
    from stream_app.pipeline.formats.protobuf import ProtobufReader  # with the library, which no other format needs
    from stream_app.pipeline.formats.protobuf_schema import message_at, message_named

    def make(schema: WriterSchema, places: Sequence[int]) -> SchemaReader:
        text, referred = schema.text, schema.referred
        message = message_at(text, referred, places) if places else message_named(text, event.message)
        return ProtobufReader(message, leaves, event)

    return PROTOBUF, RefusalCode.NOT_PROTOBUF, make
