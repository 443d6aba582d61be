"""An event is found and shown by its definition's own paths, wherever id, entity and time stand."""

from datetime import UTC, datetime

import pytest

from schemas.definition import Definition, EventFields, Input
from stream_app.pipeline.fields import FieldReader
from stream_app.replay.event import Event, EventReader
from stream_app.testing.memory_cluster import MemoryMessage

AT = datetime(2026, 3, 1, 12, tzinfo=UTC)
INPUTS = (Input("amount", "txn.amount", missing="reject"),)
NESTED = EventFields("txn.ref", "txn.ts", "card.token", "ms", show=("txn.amount", "card.country", "card", "online"))
VALUE = (
    b'{"txn": {"ref": 17, "ts": 1772366400000, "amount": 57.5}, "card": {"token": "c1"}, "online": true, "x": [[1]]}'
)


def read(event: EventFields, value: bytes | None, key: bytes = b"k1") -> Event | None:
    message = MemoryMessage(value, 0, AT, 0)
    message.key = lambda: key  # type: ignore[method-assign]
    return EventReader(Definition("d", event, INPUTS))(message)


def test_an_event_of_any_shape_is_read_by_its_paths() -> None:
    assert read(NESTED, VALUE) == Event("17", "c1", AT, {"txn.amount": 57.5, "online": True})


def test_id_entity_and_time_may_stand_beside_the_value() -> None:
    assert read(EventFields("ref", "$timestamp", "$key"), b'{"ref": "r1"}') == Event("r1", "k1", AT)
    assert EventReader(Definition("d", EventFields("ref", "$timestamp", "$key"), INPUTS)).is_beside_the_value
    assert not EventReader(Definition("d", NESTED, INPUTS)).is_beside_the_value


@pytest.mark.parametrize(
    "value",
    [
        None,
        b"",
        b"\xff",
        b"[]",
        b'{"txn": 5}',
        VALUE.replace(b"17,", b"1.5,"),
        VALUE.replace(b'"c1"', b"true"),
        VALUE.replace(b'"c1"', b"null"),
        VALUE.replace(b"1772366400000", b'"yesterday"'),
        VALUE.replace(b"1772366400000", b"1e300"),
    ],
    ids=repr,
)
def test_what_is_no_event_is_none(value: bytes | None) -> None:
    assert read(NESTED, value) is None


def test_a_path_that_ends_on_the_way_of_another_is_left_out() -> None:
    assert FieldReader(["a", "a.b", "c.d.e"])(b'{"a": {"b": 1}, "c": {"d": {"e": "x"}}}') == {"a.b": 1, "c.d.e": "x"}
    assert FieldReader(["a", "a.b"])(b'{"a": 2}') == {"a": 2}
