"""Records as lines: what a person must see is there, and nothing that a stranger wrote commands the terminal."""

import json
import typing
from datetime import UTC, datetime

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.drift import DriftAlert, DriftSeverity, SignalShift, StatisticKind
from schemas.rollout import Rollback
from schemas.scoring import Anomaly, DeadLetter, Label, ModelRef, Reason, RefusalCode, Severity, Source, Usual
from schemas.topics import ANOMALIES, DEAD_LETTERS, DRIFT_ALERTS, LABELS, MODEL_SWAP, OF_JSON, TRANSACTIONS
from stream_app.cli.readable import LONGEST_LINE, Reader, as_json_line
from tests.contract.records import records

AT = datetime(2018, 7, 25, 10, 30, tzinfo=UTC)
SOURCE = Source("transactions", 3, 118204)
MODEL = ModelRef("card-fraud", "7", "a" * 64)


def anomaly(**changes):
    fields = {
        "anomaly_id": "transactions:3:118204",
        "event_id": "4782313",
        "entity": "596",
        "event_time": AT,
        "scored_at": AT,
        "score": 41.7,
        "threshold": 12.9,
        "p_value": 0.0007,
        "severity": Severity.HIGH,
        "explanation": [
            Reason("terminal_risk_7d", 0.62, -0.0001281, 0.71, "share"),
            Reason("amount", None, 50.0, 0.2, "EUR", Usual(40.0, 77.0, "30d")),
        ],
        "model": MODEL,
        "source": SOURCE,
        "fields": {"amount": 57.16, "online": True},
    }
    return msgspec.json.encode(Anomaly(**{**fields, **changes}))


def test_an_anomaly_is_one_line_with_its_reasons():
    line = Reader(ANOMALIES).line(anomaly())
    known = "event 4782313  entity 596  amount 57.16  online yes"
    for part in ("2018-07-25 10:30:00", "high", "41.7", "12.9", known, "card-fraud 7"):
        assert part in line
    why = (
        "terminal_risk_7d 62 %, the model expects 0 % of such an event (71%); "
        "amount missing, usually 40 to 77 (30 days), the model expects 50 of such an event (20%)"
    )
    assert why in line


def test_a_dead_letter_says_what_was_wrong_and_shows_the_record():
    letter = DeadLetter(
        "transactions:3:118204", RefusalCode.NOT_JSON, "not JSON", SOURCE, AT, AT, None, b"<xml>\x1b[2J", 10, []
    )
    line = Reader(DEAD_LETTERS).line(msgspec.json.encode(letter))
    assert "not_json" in line
    assert "transactions:3:118204" in line
    assert "<xml>" in line
    assert "\x1b" not in line


def test_a_label_says_fraud_or_legitimate():
    line = Reader(LABELS).line(msgspec.json.encode(Label("4782313", True, AT)))
    assert line.endswith("event 4782313  fraud")


def test_a_producer_cannot_write_on_the_screen_of_an_analyst():
    line = Reader(ANOMALIES).line(anomaly(entity="\x1b]0;owned\x07\n596"))
    assert line.isprintable()


@pytest.mark.parametrize("topic", OF_JSON, ids=lambda topic: topic.name)
def test_what_is_not_of_the_topic_is_shown_and_not_refused(topic):
    assert "nonsense" in Reader(topic).line(b"nonsense \xff\x00")
    assert Reader(topic).line(None) == "(empty record)"


@given(st.binary(max_size=300), st.sampled_from(OF_JSON))
def test_no_bytes_break_a_reader(value, topic):
    assert Reader(topic).line(value).isprintable()
    json.loads(as_json_line(value))


@given(st.data())
def test_every_valid_record_of_every_topic_is_one_readable_line(data):
    topic = data.draw(st.sampled_from(OF_JSON))
    types = typing.get_args(topic.record) or (topic.record,)
    record = data.draw(records(data.draw(st.sampled_from(types))))
    line = Reader(topic).line(msgspec.json.encode(record))
    assert line.isprintable()
    assert "not what this topic holds" not in line


def test_json_is_the_value_itself_on_one_line():
    assert as_json_line(b'{"a": 1,\n "b": null}') == '{"a":1,"b":null}'
    assert as_json_line(None) == "null"
    assert json.loads(as_json_line(b"\xff")) == {"not_json_base64": "/w=="}


def test_an_event_is_shown_as_its_producer_wrote_it():
    assert Reader(TRANSACTIONS).line(b'{"txn": {"amount": 57.16}}') == '{"txn": {"amount": 57.16}}'
    assert Reader(TRANSACTIONS).line(b"\x00\xff<xml>").endswith("<xml>")
    assert Reader(TRANSACTIONS).line(b"\x1b[2J").isprintable()


def test_a_text_without_end_is_cut_for_people_and_whole_as_json():
    endless = Rollback(command_id="c1", issuer="ann", issued_at=AT, reason="x" * 1_000_000)
    line = Reader(MODEL_SWAP).line(msgspec.json.encode(endless))
    assert len(line) < LONGEST_LINE + 50
    assert line.endswith("characters more")
    assert Reader(TRANSACTIONS).line(b"y" * LONGEST_LINE) == "y" * LONGEST_LINE
    assert "x" * 1_000_000 in as_json_line(msgspec.json.encode(endless))


def test_a_command_says_what_who_and_why():
    command = Rollback(command_id="c1", issuer="ann", issued_at=AT, reason="too many alerts")
    assert "rollback  by ann  too many alerts" in Reader(MODEL_SWAP).line(msgspec.json.encode(command))


def test_a_drift_alert_says_what_moved_how_far_and_what_to_do():
    shift = SignalShift("input:amount", StatisticKind.MEAN, 1.5, 0, 1, 0.3)
    alert = DriftAlert(
        "1",
        AT,
        AT,
        {},
        DriftSeverity.WARNING,
        [shift],
        "amounts doubled",
        "ask the producer",
        False,
        0.1,
        0.5,
        9,
        MODEL,
    )
    line = Reader(DRIFT_ALERTS).line(msgspec.json.encode(alert))
    assert "input:amount +1.50 sd.  amounts doubled  ask the producer" in line
