"""A topic read as a log: committed records only, to the end and no further, whatever stands at the end."""

from datetime import UTC, datetime, timedelta

import pytest

from schemas.topics import ANOMALIES, AUDIT, MODEL_SWAP, TRANSACTIONS
from stream_app.kafka import clients, topics
from stream_app.kafka.clients import TopicMissing
from stream_app.kafka.log import Tail, read_backwards, read_to_end

pytestmark = pytest.mark.kafka


@pytest.fixture
def kafka(settings):
    topics.ensure(settings, [TRANSACTIONS, MODEL_SWAP, AUDIT])
    return settings


def put(settings, topic, *values, at=None):
    producer = clients.producer(settings)
    stamp = {} if at is None else {"timestamp": int(at.timestamp() * 1000)}
    for value in values:
        producer.produce(topics.name(settings, topic), value, key=value, **stamp)
    assert producer.flush(30) == 0


def transactional(settings):
    producer = clients.producer(settings, **{"transactional.id": f"{settings.app_id}-test"})
    producer.init_transactions()
    return producer


def in_transaction(producer, settings, topic, *values):
    producer.begin_transaction()
    for value in values:
        producer.produce(topics.name(settings, topic), value, key=value)
    producer.flush()


def read(settings, topic, **start):
    return sorted(message.value() for message in read_to_end(settings, topic, **start))


def test_an_empty_topic_ends_at_once(kafka):
    assert read(kafka, MODEL_SWAP) == []


def test_every_partition_is_read_to_its_end(kafka):
    values = [b"%04d" % number for number in range(3000)]
    put(kafka, TRANSACTIONS, *values)
    assert read(kafka, TRANSACTIONS) == values


def test_it_ends_where_markers_and_aborted_records_are_last_and_hands_out_neither(kafka):
    producer = transactional(kafka)
    in_transaction(producer, kafka, MODEL_SWAP, b"committed")
    producer.commit_transaction()
    in_transaction(producer, kafka, MODEL_SWAP, b"aborted", b"aborted too")
    producer.abort_transaction()
    assert read(kafka, MODEL_SWAP) == [b"committed"]


def test_it_does_not_wait_for_an_open_transaction(kafka):
    put(kafka, MODEL_SWAP, b"before")
    producer = transactional(kafka)
    in_transaction(producer, kafka, MODEL_SWAP, b"open")
    assert read(kafka, MODEL_SWAP) == [b"before"]
    producer.abort_transaction()


def test_a_start_leaves_out_what_is_older(kafka):
    now = datetime.now(UTC)
    put(kafka, AUDIT, b"yesterday", at=now - timedelta(days=1))
    put(kafka, AUDIT, b"now", at=now)
    assert read(kafka, AUDIT, start=now - timedelta(hours=1)) == [b"now"]
    assert read(kafka, AUDIT, start=now + timedelta(hours=1)) == []


def test_backwards_the_newest_stretch_comes_first_and_all_of_them_are_the_topic(kafka):
    values = [b"%04d" % number for number in range(3500)]
    put(kafka, AUDIT, *values)
    stretches = [[message.value() for message in stretch] for stretch in read_backwards(kafka, AUDIT)]
    assert [len(stretch) for stretch in stretches] == [1000, 2000, 500]
    assert [value for stretch in reversed(stretches) for value in stretch] == values
    assert list(read_backwards(kafka, MODEL_SWAP)) == []
    newest = [[message.value() for message in stretch] for stretch in read_backwards(kafka, AUDIT, limit=1200)]
    assert newest == [values[-1000:], values[-1200:-1000]]


def test_backwards_a_stretch_has_the_newest_of_every_partition(kafka):
    topics.ensure(kafka, [ANOMALIES])
    put(kafka, ANOMALIES, *(b"%04d" % number for number in range(3000)))
    found = [[message.partition() for message in stretch] for stretch in read_backwards(kafka, ANOMALIES, limit=1100)]
    assert [{p: stretch.count(p) for p in (0, 1)} for stretch in found] == [{0: 1000, 1: 1000}, {0: 100, 1: 100}]
    only = {message.partition() for stretch in read_backwards(kafka, ANOMALIES, partition=1) for message in stretch}
    assert only == {1}


def test_a_topic_that_is_not_there_is_named(settings):
    with pytest.raises(TopicMissing, match=f"{settings.topic_prefix}audit does not exist"):
        read(settings, AUDIT)


def test_a_tail_catches_up_and_then_follows(kafka, wait_until):
    put(kafka, MODEL_SWAP, b"first")
    with Tail(kafka, [MODEL_SWAP, AUDIT]) as tail:
        assert not tail.caught_up
        seen = []
        wait_until(lambda: seen.extend(m.value() for m in tail.poll(0.1)) or tail.caught_up)
        assert seen == [b"first"]
        put(kafka, AUDIT, b"second")
        wait_until(lambda: seen.extend(m.value() for m in tail.poll(0.1)) or len(seen) > 1)
        assert seen == [b"first", b"second"]
        assert tail.caught_up


def test_a_tail_of_what_is_new_skips_what_was(kafka, wait_until):
    put(kafka, AUDIT, b"old", at=datetime.now(UTC) - timedelta(minutes=5))
    with Tail(kafka, [AUDIT], since=datetime.now(UTC) - timedelta(minutes=1)) as tail:
        assert tail.caught_up
        put(kafka, AUDIT, b"new")
        seen = []
        wait_until(lambda: seen.extend(m.value() for m in tail.poll(0.1)) or seen)
        assert seen == [b"new"]
