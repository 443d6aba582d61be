"""Output records: what stands in them, what is left out because no topic would take it, and a full queue."""

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pytest
from confluent_kafka import KafkaError

from schemas.rollout import ModelStatus, Phase
from schemas.scoring import Anomaly, DeadLetter, Latent, RefusalCode, Score
from stream_app.pipeline.batch import Decided, Raw
from stream_app.pipeline.commit import DeliveryFailures
from stream_app.pipeline.decode import Decoder
from stream_app.pipeline.emit import DEAD_LETTER_VALUE_MAX, LEAST_SHARE, Emitter, Outputs, reasons
from stream_app.pipeline.explain import explain
from stream_app.pipeline.faults import PipelineFailed
from stream_app.pipeline.score import score
from stream_app.testing.memory_cluster import MemoryMessage
from stream_app.testing.memory_kafka import MemoryKafka, assign, error
from stream_app.testing.tiny_model import DEFINITION
from tests.unit.stream_app.pipeline.rig import STRANGE, USUAL, Rig, served
from tests.unit.stream_app.pipeline.rows import encoded, raw

NOW = datetime(2026, 1, 1, tzinfo=UTC)
OUTPUTS = Outputs(
    "transactions",
    "anomalies",
    "dead-letters",
    "drift-summaries",
    "comparisons",
    "model-status",
    "window-state",
    "window-totals",
    None,
    None,
)


def emitter(kafka: MemoryKafka, outputs: Outputs) -> Emitter:
    return Emitter(kafka.producer(None, on_delivery=DeliveryFailures()), outputs, "topic-1", lambda: NOW)


def emitted(first, taken: Raw, outputs: Outputs = OUTPUTS) -> MemoryKafka:
    """What is published of a batch that the first model decides."""
    kafka, serving = MemoryKafka(), served(first)
    decoded, scored = score(first[0], Decoder(DEFINITION, 20_000_000)(taken))
    decided = Decided(serving, decoded, scored)
    emitter(kafka, outputs).outcomes(taken, decided, explain(scored, first[0].manifest.calibration, 2))
    return kafka


def letter(first, **changes: Any) -> DeadLetter:
    """The dead letter of one bad record, some of whose parts are special."""
    message = MemoryMessage(changes.pop("value", b"bad"))
    for name, found in changes.items():
        setattr(message, name, found)
    taken = Raw([message.value()], [0], [0], [message], {0: (0, 1)})
    (found,) = emitted(first, taken).records("dead-letters", DeadLetter)
    return found


def test_an_anomaly_says_what_it_is_why_and_by_which_model(rig: Rig, first) -> None:
    rig.kafka.publish(2, USUAL, encoded(amount=4.0, transaction_id="t9", customer_id="c7"))
    rig.run(assign(2), rig.later(0.1))
    (anomaly,) = rig.anomalies
    assert (anomaly.event_id, anomaly.entity, anomaly.score, anomaly.threshold) == ("t9", "c7", 16.0, 10.0)
    assert (anomaly.model, anomaly.anomaly_id) == (first[1], str(anomaly.source))
    assert (anomaly.source.topic, anomaly.source.partition, anomaly.source.offset) == ("transactions", 2, 1)
    assert anomaly.event_time == datetime(2018, 7, 25, 0, 0, 31, tzinfo=UTC)
    assert [(r.feature, r.value, r.expected, r.share) for r in anomaly.explanation] == [("amount", 4.0, 0.0, 1.0)]
    assert anomaly.explanation[0].unit == "EUR"


@pytest.mark.parametrize(
    ("foreign", "carried"),
    [(7, 7), (False, False), (None, ...), ({"deep": [1]}, ...), ("x" * 300, "x" * 256), (10**30, ...), (..., ...)],
)
def test_an_anomaly_carries_the_fields_that_the_definition_shows_as_received(first, foreign, carried) -> None:
    known, bare = raw(encoded(amount=4.0)), raw(encoded(amount=4.0, terminal_id=foreign, currency=foreign))
    (anomaly,) = emitted(first, known).records("anomalies", Anomaly)
    assert anomaly.fields == {"amount": 4.0, "currency": "EUR", "terminal_id": "3156"}
    (anomaly,) = emitted(first, bare).records("anomalies", Anomaly)
    assert anomaly.fields == {"amount": 4.0} | ({} if carried is ... else {"currency": carried, "terminal_id": carried})


@pytest.mark.parametrize("foreign", [b"1e400", b"9" * 5000, b"[" * 500 + b"]" * 500], ids=lambda value: value[:5])
def test_a_field_that_no_model_reads_ends_nothing_whatever_it_holds(first, foreign: bytes) -> None:
    value = encoded(amount=4.0, terminal_id="X").replace(b'"X"', foreign)
    (anomaly,) = emitted(first, raw(value)).records("anomalies", Anomaly)
    assert anomaly.fields == {"amount": 4.0, "currency": "EUR"}


def test_an_input_that_hardly_contributes_is_no_reason_and_a_missing_one_has_no_value(first) -> None:
    taken = raw(encoded(amount=9.95, features={"terminal_risk_7d": 0.9}), encoded(amount=5.0, features={}))
    decoded, scored = score(first[0], Decoder(DEFINITION, 10_000)(taken))
    found = explain(scored, first[0].manifest.calibration, 2)
    decided = Decided(served(first), decoded, scored)
    assert found.shares[0, 1] < LEAST_SHARE
    assert [reason.feature for reason in reasons(0, 0, decided, found)] == ["amount"]
    missing = replace(decoded, inputs=np.full_like(decoded.inputs, np.nan))
    assert [reason.value for reason in reasons(1, 1, replace(decided, decoded=missing), found)] == [None]


def test_scores_and_latents_are_published_where_they_are_switched_on_each_with_its_own_record(first) -> None:
    taken = raw(USUAL, b"bad", STRANGE)
    on = replace(OUTPUTS, scores="scores", latents="latents")
    kafka = emitted(first, taken, on)
    assert [(s.source.offset, s.score) for s in kafka.records("scores", Score)] == [(0, 1.0), (2, 16.0)]
    assert [(s.source.offset, s.latent) for s in kafka.records("latents", Latent)] == [(0, [1.0]), (2, [16.0])]
    assert {*emitted(first, taken).visible} == {"anomalies", "dead-letters"}


def test_a_dead_letter_has_the_original_bytes_and_where_they_came_from(first) -> None:
    found = letter(
        first, timestamp=lambda: (1, 1_700_000_000_000), headers=lambda: [("trace", b"\xff"), ("none", None)]
    )
    assert (found.value, found.value_size, found.key, found.code) == (b"bad", 3, b"key-0", RefusalCode.NOT_JSON)
    assert found.headers == [("trace", b"\xff"), ("none", None)]
    assert (found.produced_at, found.refused_at) == (datetime.fromtimestamp(1_700_000_000, UTC), NOW)
    assert letter(first, value=None).value is None


@pytest.mark.parametrize("stamp", [(0, 5), (1, 10**18), (1, -(10**18))])
def test_a_time_that_is_missing_or_no_date_is_left_out(first, stamp: tuple[int, int]) -> None:
    assert letter(first, timestamp=lambda: stamp).produced_at is None


def test_headers_that_the_client_cannot_read_are_left_out_with_a_remark(first) -> None:
    def unreadable() -> None:
        raise UnicodeDecodeError("utf-8", b"\xff", 0, 1, "invalid start byte")

    found = letter(first, headers=unreadable)
    assert (found.headers, found.value) == ([], b"bad")
    assert "a name among them is not UTF-8" in found.reason


def test_of_a_record_larger_than_any_topic_takes_the_letter_holds_the_beginning(first) -> None:
    found = letter(first, value=b"x" * (DEAD_LETTER_VALUE_MAX + 1))
    assert (len(found.value), found.value_size) == (DEAD_LETTER_VALUE_MAX, DEAD_LETTER_VALUE_MAX + 1)


def test_key_and_headers_that_no_topic_takes_are_left_out_with_a_remark(first) -> None:
    found = letter(first, headers=lambda: [("h", b"x" * 13_000_000)])
    assert (found.key, found.headers, found.value) == (None, [], b"bad")
    assert "together they are too large" in found.reason


def test_a_full_queue_is_waited_for_and_loses_nothing(rig: Rig) -> None:
    rig.kafka.publish(0, STRANGE, STRANGE)
    rig.kafka.faults["produce"].extend([None, BufferError(), BufferError(), None, BufferError()])
    rig.run(assign(0), rig.later(0.1))
    assert rig.places == ["0@0", "0@1"]
    assert not rig.kafka.faults["produce"]


def test_an_error_of_a_write_names_the_topic() -> None:
    kafka = MemoryKafka()
    kafka.faults["produce"].append(error(KafkaError.TOPIC_AUTHORIZATION_FAILED))
    with pytest.raises(PipelineFailed, match="writing to model-status"):
        emitter(kafka, OUTPUTS).status(ModelStatus(worker="w1", phase=Phase.APPLIED, at=NOW))
