"""An event as people ask for it: which, whose, when, and the fields that its definition names for them."""

from datetime import UTC, datetime
from typing import Any

import msgspec

from schemas.definition import MICROSECONDS, Definition, EventFields
from schemas.scoring import FieldValue, Moment
from stream_app.kafka.log import Record
from stream_app.kafka.schema_registry import SchemaRegistry
from stream_app.pipeline.fields import shown
from stream_app.pipeline.metadata import of_record


class Event(msgspec.Struct, frozen=True):
    """What people ask of a record of the input.

    Attributes:
        event_id: Which.
        entity: Whose.
        event_time: When.
        fields: Those under `event.show`.
        entities: Path to the other entities that a label of it names.
    """

    event_id: str
    entity: str
    event_time: datetime
    fields: dict[str, FieldValue] = {}
    entities: dict[str, str] = {}


class EventReader:
    """Reads events as a definition says, also those that the stream refuses for what else is in them.

    Args:
        definition: Where what stands.
        registry: Where the schemas are that records name.

    Attributes:
        is_beside_the_value: Id or entity is no part of the record's value, but of its key or its headers.
    """

    def __init__(self, definition: Definition, registry: SchemaRegistry | None = None) -> None:
        from stream_app.pipeline.formats.readers import values_of  # with torch, which no help waits for
        from stream_app.pipeline.shape import text_of

        self._event = event = definition.event
        self._paths = (event.id, event.entity, event.time)
        self._labelled, self._text_of = definition.labelled, text_of
        paths = tuple(path for path in (*self._paths, *self._labelled) if not path.startswith("$"))
        self._read = values_of(event, paths, registry)
        self._show = values_of(event, event.show, registry)
        self.is_beside_the_value = event.id.startswith("$") or event.entity.startswith("$")

    def __call__(self, record: Record) -> Event | None:
        """The event in a record; None where there is none."""
        found = self._read(record)
        who, whose, when = (
            of_record(record, path) if path.startswith("$") else found.get(path) for path in self._paths
        )
        at = _moment(when, self._event)
        if at is None or any(part is None or isinstance(part, float | bool) for part in (who, whose)):
            return None
        others = {path: self._text_of(found.get(path)) for path in self._labelled}
        named = {path: text for path, text in others.items() if text}
        return Event(str(who), str(whose), at, shown(self._show(record)), named)


def _moment(written: Any, event: EventFields) -> datetime | None:
    """The time of an event; None where it has none."""
    try:
        if event.unit is None:
            return msgspec.convert(written, Moment).astimezone(UTC)
        return datetime.fromtimestamp(msgspec.convert(written, float) * MICROSECONDS[event.unit] / 1e6, UTC)
    except (msgspec.ValidationError, OverflowError, ValueError, OSError):
        return None
