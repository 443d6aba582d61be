"""The part of a topic that the group has committed, from and to an offset or a time."""

from datetime import UTC, datetime, timedelta

from confluent_kafka import Consumer, KafkaException

from schemas.topics import Topic
from stream_app.kafka import clients
from stream_app.kafka.clients import BrokerError, explain
from stream_app.kafka.log import read_to_end
from stream_app.kafka.offsets import Bounds, Point, committed, offset_at, partitions, watermarks
from stream_app.kafka.records import moment_of
from stream_app.kafka.topics import name
from stream_app.settings import Settings

AHEAD = timedelta(hours=1)


def committed_range(
    settings: Settings, topic: Topic, since: Point | None, until: Point | None, partition: int | None = None
) -> Bounds:
    """The part of a range that the topic holds and the group has committed.

    Args:
        settings: Where the cluster is, and which group scores the topic.
        topic: The input.
        since: None: from the oldest record on.
        until: Excluded; None: up to what the group has committed.
        partition: None: all.

    Raises:
        BrokerError: the cluster does not answer, or has no such topic or partition.
    """
    full = name(settings, topic)
    group = clients.group_observer(settings)
    try:
        there = partitions(group, settings, full)
        if partition is not None and partition not in there:
            raise BrokerError(f"{full} has no partition {partition}: it has 0 to {len(there) - 1}")
        bounds = {}
        for p, done in committed(group, full, there if partition is None else [partition]).items():
            low, high = watermarks(group, full, p)
            first = low if since is None else max(low, _offset_of(settings, topic, group, p, since, high))
            last = min(high, done, done if until is None else _offset_of(settings, topic, group, p, until, high))
            if first < last:
                bounds[p] = (first, last)
    except KafkaException as exception:
        raise explain(exception, settings, full) from exception
    finally:
        group.close()
    return bounds


def _offset_of(settings: Settings, topic: Topic, group: Consumer, partition: int, point: Point, high: int) -> int:
    """The offset of a point in time, by records whose timestamp can be one; the broker takes any for a time."""
    if isinstance(point, int):
        return point
    answer = offset_at(group, name(settings, topic), partition, point, high)
    latest = datetime.now(UTC) + AHEAD
    records = read_to_end(settings, topic, bounds={partition: (answer, high)})
    moments = ((record.offset() or 0, moment_of(record)) for record in records)
    return next((offset for offset, at in moments if at is not None and point <= at <= latest), high)
