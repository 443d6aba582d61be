"""`verify` on clusters that somebody has tampered with: it says what is wrong, and where."""

from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from confluent_kafka import Consumer, TopicPartition

from schemas.drift import DriftSummary
from schemas.topics import ANOMALIES, DEAD_LETTERS, DRIFT_SUMMARIES, TRANSACTIONS, Topic
from stream_app.kafka import clients, topics
from stream_app.kafka.log import read_to_end
from stream_app.settings import Settings
from stream_app.verify import Verdict, verify
from tests.known_stream import Wait, prepared, proved, transactions
from tests.traffic import committed_offsets, publish
from tests.workers import running

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(120)]

EVENTS = 2000


@pytest.fixture
def done(settings: Settings, tmp_path: Path, wait_until: Wait) -> Settings:
    """A cluster on which all is well: some thousand transactions, a few of them refused, several commits."""
    stream = prepared(settings, tmp_path)
    with running(stream, tmp_path, commit_interval_ms=5, batch_max_events=64):
        publish(stream, [*transactions(EVENTS), *[(b"bad", b"not JSON")] * 3])
        wait_until(lambda: committed_offsets(stream) == EVENTS + 3, 60)
    proved(stream)
    return stream


def forge(settings: Settings, topic: Topic, values: list[bytes]) -> None:
    """Put records where only the worker should."""
    producer = clients.producer(settings)
    for value in values:
        producer.produce(topics.name(settings, topic), value)
    assert producer.flush(10) == 0


def values(settings: Settings, topic: Topic) -> list[bytes]:
    return [message.value() or b"" for message in read_to_end(settings, topic)]


def summaries(settings: Settings) -> Iterator[DriftSummary]:
    return (msgspec.json.decode(value, type=DriftSummary) for value in values(settings, DRIFT_SUMMARIES))


def condemned(settings: Settings, partition: int, offset: int, *words: str) -> Verdict:
    """It must name this offset of this partition with these words."""
    verdict = verify(settings)
    assert not verdict.ok
    found = [str(b) for b in verdict.breaks if b.partition == partition and b.from_offset <= offset < b.to_offset]
    assert any(all(word in text for word in words) for text in found), verdict.breaks
    return verdict


def test_an_anomaly_that_is_there_twice(done: Settings) -> None:
    copy = values(done, ANOMALIES)[5]
    forge(done, ANOMALIES, [copy])
    source = msgspec.json.decode(copy)["source"]
    condemned(done, source["partition"], source["offset"], "anomal")


def test_a_dead_letter_for_a_transaction_that_was_scored(done: Settings) -> None:
    letter = msgspec.json.decode(values(done, DEAD_LETTERS)[0])
    letter["source"]["offset"] = 0
    forge(done, DEAD_LETTERS, [msgspec.json.encode(letter)])
    condemned(done, letter["source"]["partition"], 0, "dead letter")


def test_an_offset_that_was_skipped(done: Settings) -> None:
    """The group is moved on by hand, over records that nobody scores."""
    publish(done, transactions(200, first=EVENTS))
    topic = topics.name(done, TRANSACTIONS)
    group: Consumer = clients.consumer(done, done.app_id)
    for partition in range(done.input_partitions):
        _, high = group.get_watermark_offsets(TopicPartition(topic, partition), timeout=10)
        before = max(s.to_offset for s in summaries(done) if s.partition == partition)
        if high > before:
            group.commit(offsets=[TopicPartition(topic, partition, high)], asynchronous=False)
            break
    group.close()
    condemned(done, partition, before)


def test_a_summary_that_is_gone(done: Settings) -> None:
    """Kafka deletes only beginnings, so the log is written anew without one of its records."""
    kept = values(done, DRIFT_SUMMARIES)
    lost = msgspec.json.decode(kept.pop(len(kept) // 2), type=DriftSummary)
    name = topics.name(done, DRIFT_SUMMARIES)
    admin = clients.admin(done)
    admin.delete_topics([name])[name].result()
    topics.ensure(done)
    forge(done, DRIFT_SUMMARIES, kept)
    condemned(done, lost.partition, lost.from_offset)
