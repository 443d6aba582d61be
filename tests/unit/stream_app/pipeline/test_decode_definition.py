"""Records of any shape are decoded as the definition says, to the numbers that training reads from a file."""

from datetime import UTC, datetime
from pathlib import Path

import msgspec
import numpy as np
import polars as pl
import pytest

from models.data.events import encode
from models.data.frame import read
from models.definition import complaints, complete
from models.inputs import categories_of, matrix
from models.manifest import Category
from schemas.definition import Definition, EventFields, Input
from schemas.scoring import RefusalCode
from stream_app.pipeline.batch import Raw
from stream_app.pipeline.decode import Decoder
from stream_app.testing.memory_cluster import MemoryMessage
from stream_app.testing.tiny_model import segments_of
from tests.unit.stream_app.pipeline.rows import raw

ODD = complete(
    Definition(
        "odd",
        EventFields("txn.ref", "txn.ts", "card.token", time_unit="ms"),
        (
            Input("amount", "txn.amount.minor", "EUR", "reject", scale=0.01, least=0),
            Input("risk", "risk-score.v 2", "1"),
            Input("online", "online", kind="flag"),
            Input("country", "shop.country", kind="category"),
            Input("weekend", clock="weekend"),
            Input("night", clock="night"),
        ),
    )
)
CATEGORIES = {"country": Category({"DE": 0.9, "RO": 0.0002, "7": 0.05}, 0.0001)}
SATURDAY_MS = 1_532_152_801_500  # 2018-07-21T06:00:01.500Z
decode = Decoder(ODD, 10_000, categories=CATEGORIES)


def event(**changes: object) -> bytes:
    fields = {
        "txn": {"ref": 42, "ts": SATURDAY_MS, "amount": {"minor": 1999}},
        "card": {"token": "c1"},
        "risk-score": {"v 2": 0.5},
        "online": True,
        "shop": {"country": "RO"},
    } | changes
    return msgspec.json.encode({name: value for name, value in fields.items() if value is not ...})


def test_paths_of_any_depth_whole_numbers_epochs_cents_flags_categories_and_the_clock_are_read() -> None:
    assert not list(complaints(ODD))
    decoded = decode(raw(event()))
    assert decoded.event_ids == ["42"]
    assert decoded.entities == ["c1"]
    assert decoded.event_times == [datetime(2018, 7, 21, 6, 0, 1, 500_000, tzinfo=UTC)]
    np.testing.assert_array_equal(decoded.inputs, np.array([[19.99, 0.5, 1, 0.0002, 1, 1]], dtype=np.float32))
    assert decoded.texts == {3: ["RO"]}


@pytest.mark.parametrize(
    "changes",
    [
        {"risk-score": ..., "online": None, "shop": ...},
        {"risk-score": None, "online": ..., "shop": None},
        {"risk-score": {}, "shop": {"country": None}},
    ],
)
def test_objects_that_may_be_missing_may_be_null_too(changes: dict[str, object]) -> None:
    decoded = decode(raw(event(), event(**changes), event()))
    assert not decoded.refused
    assert np.isnan(decoded.inputs[1, [1, 3]]).all()
    assert not np.isnan(decoded.inputs[[0, 2]]).any()


@pytest.mark.parametrize(
    ("value", "share", "text"),
    [("DE", 0.9, "DE"), ("XX", 0.0001, "XX"), (7, 0.05, "7"), ("x" * 5000, 0.0001, "x" * 5000), ("", np.nan, "")],
)
def test_an_unknown_value_of_a_category_is_rare_and_never_a_refusal(value: object, share: float, text: str) -> None:
    decoded = decode(raw(event(shop={"country": value})))
    np.testing.assert_allclose(decoded.inputs[0, 3], share, rtol=1e-6)
    assert decoded.texts[3] == [text]


REFUSED = {
    "no entity": (event(card=...), RefusalCode.MISSING_FIELD, "`card`"),
    "an entity in a list": (event(card={"token": ["c1"]}), RefusalCode.WRONG_TYPE, "$.card.token"),
    "a negative amount": (
        event(txn={"ref": 1, "ts": SATURDAY_MS, "amount": {"minor": -1}}),
        RefusalCode.OUT_OF_RANGE,
        ">=",
    ),
    "half a flag": (event(online=0.5), RefusalCode.OUT_OF_RANGE, "online is a flag"),
    "seconds for milliseconds": (
        event(txn={"ref": 1, "ts": SATURDAY_MS // 1000, "amount": {"minor": 1}}),
        RefusalCode.IMPLAUSIBLE_TIME,
        'in s it is 2018-07-21 06:00, which the definition says by time_unit = "s"',
    ),
    "a time as text": (
        event(txn={"ref": 1, "ts": "2018-07-28T06:00:00Z", "amount": {"minor": 1}}),
        RefusalCode.WRONG_TYPE,
        "$.txn.ts",
    ),
    "the year 2100": (
        event(txn={"ref": 1, "ts": 4_102_444_800_000, "amount": {"minor": 1}}),
        RefusalCode.IMPLAUSIBLE_TIME,
        "it is not from 1990 to 2099",
    ),
    "no time that a calendar has": (
        event(txn={"ref": 1, "ts": 1e300, "amount": {"minor": 1}}),
        RefusalCode.IMPLAUSIBLE_TIME,
        "cannot be",
    ),
}


@pytest.mark.parametrize("what", REFUSED)
def test_bad_input_costs_only_itself_and_says_what_is_wrong(what: str) -> None:
    value, code, words = REFUSED[what]
    decoded = decode(raw(event(), value, event()))
    assert decoded.rows.tolist() == [0, 2]
    assert not np.isnan(decoded.inputs).any()
    (refusal,) = decoded.refused
    assert (refusal.row, refusal.code) == (1, code), refusal.sentence
    assert words in refusal.sentence


def test_the_sentence_for_a_number_in_place_of_a_time_says_what_to_write() -> None:
    text = Decoder(replace_unit(None), 10_000, categories=CATEGORIES)
    (refusal,) = text(raw(event())).refused
    assert 'time_unit = "ms" under [event]' in refusal.sentence


def replace_unit(unit: str | None) -> Definition:
    return msgspec.structs.replace(ODD, event=msgspec.structs.replace(ODD.event, time_unit=unit))


def test_key_timestamp_and_headers_of_a_record_are_read() -> None:
    of_record = EventFields("$headers.ref", "$timestamp", "$key")
    read_it = Decoder(msgspec.structs.replace(ODD, event=of_record), 10_000, categories=CATEGORIES)
    at = datetime(2018, 7, 28, 6, 0, 1, tzinfo=UTC)
    messages = [
        MemoryMessage(event(), 0, at, headers=[("ref", b"r-1")]),
        MemoryMessage(event(), 1, at),
    ]
    decoded = read_it(Raw([event()] * 2, [0, 0], [0, 1], messages, {0: (0, 2)}))
    assert (decoded.event_ids, decoded.entities, decoded.event_times) == (["r-1"], ["key-0"], [at])
    (refusal,) = decoded.refused
    assert (refusal.row, refusal.code) == (1, RefusalCode.MISSING_FIELD)
    assert "$headers.ref" in refusal.sentence


def test_a_segment_may_be_a_field_inside_another_object_or_one_that_is_an_input() -> None:
    inside = Decoder(ODD, 10_000, segments_of("shop.city", "Rome"), categories=CATEGORIES)
    assert inside(raw(event(shop={"country": "RO", "city": "Rome"}), event())).segments.tolist() == [1, 0]
    same = Decoder(ODD, 10_000, segments_of("shop.country", "RO"), categories=CATEGORIES)
    assert same(raw(event(), event(shop=...))).segments.tolist() == [1, 0]


def test_the_stream_reads_the_bits_that_training_reads_from_a_file(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    rows = 500
    country = rng.choice(["DE", "RO", "AT", ""], rows, p=[0.7, 0.1, 0.15, 0.05])
    lines = [
        event(
            txn={
                "ref": i,
                "ts": SATURDAY_MS + int(rng.integers(4 * 10**8)),
                "amount": {"minor": int(rng.integers(10**6))},
            },
            shop={"country": str(country[i])},
            online=bool(rng.random() < 0.5),
            **({"risk-score": {"v 2": float(rng.normal())}} if i % 7 else {"risk-score": None}),
        )
        for i, (late, minor) in enumerate(rng.integers((4 * 10**8, 10**6), size=(rows, 2)).tolist())
    ]
    (tmp_path / "odd.jsonl").write_bytes(b"\n".join(lines))
    frame = read(tmp_path / "odd.jsonl", definition=ODD)
    categories = categories_of(frame, ODD.inputs)
    decoded = Decoder(ODD, 10_000, categories=categories)(raw(*(value for _, value, _ in encode(frame, ODD))))
    assert not decoded.refused
    assert decoded.event_ids == frame["event_id"].to_list()
    assert decoded.event_times == frame["event_time"].to_list()
    np.testing.assert_array_equal(decoded.inputs, matrix(frame, ODD.inputs, categories))
    as_published = Decoder(ODD, 10_000, categories=categories)(raw(*lines))
    order = np.argsort(np.array([frame["event_id"].to_list().index(i) for i in as_published.event_ids]))
    np.testing.assert_array_equal(as_published.inputs[order], decoded.inputs)
    assert frame.filter(pl.col("country") == "")["country"].len() == (country == "").sum()
