"""A record in Avro is read to the same bits as the same values in JSON, whatever its writer's schema."""

import io
import json
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import fastavro
import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.definition import complete, in_json
from models.manifest import Category
from schemas.definition import Definition, EventFields, Input
from schemas.scoring import RefusalCode
from stream_app.pipeline.batch import Decoded
from stream_app.pipeline.decode import Decoder
from stream_app.pipeline.formats.outcomes import RecordsError
from stream_app.testing.tiny_model import segments_of
from tests.unit.stream_app.pipeline.rows import raw

INPUTS = (
    Input("amount", "txn.amount", "EUR", "reject", scale=0.01, least=0, most=1e6),
    Input("risk", "features.risk"),
    Input("age", "features.age", least=-5),
    Input("online", "online", kind="flag"),
    Input("country", "shop.country", kind="category"),
    Input("channel", "channel", kind="category", missing="reject"),
)
CATEGORIES = {"country": Category({"DE": 0.9, "7": 0.05}, 0.0001), "channel": Category({"web": 0.5}, 0.001)}
SEGMENTS = segments_of("city", "Rome", "7")
AT_MS = 1_532_152_801_500


def definition(schema: object, **event: Any) -> Definition:
    fields = {"time_unit": "ms", "format": "avro", "schema": json.dumps(schema)} | event
    return complete(Definition("odd", EventFields("txn.ref", "txn.ts", "card.token", **fields), INPUTS))


def decoder(of: Definition) -> Decoder:
    return Decoder(of, 10_000, SEGMENTS, categories=CATEGORIES)


def record(name: str, **fields: object) -> dict[str, Any]:
    return {"type": "record", "name": name, "fields": [{"name": key, "type": kind} for key, kind in fields.items()]}


def written(schema: Any, *events: object) -> list[bytes]:
    parsed, values = fastavro.parse_schema(json.loads(json.dumps(schema))), []
    for event in events:
        buffer = io.BytesIO()
        fastavro.schemaless_writer(buffer, parsed, event)
        values.append(buffer.getvalue())
    return values


PLAIN = record(
    "Payment",
    txn=record("Txn", ref="string", ts="long", amount="long"),
    card=record("Card", token="string"),
    channel="string",
)


def plain(**changes: object) -> dict[str, Any]:
    return {"txn": {"ref": "a", "ts": AT_MS, "amount": 5}, "card": {"token": "c"}, "channel": "web"} | changes


# Types that a value may have, and its values as Avro and as JSON have them.
INTEGER = st.integers(-(2**31), 2**31 - 1)
NUMBERS: dict[str, tuple[Any, st.SearchStrategy[Any]]] = {
    "double": ("double", st.floats(allow_nan=False, allow_infinity=False, width=64)),
    "float": ("float", st.floats(allow_nan=False, allow_infinity=False, width=32)),
    "int": ("int", INTEGER),
    "long": ("long", st.integers(-(2**63), 2**63 - 1)),
    "null or double": (["null", "double"], st.none() | st.floats(allow_nan=False, allow_infinity=False)),
    "long or nothing": (["long", "null"], st.none() | st.integers(-(10**15), 10**15)),
    "text": ("string", st.text(max_size=5)),
    "truth": ("boolean", st.booleans()),
    "nothing": ("null", st.none()),
    "list": ({"type": "array", "items": "int"}, st.lists(INTEGER, max_size=3)),
    "map": ({"type": "map", "values": "int"}, st.dictionaries(st.text(max_size=3), INTEGER, max_size=3)),
    "decimal": (
        {"type": "bytes", "logicalType": "decimal", "precision": 12, "scale": 2},
        st.decimals(-(10**7), 10**7, places=2),
    ),
}
TEXTS: dict[str, tuple[Any, st.SearchStrategy[Any]]] = {
    "string": ("string", st.text(max_size=6)),
    "null or string": (["null", "string"], st.none() | st.text(max_size=6)),
    "enum": (
        {"type": "enum", "name": "Unset", "symbols": ["web", "DE", "Rome"]},
        st.sampled_from(["web", "DE", "Rome"]),
    ),
    "int or string": (["int", "string"], INTEGER | st.text(max_size=6)),
    "long": ("long", st.integers(-(2**63), 2**63 - 1)),
    "double": ("double", st.floats(allow_nan=False, allow_infinity=False)),
    "truth": ("boolean", st.booleans()),
}
OTHERS: dict[str, tuple[Any, st.SearchStrategy[Any]]] = (
    NUMBERS
    | TEXTS
    | {
        "fixed": ({"type": "fixed", "name": "Unset", "size": 3}, st.just(b"abc")),
        "records": (
            {"type": "array", "items": record("Unset", x="string", y=["null", "double"])},
            st.just([{"x": "1", "y": None}, {"x": "", "y": 1.5}]),
        ),
        "tree": (
            record("Unset", below={"type": "array", "items": "Unset"}),
            st.just({"below": [{"below": []}, {"below": [{"below": []}]}]}),
        ),
    }
)


def _renamed(kind: Any, name: str) -> Any:
    return json.loads(json.dumps(kind).replace("Unset", name))


@st.composite
def events(draw: st.DrawFn) -> tuple[Any, list[Any]]:
    """A schema that has the paths of the definition somewhere, and some records of it."""
    count = iter(range(1000))

    def one(kinds: dict[str, Any]) -> tuple[Any, Any]:
        kind, values = kinds[draw(st.sampled_from(sorted(kinds)))]
        return _renamed(kind, f"N{next(count)}"), values

    def inside(named: dict[str, Any]) -> tuple[Any, Any]:
        """As a record, that may be missing, with something else among its fields."""
        for _ in range(draw(st.integers(0, 2))):
            named[f"other{next(count)}"] = one(OTHERS)
        order = draw(st.permutations(sorted(named)))
        kind = record(f"N{next(count)}", **{name: named[name][0] for name in order})
        values = st.fixed_dictionaries({name: named[name][1] for name in order})
        if draw(st.booleans()):
            return ["null", kind], st.none() | values
        return kind, values

    if draw(st.booleans()):
        features = inside({"risk": one(NUMBERS), "age": one(NUMBERS)})
    else:
        features = (
            {"type": "map", "values": ["null", "double"]},
            st.dictionaries(st.sampled_from(["risk", "age", "riskier", "r", ""]), st.none() | st.floats(-10, 10)),
        )
    times = "long", st.integers(AT_MS, AT_MS + 10**9)
    ids = {name: TEXTS[name] for name in ("string", "int or string", "long", "null or string")}
    top = {
        "txn": inside({"ref": one(ids), "ts": times, "amount": one(NUMBERS)}),
        "card": inside({"token": one(ids)}),
        "features": features,
        "online": one({name: NUMBERS[name] for name in ("truth", "int", "null or double")}),
        "shop": inside({"country": one(TEXTS)}),
        "channel": one(TEXTS),
        "city": one(TEXTS),
    }
    order = draw(st.permutations(sorted(top)))
    schema = record("Top", **{name: top[name][0] for name in order})
    values = st.fixed_dictionaries({name: top[name][1] for name in order})
    return schema, draw(st.lists(values, min_size=1, max_size=6))


def _for_json(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _for_json(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_for_json(inner) for inner in value]
    return float(value) if isinstance(value, Decimal) else value.hex() if isinstance(value, bytes) else value


def fates(decoded: Decoded, count: int) -> list[tuple[Any, ...]]:
    """What became of each record."""
    found: dict[int, tuple[Any, ...]] = {refusal.row: ("refused",) for refusal in decoded.refused}
    for place, row in enumerate(decoded.rows.tolist()):
        texts = tuple(column[place] for column in decoded.texts.values())
        identity = decoded.event_ids[place], decoded.entities[place], decoded.event_times[place]
        found[row] = (*identity, decoded.inputs[place].tobytes(), int(decoded.segments[place]), texts)
    return [found[row] for row in range(count)]


@given(events())
def test_a_record_is_read_to_the_same_bits_as_the_same_values_in_json(drawn: tuple[Any, list[Any]]) -> None:
    schema, some = drawn
    of = definition(schema)
    from_avro = decoder(of)(raw(*written(schema, *some)))
    lines = [msgspec.json.encode(_for_json(event)) for event in some]
    from_json = decoder(in_json(of))(raw(*lines))
    assert fates(from_avro, len(some)) == fates(from_json, len(some))


@given(st.lists(st.binary(max_size=60), max_size=4), st.integers(0, 40), st.integers(0, 255))
def test_whatever_the_bytes_a_record_costs_only_itself(others: list[bytes], place: int, byte: int) -> None:
    schema = PLAIN | {
        "fields": [
            *PLAIN["fields"],
            {"name": "more", "type": {"type": "map", "values": ["null", {"type": "array", "items": "string"}]}},
        ]
    }
    (good,) = written(schema, plain(more={"a": None, "b": ["x", "y"]}))
    damaged = bytearray(good)
    damaged[place % len(good)] = byte
    values = [good, *others, bytes(damaged), good[:-1], good + b"\0", good]
    read = decoder(definition(schema))
    together = read(raw(*values))
    assert {0, len(values) - 1} <= set(together.rows.tolist())
    assert {len(values) - 3, len(values) - 2} <= {refusal.row for refusal in together.refused}
    assert fates(together, len(values)) == [fate for value in values for fate in fates(read(raw(value)), 1)]


@pytest.mark.parametrize(
    ("kind", "factor"), [("timestamp-millis", 1000), ("timestamp-micros", 1), ("timestamp-nanos", 1)]
)
def test_a_timestamp_is_a_time_without_a_unit_in_the_definition(kind: str, factor: int) -> None:
    at = datetime(2018, 7, 21, 6, 0, 1, 500_000, UTC)
    ticks = AT_MS * (1000 // factor) * (1000 if kind.endswith("nanos") else 1)
    schema = json.loads(json.dumps(PLAIN).replace('"ts", "type": "long"', '"ts", "type": ["null", "long"]'))
    named = json.loads(
        json.dumps(PLAIN).replace(
            '"ts", "type": "long"', f'"ts", "type": ["null", {{"type": "long", "logicalType": "{kind}"}}]'
        )
    )
    values = written(schema, *(plain(txn={"ref": "a", "ts": ts, "amount": 5}) for ts in (ticks, None, 2**62)))
    decoded = decoder(definition(named, time_unit=None))(raw(*values))
    assert decoded.event_times == [at]
    codes = {refusal.row: refusal.code for refusal in decoded.refused}
    assert codes == {1: RefusalCode.MISSING_FIELD, 2: RefusalCode.IMPLAUSIBLE_TIME}
    # with a unit, the number counts, and a wrong one is named
    wrong = decoder(definition(named, time_unit="s"))(raw(values[0]))
    if kind == "timestamp-millis":
        assert 'time_unit = "ms"' in wrong.refused[0].sentence


def test_a_number_in_place_of_a_time_and_a_record_in_place_of_a_number_are_refused_by_name() -> None:
    (value,) = written(PLAIN, plain())
    (refusal,) = decoder(definition(PLAIN, time_unit=None))(raw(value)).refused
    assert "$.txn.ts" in refusal.sentence
    assert 'time_unit = "ms" under [event]' in refusal.sentence
    odd = record(
        "P",
        txn=record("T", ref="string", ts="long", amount=record("A", x="int")),
        card=PLAIN["fields"][1]["type"],
        channel="string",
    )
    (value,) = written(odd, plain(txn={"ref": "a", "ts": AT_MS, "amount": {"x": 1}}))
    (refusal,) = decoder(definition(odd))(raw(value)).refused
    assert (refusal.code, refusal.sentence) == (
        RefusalCode.WRONG_TYPE,
        "Expected `float`, got `object` - at `$.txn.amount`",
    )


def test_nan_is_a_missing_value_and_infinity_is_out_of_range() -> None:
    schema = PLAIN | {"fields": [*PLAIN["fields"], {"name": "features", "type": record("F", risk="double")}]}
    values = written(schema, *(plain(features={"risk": risk}) for risk in (float("nan"), float("inf"), 1.5)))
    decoded = decoder(definition(schema))(raw(*values))
    np.testing.assert_array_equal(decoded.inputs[:, 1], [np.nan, 1.5])
    assert [(refusal.row, refusal.code) for refusal in decoded.refused] == [(1, RefusalCode.OUT_OF_RANGE)]


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (b"\x02", "it ends before its last field"),
        (b"{", "a text in it has a negative length"),
        (b"\xff" * 11, "an integer in it has more than 64 bits"),
        (b"\x02\xff" + b"\0" * 10, ""),
    ],
)
def test_what_is_not_of_the_schema_is_refused_with_the_reason(value: bytes, words: str) -> None:
    (refusal,) = decoder(definition(PLAIN))(raw(value)).refused
    assert refusal.code == RefusalCode.NOT_AVRO
    assert words in refusal.sentence


def test_lists_without_end_and_without_bottom_are_refused_at_once() -> None:
    nulls = PLAIN | {"fields": [{"name": "more", "type": {"type": "array", "items": "null"}}, *PLAIN["fields"]]}
    (refusal,) = decoder(definition(nulls))(raw(b"\xfe\xff\xff\xff\xff\xff\xff\xff\xff\x01\0")).refused
    assert "more items than the record has bytes" in refusal.sentence
    tree = PLAIN | {"fields": [{"name": "more", "type": record("Tree", below=["null", "Tree"])}, *PLAIN["fields"]]}
    (refusal,) = decoder(definition(tree))(raw(b"\x02" * 5000)).refused
    assert refusal.code == RefusalCode.TOO_DEEP


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{", "is no JSON"),
        ('{"type": "record"}', "no Avro schema"),
        ('{"type": "record", "name": "P", "fields": [{"name": "x", "type": "Unheard"}]}', "Unheard"),
        ('{"type": "array", "items": ' * 5000 + '"int"' + "}" * 5000, "too deeply"),
        ("[" * 100_000, "too deeply"),
    ],
)
def test_a_schema_that_is_none_is_refused_before_any_record(text: str, words: str) -> None:
    of = definition(PLAIN)
    broken = msgspec.structs.replace(of, event=msgspec.structs.replace(of.event, schema=text))
    with pytest.raises(RecordsError, match=words) as refused:
        decoder(broken)
    assert "[event], field schema" in str(refused.value)
