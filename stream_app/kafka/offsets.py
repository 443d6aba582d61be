"""Offsets of a topic: its partitions and their watermarks, the offset at a time, and what the group has committed."""

import time
from collections.abc import Sequence
from datetime import datetime

from confluent_kafka import OFFSET_INVALID, Consumer, KafkaError, KafkaException, TopicPartition

from stream_app.kafka.clients import explain
from stream_app.settings import Settings

ANSWER_S = 10.0
RETRY_S = 0.05
# What a broker answers about a partition that is being created, or that changes its leader
_MOVING = {
    KafkaError.NOT_LEADER_FOR_PARTITION,
    KafkaError.LEADER_NOT_AVAILABLE,
    KafkaError.OFFSET_NOT_AVAILABLE,
    KafkaError.UNKNOWN_TOPIC_OR_PART,
}

Point = int | datetime
"""An offset, or the time of the first record with this timestamp or a later one."""
Bounds = dict[int, tuple[int, int]]
"""Partition -> first offset, offset after the last one."""


def partitions(consumer: Consumer, settings: Settings, topic: str) -> list[int]:
    """The partitions of a topic, given by its full name.

    Raises:
        TopicMissing, NotAuthorised: the cluster does not have it, or does not show it.
        KafkaException: the cluster does not answer.
    """
    found = consumer.list_topics(topic, timeout=ANSWER_S).topics[topic]
    if found.error is not None:
        raise explain(KafkaException(found.error), settings, topic)
    return sorted(found.partitions)


def watermarks(consumer: Consumer, topic: str, partition: int) -> tuple[int, int]:
    """First offset, and end: for a consumer that reads committed records the last stable offset.

    A partition that was just created, or whose leader has just moved, is asked again.

    Raises:
        KafkaException: the cluster does not answer.
    """
    deadline = time.monotonic() + ANSWER_S
    while True:
        try:
            low, high = consumer.get_watermark_offsets(TopicPartition(topic, partition), timeout=ANSWER_S)
        except KafkaException as exception:
            if exception.args[0].code() not in _MOVING or time.monotonic() > deadline:
                raise
            time.sleep(RETRY_S)
        else:
            return low, high


def offset_at(consumer: Consumer, topic: str, partition: int, point: Point, high: int) -> int:
    """The offset of a point in time; `high` where every record is older.

    Raises:
        KafkaException: the cluster does not answer.
    """
    if isinstance(point, int):
        return point
    (answer,) = consumer.offsets_for_times(
        [TopicPartition(topic, partition, int(point.timestamp() * 1000))], timeout=ANSWER_S
    )
    if answer.error is not None:
        raise KafkaException(answer.error)
    return high if answer.offset < 0 else int(answer.offset)


def committed(group: Consumer, topic: str, among: Sequence[int]) -> dict[int, int]:
    """Partition -> committed offset of the consumer's group, where it has one.

    Raises:
        KafkaException: the cluster does not answer.
    """
    places = group.committed([TopicPartition(topic, partition) for partition in among], timeout=ANSWER_S)
    return {place.partition: place.offset for place in places if place.offset != OFFSET_INVALID}
