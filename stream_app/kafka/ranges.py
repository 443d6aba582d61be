"""A range of a topic in, its committed records in batches out: between offsets or times, in the order of partitions."""

import time
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any

from confluent_kafka import OFFSET_INVALID, Consumer, KafkaError, KafkaException, TopicPartition

from schemas.topics import Topic
from stream_app.kafka import clients
from stream_app.kafka.clients import BrokerError, BrokerUnavailable, explain
from stream_app.kafka.topics import name
from stream_app.settings import Settings

ANSWER_S = 10.0
SILENCE_S = 30.0
POLL_S = 0.05

Point = int | datetime
"""An offset, or the time of the first record with this timestamp or a later one."""
Spans = dict[int, tuple[int, int]]
"""Partition -> first offset, offset after the last one."""


def resolve(
    settings: Settings, topic: Topic, since: Point | None, until: Point | None, partition: int | None = None
) -> Spans:
    """The part of a range that the topic holds and the group has committed.

    Args:
        settings: Where the cluster is, and which group scores the topic.
        topic: What to read.
        since: None: what the topic holds.
        until: Excluded; None: up to what the group has committed.
        partition: None: all.

    Raises:
        BrokerError: the cluster does not answer, or has no such topic or partition.
    """
    full = name(settings, topic)
    consumer = clients.onlooker(settings)
    try:
        found = consumer.list_topics(full, timeout=ANSWER_S).topics[full]
        if found.error is not None:
            raise KafkaException(found.error)
        if partition is not None and partition not in found.partitions:
            raise BrokerError(f"{full} has no partition {partition}: it has 0 to {len(found.partitions) - 1}")
        places = [TopicPartition(full, p) for p in sorted(found.partitions) if partition in (p, None)]
        committed = {place.partition: place.offset for place in consumer.committed(places, timeout=ANSWER_S)}
        spans = {}
        for place in places:
            low, high = consumer.get_watermark_offsets(place, timeout=ANSWER_S)
            done = committed[place.partition]
            end = low if done == OFFSET_INVALID else min(high, done)
            first = low if since is None else max(low, _offset(consumer, place, since, high))
            last = end if until is None else min(end, _offset(consumer, place, until, high))
            if first < last:
                spans[place.partition] = (first, last)
    except KafkaException as exception:
        raise explain(exception, settings, full) from exception
    finally:
        consumer.close()
    return spans


def read(settings: Settings, topic: str, spans: Mapping[int, tuple[int, int]], limit: int) -> Iterator[list[Any]]:
    """The records of these spans, a partition after the other.

    Args:
        settings: Where the cluster is.
        topic: Its full name.
        spans: What to read.
        limit: Records in a batch, at most.

    Yields:
        Batches of one partition, never empty.

    Raises:
        BrokerError: the cluster does not answer, or has no such topic.
    """
    consumer = clients.consumer(settings, None, **{"enable.partition.eof": True})
    try:
        for partition, (first, end) in spans.items():
            consumer.assign([TopicPartition(topic, partition, first)])
            yield from _until(settings, consumer, end, limit)
    except KafkaException as exception:
        raise explain(exception, settings, topic) from exception
    finally:
        consumer.close()


def _until(settings: Settings, consumer: Consumer, end: int, limit: int) -> Iterator[list[Any]]:
    """What comes before an offset, or before the end of what is committed."""
    heard = time.monotonic()
    ended = False
    while not ended:
        messages: list[Any] = consumer.consume(limit, POLL_S)
        heard = time.monotonic() if messages else heard
        if time.monotonic() - heard > SILENCE_S:
            raise BrokerUnavailable(f"Kafka at {settings.bootstrap_servers} fell silent: look at the broker, try again")
        records = []
        for message in messages:
            error = message.error()
            if error is None:
                records.append(message)
            elif error.code() == KafkaError._PARTITION_EOF:
                ended = True
            elif not error.retriable():
                raise KafkaException(error)
        wanted = [record for record in records if record.offset() < end]
        ended = ended or len(wanted) < len(records) or (bool(wanted) and wanted[-1].offset() + 1 >= end)
        if wanted:
            yield wanted


def _offset(consumer: Consumer, place: TopicPartition, point: Point, high: int) -> int:
    if isinstance(point, int):
        return point
    asked = TopicPartition(place.topic, place.partition, int(point.timestamp() * 1000))
    (answer,) = consumer.offsets_for_times([asked], timeout=ANSWER_S)
    if answer.error is not None:
        raise KafkaException(answer.error)
    return high if answer.offset < 0 else int(answer.offset)
