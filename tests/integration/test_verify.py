"""`verify` on clusters that somebody has tampered with: it says what is wrong, and where."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import msgspec
import pytest
from confluent_kafka import Consumer, Message, TopicPartition

from schemas.drift import DriftSummary
from schemas.topics import ANOMALIES, DEAD_LETTERS, DRIFT_SUMMARIES, TRANSACTIONS, Topic
from stream_app.kafka import clients, topics
from stream_app.kafka.log import read_to_end
from stream_app.settings import Settings
from stream_app.verify.cluster import verify
from stream_app.verify.ledger import LedgerBreak
from tests.conftest import own_settings
from tests.known_stream import Wait, prepared, proved, transactions
from tests.traffic import committed_offsets, publish
from tests.workers import running

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(120)]

EVENTS = 2000


@pytest.fixture(scope="module")
def done(broker: str, tmp_path_factory: pytest.TempPathFactory, wait_until: Wait) -> Settings:
    """A cluster on which all is well: some thousand transactions, a few of them refused, several commits.

    Each test adds a wrong of its own to those of the tests before, and asks what has come to the verdict.
    """
    folder = tmp_path_factory.mktemp("verify")
    stream = prepared(own_settings(folder, broker), folder)
    with running(stream, folder, commit_interval_ms=5, batch_max_events=64):
        publish(stream, [*transactions(EVENTS), *[(b"bad", b"not JSON")] * 3])
        wait_until(lambda: committed_offsets(stream) == EVENTS + 3, 60)
    proved(stream)
    return stream


def forge(settings: Settings, topic: Topic, records: list[Message], value: bytes | None = None) -> None:
    """Put copies of these records, or others in their place, where only the worker should."""
    producer = clients.producer(settings)
    for record in records:
        producer.produce(topics.name(settings, topic), value or record.value(), record.key(), record.partition())
    assert producer.flush(10) == 0


def records(settings: Settings, topic: Topic) -> list[Message]:
    return list(read_to_end(settings, topic))


def summaries(settings: Settings) -> Iterator[DriftSummary]:
    return map(summary, records(settings, DRIFT_SUMMARIES))


def summary(record: Message) -> DriftSummary:
    return msgspec.json.decode(record.value() or b"", type=DriftSummary)


def source_of(record: Message) -> dict[str, Any]:
    return dict(msgspec.json.decode(record.value() or b"")["source"])


@contextmanager
def condemned(settings: Settings, *breaks: LedgerBreak) -> Iterator[None]:
    """What is done inside is found out: these breaks and no others are in the verdict that were not before."""
    before = verify(settings).breaks
    yield
    verdict = verify(settings)
    assert not verdict.ok
    assert [found for found in verdict.breaks if found not in before] == list(breaks)


def without(settings: Settings, topic: Topic, lost: Message, wait_until: Wait) -> None:
    """Kafka deletes only beginnings, so the log is written anew without one of its records."""
    kept = [record for record in records(settings, topic) if place(record) != place(lost)]
    name = topics.name(settings, topic)
    admin = clients.admin(settings)
    admin.delete_topics([name])[name].result()
    wait_until(lambda: name not in admin.list_topics(timeout=10).topics)
    topics.ensure(settings)
    forge(settings, topic, kept)


def place(record: Message) -> tuple[int | None, int | None]:
    """Which record it is: partitions are read in any order."""
    return record.partition(), record.offset()


def span(settings: Settings, source: dict[str, Any]) -> tuple[DriftSummary, int, int]:
    """The summary that accounts for a record, and from where to where."""
    partition, offset = source["partition"], source["offset"]
    found = next(s for s in summaries(settings) if s.partition == partition and s.from_offset <= offset < s.to_offset)
    return found, found.from_offset, found.to_offset


def test_an_anomaly_that_is_there_twice(done: Settings) -> None:
    copy = records(done, ANOMALIES)[5]
    source = source_of(copy)
    offset = source["offset"]
    with condemned(done, LedgerBreak(source["partition"], offset, offset + 1, "2 records of one anomaly")):
        forge(done, ANOMALIES, [copy])


def test_an_anomaly_that_is_gone(done: Settings, wait_until: Wait) -> None:
    lost = records(done, ANOMALIES)[50]
    source = source_of(lost)
    said, start, end = span(done, source)
    what = f"{said.anomalies} promised, {said.anomalies - 1} found: anomaly"
    with condemned(done, LedgerBreak(source["partition"], start, end, what)):
        without(done, ANOMALIES, lost, wait_until)


def test_a_dead_letter_for_a_transaction_that_was_scored(done: Settings) -> None:
    kept = records(done, DEAD_LETTERS)[0]
    letter = msgspec.json.decode(kept.value() or b"")
    letter["source"]["offset"] = 0
    said, start, end = span(done, letter["source"])
    what = f"{said.dead_lettered} promised, {said.dead_lettered + 1} found: dead letter"
    with condemned(done, LedgerBreak(letter["source"]["partition"], start, end, what)):
        forge(done, DEAD_LETTERS, [kept], msgspec.json.encode(letter))


def test_a_summary_that_is_there_twice(done: Settings) -> None:
    copy = records(done, DRIFT_SUMMARIES)[-1]
    said = summary(copy)
    with condemned(done, LedgerBreak(said.partition, said.from_offset, said.to_offset, "accounted for twice")):
        forge(done, DRIFT_SUMMARIES, [copy])


def test_a_summary_that_is_gone(done: Settings, wait_until: Wait) -> None:
    lost = records(done, DRIFT_SUMMARIES)[0]
    said = summary(lost)
    what = "not accounted for: neither scored nor dead-lettered"
    with condemned(done, LedgerBreak(said.partition, said.from_offset, said.to_offset, what)):
        without(done, DRIFT_SUMMARIES, lost, wait_until)


def test_an_offset_that_was_skipped(done: Settings) -> None:
    """The group is moved on by hand, over records that nobody scores."""
    publish(done, transactions(200, first=EVENTS))
    topic = topics.name(done, TRANSACTIONS)
    group: Consumer = clients.consumer(done, done.group)
    _, high = group.get_watermark_offsets(TopicPartition(topic, 0), timeout=10)
    reached = max(s.to_offset for s in summaries(done) if s.partition == 0)
    assert high > reached
    with condemned(done):  # no break, but a loss that a person must know of
        group.commit(offsets=[TopicPartition(topic, 0, high)], asynchronous=False)
        group.close()
    assert (0, reached, high) in [(loss.partition, loss.from_offset, loss.to_offset) for loss in verify(done).losses]
