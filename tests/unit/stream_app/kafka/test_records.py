"""One decoder for what stands on topics, and one reading of timestamps: bounded, told, counted, never raising."""

import logging
from datetime import UTC, datetime

import pytest

from schemas.scoring import Label
from schemas.topics import OF_JSON, TRANSACTIONS, Topic
from stream_app.kafka.records import RecordDecoder, Unreadable, moment_of
from tests.unit.stream_app.poison import NOON_MS, NOTHING_A_TOPIC_HOLDS, examples, poisoned

LABEL = b'{"event_id": "t1", "fraud": true, "labelled_at": "2026-03-01T00:00:00Z"}'


@pytest.mark.parametrize("topic", [t for t in OF_JSON if t is not TRANSACTIONS], ids=lambda topic: topic.name)
@pytest.mark.parametrize("what", NOTHING_A_TOPIC_HOLDS)
def test_what_no_topic_holds_is_refused_with_a_reason(topic: Topic, what: str) -> None:
    found = RecordDecoder[object](topic.record).decoded(NOTHING_A_TOPIC_HOLDS[what])
    assert isinstance(found, Unreadable)
    assert found.reason


@pytest.mark.parametrize("topic", OF_JSON, ids=lambda topic: topic.name)
def test_what_a_topic_holds_is_read(topic: Topic) -> None:
    good = [poisoned(topic.name, value) for value in examples(topic)]
    assert len(list(RecordDecoder[object](topic.record).each(good))) == len(good) > 0


def test_each_record_that_is_passed_over_is_counted_and_of_many_only_some_are_told(caplog) -> None:
    counted: list[str] = []
    decoder = RecordDecoder[Label](Label, counted.append)
    records = [poisoned("labels", b"x" if place % 2 else LABEL, place) for place in range(260)]
    with caplog.at_level(logging.WARNING):
        assert len([label for _, label in decoder.each(records)]) == 130
    assert counted == ["labels"] * 130
    told = [record.message for record in caplog.records]
    assert told[0] == (
        "labels, partition 0, offset 1: not what this topic holds, and passed over: "
        "JSON is malformed: invalid character (byte 0)"
    )
    assert len(told) == 7
    assert "(100 records so far)" in told[-1]


def test_a_value_larger_than_allowed_is_not_even_read() -> None:
    found = RecordDecoder[Label](Label, max_bytes=10).decoded(LABEL)
    assert isinstance(found, Unreadable)
    assert found.reason == f"the record has {len(LABEL)} bytes, 10 are allowed"


@pytest.mark.parametrize(
    "stamp",
    [(0, -1), (0, NOON_MS), (1, -1), (1, 0), (1, 1), (1, NOON_MS // 1000), (1, NOON_MS * 1000), (2, NOON_MS * 10**6)],
)
def test_a_timestamp_that_cannot_be_a_time_is_none(stamp: tuple[int, int]) -> None:
    assert moment_of(poisoned("labels", LABEL, stamp=stamp)) is None


@pytest.mark.parametrize("kind", [1, 2])
def test_any_other_timestamp_is_its_time(kind: int) -> None:
    assert moment_of(poisoned("labels", LABEL, stamp=(kind, NOON_MS + 7))) == datetime(
        2026, 3, 1, 12, 0, 0, 7000, tzinfo=UTC
    )
