"""A record in protobuf is read to the same bits as the same values in JSON, by a registry's schema or by a file."""

from base64 import b64encode
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from google.protobuf.descriptor_pb2 import FieldDescriptorProto, FileDescriptorProto, FileDescriptorSet
from google.protobuf.json_format import ParseDict
from google.protobuf.message_factory import GetMessageClass
from hypothesis import given
from hypothesis import strategies as st

from models.definition import in_json
from schemas.definition import Definition
from schemas.scoring import RefusalCode
from stream_app.kafka.schema_registry import SchemaRegistry
from stream_app.pipeline.decode import Decoder
from stream_app.pipeline.formats.outcomes import RecordsError
from stream_app.pipeline.formats.protobuf_schema import message_named
from stream_app.testing.memory_cluster import MemoryMessage
from tests.schema_registry import StandInRegistry, stand_in_registry
from tests.unit.stream_app.pipeline.formats.test_avro import AT_MS, CATEGORIES, PLAIN, SEGMENTS, definition, fates
from tests.unit.stream_app.pipeline.rows import AT, raw

CARD = """
syntax proto3; package bank;
message Card { string token 1 }
message Holder { message Inner { string token 1; message Innermost { string token 1 } } }
"""
PAYMENT = """
import bank/card.proto google/protobuf/timestamp.proto google/protobuf/wrappers.proto google/protobuf/struct.proto;
package shop;
enum Channel { web 0; till 1 }
message Other { int32 x 1 }
message Payment {
  Txn txn 1; .bank.Card card 2; Features features 3; bool online 4; Place shop 5; Channel channel 6; ?string city 7;
  *Txn others 8; #string labels 9; .google.protobuf.Struct extra 10; .google.protobuf.DoubleValue boxed 11;
}
message Txn { string ref 1; int64 ts 2; double amount 3; .google.protobuf.Timestamp at 4 }
message Features { ?double risk 1; ?sint32 age 2 }
message Place { ?string country 1 }
"""
SCALARS = {name: getattr(FieldDescriptorProto, f"TYPE_{name.upper()}") for name in
           ("string", "int64", "int32", "sint32", "double", "bool", "bytes")}  # fmt: skip


def file_of(text: str, name: str) -> FileDescriptorProto:
    """A file of descriptors from a small language of this test: `?` optional, `*` repeated, `#` a map."""
    content = FileDescriptorProto(name=name, syntax="proto3")
    words = iter(text.replace(";", " ; ").replace("{", " { ").replace("}", " } ").split())
    inside: list[Any] = [content]
    for word in words:
        if word == "import":
            content.dependency.extend(iter(lambda: next(words), ";"))
        elif word == "package":
            content.package = next(words)
        elif word in ("message", "enum"):
            where = inside[-1]
            kinds = {"message": "message_type" if where is content else "nested_type", "enum": "enum_type"}
            inside.append(getattr(where, kinds[word]).add(name=next(words)))
            next(words)
        elif word == "}":
            inside.pop()
        elif word not in (";", "syntax", "proto3"):
            _declare(inside[-1], word, words, content.package)
    return content


def _declare(where: Any, word: str, words: Iterator[str], package: str) -> None:
    if not hasattr(where, "field"):
        where.value.add(name=word, number=int(next(words)))
        return
    name, mark, kind = next(words), word[0], word.lstrip("?*#")
    field = where.field.add(name=name, number=int(next(words)), label=FieldDescriptorProto.LABEL_OPTIONAL)
    if mark == "#":
        entry = where.nested_type.add(name=f"{name.title()}Entry")
        entry.options.map_entry = True
        for number, inner in enumerate(("key", "value"), 1):
            entry.field.add(name=inner, number=number, label=1, type=SCALARS["string"])
        kind = f".{package}.{where.name}.{entry.name}"
    if mark in "*#":
        field.label = FieldDescriptorProto.LABEL_REPEATED
    if mark == "?":
        field.proto3_optional, field.oneof_index = True, len(where.oneof_decl)
        where.oneof_decl.add(name=f"_{name}")
    if kind in SCALARS:
        field.type = SCALARS[kind]
    else:
        field.type_name = kind if kind.startswith(".") else f".{package}.{kind}"
        if kind == "Channel":
            field.type = FieldDescriptorProto.TYPE_ENUM


CARD_FILE, PAYMENT_FILE = file_of(CARD, "bank/card.proto"), file_of(PAYMENT, "shop/payment.proto")
FILES = b64encode(FileDescriptorSet(file=[CARD_FILE, PAYMENT_FILE]).SerializeToString()).decode()
CARDS, ALONE = (FileDescriptorSet(file=[one]).SerializeToString() for one in (CARD_FILE, PAYMENT_FILE))
Payment = GetMessageClass(message_named(FILES, "shop.Payment"))


def by_file(**event: Any) -> Definition:
    of = definition(PLAIN)
    fields = {"format": "protobuf", "schema": FILES, "message": "shop.Payment"} | event
    return msgspec.structs.replace(of, event=msgspec.structs.replace(of.event, **fields))


def decoder(of: Definition, registry: SchemaRegistry | None = None) -> Decoder:
    return Decoder(of, 10_000, SEGMENTS, categories=CATEGORIES, registry=registry)


def written(*events: dict[str, Any]) -> list[bytes]:
    return [ParseDict(event, Payment()).SerializeToString() for event in events]


def plain(**changes: Any) -> dict[str, Any]:
    txn = {"ref": "a", "ts": AT_MS, "amount": 5.0}
    return {"txn": txn, "card": {"token": "c"}, "channel": "web", "online": False} | changes


def fits(**optional: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries({}, optional=optional)


NUMBERS = st.floats(allow_nan=False, allow_infinity=False)
EVENTS = st.fixed_dictionaries(
    {
        "txn": st.fixed_dictionaries(
            {"ref": st.text(max_size=5), "ts": st.integers(AT_MS, AT_MS + 10**9), "amount": NUMBERS}
        ),
        "card": st.fixed_dictionaries({"token": st.text(max_size=5)}),
        "online": st.booleans(),
        "channel": st.sampled_from(["web", "till"]),
    },
    optional={
        "features": fits(risk=NUMBERS, age=st.integers(-(2**31), 2**31 - 1)),
        "shop": fits(country=st.text(max_size=5)),
        "city": st.sampled_from(["Rome", "Oslo"]),
    },
)


@given(st.lists(EVENTS, min_size=1, max_size=6))
def test_a_record_is_read_to_the_same_bits_as_the_same_values_in_json(some: list[dict[str, Any]]) -> None:
    of = by_file()
    from_protobuf = decoder(of)(raw(*written(*some)))
    from_json = decoder(in_json(of))(raw(*map(msgspec.json.encode, some)))
    assert fates(from_protobuf, len(some)) == fates(from_json, len(some))


@given(st.lists(st.binary(max_size=60), max_size=4), st.integers(0, 80), st.integers(0, 255))
def test_whatever_the_bytes_a_record_costs_only_itself(others: list[bytes], place: int, byte: int) -> None:
    (good,) = written(plain(labels={"a": "x"}, extra={"a": {"b": 1}}))
    damaged = bytearray(good)
    damaged[place % len(good)] = byte
    values = [good, *others, bytes(damaged), good[:-1], good]
    read = decoder(by_file())
    together = read(raw(*values))
    assert {0, len(values) - 1} <= set(together.rows.tolist())
    assert fates(together, len(values)) == [fate for value in values for fate in fates(read(raw(value)), 1)]


def test_a_timestamp_is_a_time_and_one_beyond_the_calendar_costs_only_its_record() -> None:
    values = [
        ParseDict(plain(txn={"ref": "a", "amount": 5, "at": "2018-07-21T06:00:01.5Z"}), Payment()),
        ParseDict(plain(txn={"ref": "b", "amount": 5}), Payment()),
        ParseDict(plain(txn={"ref": "c", "amount": 5}), Payment()),
        ParseDict(plain(txn={"ref": "d", "amount": 5, "at": "2018-07-21T06:00:02Z"}), Payment()),
    ]
    values[2].txn.at.seconds = 2**60
    decoded = decoder(by_file(time="txn.at", time_unit=None))(raw(*(value.SerializeToString() for value in values)))
    seconds = [datetime(2018, 7, 21, 6, 0, 1, 500_000, UTC), datetime(2018, 7, 21, 6, 0, 2, tzinfo=UTC)]
    assert (decoded.event_times, decoded.event_ids) == (seconds, ["a", "d"])
    codes = {refusal.row: refusal.code for refusal in decoded.refused}
    assert codes == {1: RefusalCode.MISSING_FIELD, 2: RefusalCode.IMPLAUSIBLE_TIME}


def test_people_see_what_stands_in_maps_in_structs_and_in_wrappers() -> None:
    from stream_app.replay.event import EventReader

    show = ("labels.shop", "labels.none", "extra.device.os", "boxed", "others", "txn.at", "nothing.there", "channel")
    event = plain(labels={"shop": "7"}, extra={"device": {"os": "x"}}, boxed=1.5, others=[{"ref": "b"}])
    event["txn"]["at"] = "2018-07-21T06:00:01Z"
    read = EventReader(by_file(show=show), None)
    found = read(MemoryMessage(written(event)[0], 0, AT))
    assert found is not None
    assert found.fields == {
        "labels.shop": "7", "extra.device.os": "x", "boxed": 1.5, "txn.at": "2018-07-21T06:00:01+00:00",
        "channel": "web",
    }  # fmt: skip


def test_what_is_no_message_is_refused_with_its_reason_and_infinity_is_out_of_range() -> None:
    values = [b'{"txn": 1}', written(plain())[0][:-1], *written(plain(txn={"ref": "a", "ts": AT_MS}))]
    infinite = ParseDict(plain(features={}), Payment())
    infinite.features.risk = float("inf")
    missing = ParseDict(plain(features={}), Payment())
    missing.features.risk = float("nan")
    decoded = decoder(by_file())(raw(*values, infinite.SerializeToString(), missing.SerializeToString()))
    codes = {refusal.row: refusal.code for refusal in decoded.refused}
    assert codes == {0: RefusalCode.NOT_PROTOBUF, 1: RefusalCode.NOT_PROTOBUF, 3: RefusalCode.OUT_OF_RANGE}
    assert "is no message shop.Payment" in decoded.refused[0].sentence
    np.testing.assert_array_equal(decoded.inputs[:, 0], [0.0, np.float32(0.05)])  # a number that is 0 is not written
    assert np.isnan(decoded.inputs[1, 1])


@pytest.mark.parametrize(
    ("text", "message", "words"),
    [
        (b'syntax = "proto3";', "", "no file of descriptors: protoc --include_imports"),
        (CARDS, "", "message under .event. says which; there are bank"),
        (CARDS, "bank.Car", "no message bank.Car; there are bank.Card"),
        (ALONE, "shop.Payment", "imports bank/card.proto"),
    ],
)  # fmt: skip
def test_a_schema_that_is_none_is_refused_before_any_record(text: bytes, message: str, words: str) -> None:
    with pytest.raises(RecordsError, match=words) as refused:
        decoder(by_file(schema=b64encode(text).decode(), message=message))
    assert "[event], field schema" in str(refused.value)


@pytest.fixture
def server() -> Iterator[StandInRegistry]:
    with stand_in_registry() as registry:
        for number, content in (7, PAYMENT_FILE), (8, CARD_FILE):
            written = FileDescriptorProto.FromString(content.SerializeToString())
            written.name = "default"  # as registries have it
            serialized = b64encode(written.SerializeToString()).decode()
            registry.add(number, "syntax = ...", schemaType="PROTOBUF", serialized=serialized)
        registry.subjects["card", "2"] = registry.schemas["8"]
        registry.schemas["7"]["references"] = [{"name": "bank/card.proto", "subject": "card", "version": 2}]
        yield registry


def framed(number: int, places: bytes, value: bytes) -> bytes:
    return b"\0" + number.to_bytes(4, "big") + places + value


def test_records_name_their_schema_and_the_message_in_it_and_a_registry_that_is_away_stops_none(
    server: StandInRegistry, tmp_path: Path
) -> None:
    of = by_file(schema="", message="")
    (value,) = written(plain())
    payment = b"\x02\x02"  # one index: 1, as zigzag
    registry = SchemaRegistry(server.url, tmp_path)
    decoded = decoder(of, registry)(raw(framed(7, payment, value), framed(7, payment, value)))
    assert (decoded.event_ids, decoded.refused) == (["a", "a"], [])
    server.status = 503
    assert len(decoder(of, SchemaRegistry(server.url, tmp_path))(raw(framed(7, payment, value))).rows) == 1


def test_the_message_may_be_the_first_or_inside_others(server: StandInRegistry, tmp_path: Path) -> None:
    of = msgspec.structs.replace(by_file(schema="", message="", show=("token",)))
    from stream_app.pipeline.formats.readers import values_of

    read = values_of(of.event, ("token",), SchemaRegistry(server.url, tmp_path))
    token = b"\x0a\x01z"
    for places in (b"\0", b"\x04\x02\0", b"\x06\x02\0\0"):  # Card; Holder.Inner; Holder.Inner.Innermost
        assert read(MemoryMessage(framed(8, places, token), 0, AT)) == {"token": "z"}, places
    decoded = decoder(of, SchemaRegistry(server.url, tmp_path))(raw(framed(8, b"\x02\x06", token), framed(8, b"", b"")))
    assert [refusal.code for refusal in decoded.refused] == [RefusalCode.UNKNOWN_SCHEMA, RefusalCode.NOT_PROTOBUF]
    assert "no message at [3]" in decoded.refused[0].sentence


def test_a_registry_that_has_schemas_as_text_alone_is_named(server: StandInRegistry, tmp_path: Path) -> None:
    del server.schemas["7"]["serialized"]
    (value,) = written(plain())
    of = by_file(schema="", message="")
    (refusal,) = decoder(of, SchemaRegistry(server.url, tmp_path))(raw(framed(7, b"\x02\x02", value))).refused
    assert refusal.code == RefusalCode.UNKNOWN_SCHEMA
    assert "name a file in the definition" in refusal.sentence
