"""Records that name their schema are read by it; while a registry is away, nothing that is known waits for it."""

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID

import msgspec
import pytest

from schemas.scoring import RefusalCode
from stream_app.kafka.schema_registry import SchemaRegistry, SchemaRegistryError
from stream_app.pipeline.batch import Raw
from stream_app.pipeline.decode import Decoder
from stream_app.pipeline.formats.outcomes import RecordsError
from stream_app.replay.event import Event, EventReader
from stream_app.testing.memory_cluster import MemoryMessage
from tests.schema_registry import StandInRegistry, stand_in_registry
from tests.unit.stream_app.pipeline.formats.test_avro import CATEGORIES, PLAIN, definition, plain, record, written
from tests.unit.stream_app.pipeline.rows import AT, raw

BY_NUMBER = msgspec.structs.replace(
    definition(PLAIN), event=msgspec.structs.replace(definition(PLAIN).event, schema="")
)
NEWER = PLAIN | {"fields": [{"name": "note", "type": ["null", "string"]}, *reversed(PLAIN["fields"])]}


@pytest.fixture
def server() -> Iterator[StandInRegistry]:
    with stand_in_registry() as registry:
        registry.add(1, PLAIN)
        registry.add(258, NEWER)
        yield registry


@pytest.fixture
def registry(server: StandInRegistry, tmp_path: Path) -> SchemaRegistry:
    return SchemaRegistry(server.url, tmp_path)


def decoder(registry: SchemaRegistry | None) -> Decoder:
    return Decoder(BY_NUMBER, 10_000, categories=CATEGORIES, registry=registry)


def framed(number: int, schema: object = PLAIN, **changes: object) -> bytes:
    (value,) = written(schema, plain(**changes))
    return b"\0" + number.to_bytes(4, "big") + value


def of(name: str) -> dict[str, object]:
    return {"txn": {"ref": name, "ts": 1_532_152_801_500, "amount": 5}}


def test_each_record_is_read_by_the_schema_of_its_writer_and_stays_in_its_place(registry: SchemaRegistry) -> None:
    values = [
        framed(1, **of("a")),
        framed(258, NEWER, note="x", **of("b")),
        framed(1, **of("c")),
        framed(258, NEWER, note=None, **of("d")),
    ]
    decoded = decoder(registry)(raw(*values))
    assert (decoded.event_ids, decoded.rows.tolist(), list(decoded.refused)) == (list("abcd"), [0, 1, 2, 3], [])


REFUSED = {
    "JSON": (
        b'{"txn": 1}',
        RefusalCode.NOT_AVRO,
        "begins with 0x7b, not with 0 and the number of a schema: is it JSON?",
    ),
    "half a number": (b"\0\0\0", RefusalCode.NOT_AVRO, "ends within the number of its schema"),
    "a number alone": (b"\0\0\0\0\1", RefusalCode.NOT_AVRO, "ends before its last field"),
    "cut short": (framed(1)[:-2], RefusalCode.NOT_AVRO, "ends before its last field"),
    "more behind it": (framed(1) + b"!", RefusalCode.NOT_AVRO, "goes on after its last field"),
    "a number that nobody registered": (framed(77), RefusalCode.UNKNOWN_SCHEMA, "schema 77"),
    "a schema in JSON Schema": (framed(3), RefusalCode.UNKNOWN_SCHEMA, "it is a schema in JSON"),
    "a schema that is none": (framed(4), RefusalCode.UNKNOWN_SCHEMA, "schema 4"),
    "nothing": (b"", RefusalCode.EMPTY, "the record is empty"),
    "a tombstone": (None, RefusalCode.EMPTY, "tombstone"),
    "too much": (framed(1) + b"!" * 10_000, RefusalCode.TOO_LARGE, "10,000 are allowed"),
}


@pytest.mark.parametrize("what", REFUSED)
def test_what_cannot_be_read_is_refused_alone_with_its_reason(
    what: str, server: StandInRegistry, registry: SchemaRegistry
) -> None:
    server.add(3, {"type": "object"}, schemaType="JSON")
    server.add(4, '{"type": "recor')
    value, code, words = REFUSED[what]
    decoded = decoder(registry)(raw(framed(1, **of("a")), value, framed(258, NEWER, note=None, **of("b"))))
    assert decoded.event_ids == ["a", "b"]
    (refusal,) = decoded.refused
    assert (refusal.row, refusal.code) == (1, code), refusal.sentence
    assert words.replace(",", "") in refusal.sentence.replace(",", "")


def test_a_known_schema_is_asked_for_once_and_read_while_the_registry_is_away_and_after_a_restart(
    server: StandInRegistry, registry: SchemaRegistry, tmp_path: Path
) -> None:
    decoder(registry)(raw(framed(1), framed(1)))
    decoder(registry)(raw(framed(1)))
    assert server.asked == ["/schemas/ids/1"]
    server.status = 503
    again = SchemaRegistry(server.url, tmp_path)
    assert len(decoder(again)(raw(framed(1))).rows) == 1
    with pytest.raises(SchemaRegistryError, match="answers 503"):
        decoder(again)(raw(framed(1), framed(258, NEWER, note=None)))
    server.status = 0
    assert len(decoder(again)(raw(framed(1), framed(258, NEWER, note=None))).rows) == 2


def test_a_registry_that_is_gone_altogether_holds_records_back_and_refuses_none(tmp_path: Path) -> None:
    with stand_in_registry() as gone:
        pass
    with pytest.raises(SchemaRegistryError, match="does not answer"):
        decoder(SchemaRegistry(gone.url, tmp_path))(raw(framed(1)))


def test_a_number_that_is_missing_is_not_asked_for_with_each_record_but_later_again(
    server: StandInRegistry, tmp_path: Path
) -> None:
    now = [0.0]
    registry = SchemaRegistry(server.url, tmp_path, monotonic=lambda: now[0])
    read = decoder(registry)
    assert len(read(raw(framed(9), framed(9))).refused) == 2
    assert len(read(raw(framed(9))).refused) == 1
    assert server.asked == ["/schemas/ids/9"]
    server.add(9, PLAIN)
    now[0] = 31.0
    assert len(read(raw(framed(9))).rows) == 1


def test_the_number_may_stand_in_a_header_and_so_may_a_guid(server: StandInRegistry, registry: SchemaRegistry) -> None:
    guid = UUID("89791762-2336-4186-9674-299b90a802e2")
    server.schemas[str(guid)] = {"schema": server.schemas["258"]["schema"]}
    values = [framed(1, **of("a"))[5:], framed(258, NEWER, note=None, **of("b"))[5:], framed(1, **of("c"))]
    heads = [b"\0\0\0\0\1", b"\1" + guid.bytes, None]
    messages = [
        MemoryMessage(value, offset, AT, headers=[("other", b"1"), *([("__value_schema_id", head)] if head else [])])
        for offset, (value, head) in enumerate(zip(values, heads, strict=True))
    ]
    decoded = decoder(registry)(Raw(values, [0] * 3, [0, 1, 2], messages, {0: (0, 3)}))
    assert decoded.event_ids == ["a", "b", "c"]


def test_schemas_that_refer_to_others_are_read_with_them(server: StandInRegistry, registry: SchemaRegistry) -> None:
    txn = record("Txn", ref="string", ts="long", amount="bank.Minor")
    server.subjects["txn-value", "3"] = {
        "schema": msgspec.json.encode(txn | {"namespace": "bank"}).decode(),
        "references": [{"name": "bank.Minor", "subject": "minor", "version": 1}],
    }
    minor = {"type": "record", "name": "bank.Minor", "fields": []}
    server.subjects["minor", "1"] = {"schema": msgspec.json.encode(minor).decode()}
    payment = record("P", txn="bank.Txn", card=PLAIN["fields"][1]["type"], channel="string")
    server.add(5, payment, references=[{"name": "bank.Txn", "subject": "txn-value", "version": 3}])
    decoded = decoder(registry)(raw(b"\0\0\0\0\5" + b"\x02a" + b"\x02" + b"\x02c" + b"\x06web"))
    assert "Expected `float`, got `object` - at `$.txn.amount`" in decoded.refused[0].sentence
    server.subjects.pop(("minor", "1"))
    fresh = SchemaRegistry(server.url, Path(registry._folder / "fresh"))
    (refusal,) = decoder(fresh)(raw(b"\0\0\0\0\5")).refused
    assert "lacks bank.Minor" in refusal.sentence


@pytest.mark.parametrize("secret", ["reader:s3cret", "a.bearer.token"])
def test_credentials_are_sent_and_never_shown(secret: str, server: StandInRegistry, tmp_path: Path) -> None:
    server.credentials = secret
    assert SchemaRegistry(server.url, tmp_path, secret).knock() == 0
    with pytest.raises(SchemaRegistryError, match="set schema_registry_auth") as refused:
        SchemaRegistry(server.url, tmp_path, f"wrong{secret}").knock()
    assert secret not in str(refused.value)


def test_no_redirection_takes_the_credentials_along(server: StandInRegistry, tmp_path: Path) -> None:
    server.status = 302
    with pytest.raises(SchemaRegistryError, match="answers 302"):
        SchemaRegistry(server.url, tmp_path, "reader:s3cret").knock()
    assert server.asked == ["/subjects"]


def test_an_address_that_is_no_registrys_is_named_as_that(server: StandInRegistry, tmp_path: Path) -> None:
    with pytest.raises(SchemaRegistryError, match="is the path in schema_registry complete"):
        decoder(SchemaRegistry(f"{server.url}/apis/other", tmp_path))(raw(framed(1)))


def test_without_a_registry_the_sentence_says_what_to_set() -> None:
    with pytest.raises(RecordsError, match="set schema_registry to the address"):
        decoder(None)


def test_people_see_what_the_definition_shows_of_a_record_in_avro(registry: SchemaRegistry) -> None:
    event = msgspec.structs.replace(BY_NUMBER.event, show=("channel", "txn.amount", "card", "nothing.there"))
    shown = msgspec.structs.replace(BY_NUMBER, event=event)
    read = EventReader(shown, registry)
    found = read(MemoryMessage(framed(1, **of("a")), 0, AT))
    assert found == Event("a", "c", datetime(2018, 7, 21, 6, 0, 1, 500_000, UTC), {"channel": "web", "txn.amount": 5})
    assert read(MemoryMessage(b"{}", 0, AT)) is None
    assert read(MemoryMessage(None, 0, AT)) is None
