"""Events say what the frame says, in the contract's words, and nothing of the labels."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl

from models.data.drift import Drift, DriftKind
from models.data.events import CHUNK_ROWS, encode, labels
from models.data.frame import read
from models.data.windows import FEATURES
from models.definition import find
from schemas.scoring import Label
from stream_app.replay.event import EventReader
from stream_app.testing.memory_cluster import MemoryMessage


def test_an_event_has_the_shape_of_the_design(week: pl.DataFrame) -> None:
    row = week.row(0, named=True)
    key, value, at_ms = next(encode(week))
    assert json.loads(value) == {
        "transaction_id": row["event_id"],
        "event_time": row["event_time"].strftime("%Y-%m-%dT%H:%M:%SZ"),
        "customer_id": row["entity"],
        "terminal_id": row["terminal_id"],
        "amount": row["amount"],
        "currency": "EUR",
        "country": row["country"],
        "features": {name: row[name] for name in FEATURES},
    }
    assert key == row["entity"].encode()
    assert at_ms == round(row["event_time"].timestamp() * 1000)
    assert b'"during_weekend":0.0' in value  # a float, for readers that tell the two apart


def test_every_row_becomes_one_event_with_its_values(week: pl.DataFrame) -> None:
    events = [json.loads(value) for _, value, _ in encode(week)]
    assert len(events) == week.height > CHUNK_ROWS
    assert [event["transaction_id"] for event in events] == week["event_id"].to_list()
    assert [datetime.fromisoformat(event["event_time"]) for event in events] == week["event_time"].to_list()
    assert [event["amount"] for event in events] == week["amount"].to_list()
    for name in FEATURES:
        assert [event["features"][name] for event in events] == week[name].to_list()


def test_columns_of_text_beyond_the_layout_are_fields_where_they_have_a_value(week: pl.DataFrame) -> None:
    rows = week.head(2).with_columns(channel=pl.Series(["", "web"]), currency=pl.lit("CHF"), rank=pl.lit(1))
    assert [
        {name: json.loads(value).get(name) for name in ("channel", "currency", "rank")} for _, value, _ in encode(rows)
    ] == [{"channel": None, "currency": "CHF", "rank": None}, {"channel": "web", "currency": "CHF", "rank": None}]


def test_labels_are_never_in_an_event(week: pl.DataFrame) -> None:
    assert not any(b"fraud" in value or b"scenario" in value for _, value, _ in encode(week))


def test_a_missing_feature_is_left_out_and_the_others_stay(week: pl.DataFrame) -> None:
    at = datetime(2024, 3, 5, tzinfo=UTC)
    holed = Drift(DriftKind.FEATURE_PARTLY_MISSING, at, "terminal_risk_7d").apply(week)
    events = [json.loads(value)["features"] for _, value, _ in encode(holed)]
    assert ["terminal_risk_7d" not in features for features in events] == holed["terminal_risk_7d"].is_nan().to_list()
    assert {len(features) for features in events} == {len(FEATURES), len(FEATURES) - 1}


def test_fractions_of_a_second_are_kept(week: pl.DataFrame) -> None:
    moment = datetime(2024, 3, 4, 1, 2, 3, 45_600, tzinfo=UTC)
    frame = week.head(1).with_columns(event_time=pl.lit(moment).cast(pl.Datetime("us", "UTC")))
    _, value, at_ms = next(encode(frame))
    assert datetime.fromisoformat(json.loads(value)["event_time"]) == moment
    assert at_ms % 1000 == 45


def test_nothing_becomes_of_a_transaction_whose_label_is_not_known(week: pl.DataFrame) -> None:
    known = week["fraud"] | (pl.int_range(week.height, eager=True) % 3 == 0)
    told = list(labels(week.with_columns(fraud=pl.when(known).then(pl.col("fraud")))))
    assert [label.event_id for label in told] == week.filter(known)["event_id"].to_list()


def test_labels_come_a_week_after_the_transaction_with_the_scenario_of_a_fraud(week: pl.DataFrame) -> None:
    told = list(labels(week))
    assert [label.fraud for label in told] == week["fraud"].to_list()
    assert [label.scenario for label in told] == [scenario or None for scenario in week["fraud_scenario"]]
    event, entity, at = week.select("event_id", "entity", "event_time").row(0)
    assert told[0] == Label(event, False, at + timedelta(days=7), entity=entity, event_time=at)
    assert next(labels(week, delay=timedelta(0))).labelled_at == week["event_time"][0]


def test_a_scenario_that_is_no_whole_number_is_none(week: pl.DataFrame) -> None:
    fractions = week.with_columns(fraud_scenario=pl.lit(1.7), fraud=pl.lit(value=True))
    assert {label.scenario for label in labels(fractions)} == {None}


def test_a_label_names_the_entities_that_windows_of_labels_are_of(tmp_path: Path) -> None:
    rows = {"transaction_id": ["1", "2"], "event_time": ["2018-07-01T00:00:00Z"] * 2, "customer_id": [7, 8]}
    rows |= {"terminal_id": [77, None], "amount": [1.0, 2.0], "fraud": [1, 0]}
    pl.DataFrame(rows).write_parquet(tmp_path / "raw.parquet")
    definition = find("cards-raw")
    frame = read(tmp_path / "raw.parquet", definition=definition, published=True)
    assert definition.labelled == ("terminal_id",)
    assert [label.entities for label in labels(frame, definition)] == [{"terminal_id": "77"}, {}]
    assert [label.entities for label in labels(frame)] == [{}, {}]


def test_an_event_of_the_stream_names_them_too_for_its_label() -> None:
    at = datetime(2018, 7, 1, tzinfo=UTC)
    event = {"transaction_id": "1", "event_time": at, "customer_id": "7", "terminal_id": 77, "amount": 1.0}
    found = EventReader(find("cards-raw"))(MemoryMessage(json.dumps(event, default=datetime.isoformat).encode()))
    assert found is not None
    assert found.entities == {"terminal_id": "77"}
