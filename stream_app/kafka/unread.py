"""What waits on partitions of the input that no worker reads, and what of it is gone or goes soon: by the broker alone.

A worker that lives puts a loss on the ledger itself, and says when one is near. While none does, nobody would.
"""

from collections.abc import Collection, Sequence
from datetime import UTC, datetime, timedelta

from confluent_kafka import Consumer, KafkaException, TopicPartition
from confluent_kafka.admin import ConfigResource, ResourceType
from msgspec import Struct

from stream_app.kafka import clients, offsets
from stream_app.kafka.topics import present_id
from stream_app.settings import Settings

ANSWER_S = 10.0

Gone = tuple[int, int]
"""Offsets that the broker deleted before they were read: the first, and the one after the last."""


class Unread(Struct, frozen=True):
    """What waits on one partition.

    Attributes:
        lag: Records behind the group's committed offset.
        gone: Offsets behind it that the broker has deleted; None: none.
        goes_soon: The oldest of what waits expires soon.
    """

    lag: int = 0
    gone: Gone | None = None
    goes_soon: bool = False


def unread(settings: Settings, topic: str, held: Collection[int], soon_s: float) -> dict[int, Unread]:
    """Each partition of the input that is not `held`.

    Args:
        settings: Where the cluster is.
        topic: The input, by its full name.
        held: Partitions that a worker reads.
        soon_s: What expires within so many seconds goes soon.

    Raises:
        BrokerError: the cluster does not answer, or refuses.
    """
    group = clients.group_observer(settings)
    try:
        left = [partition for partition in offsets.partitions(group, settings, topic) if partition not in held]
        done = offsets.committed(group, topic, left)
        ends = {partition: offsets.watermarks(group, topic, partition) for partition in left}
        lags = {p: max(high - max(done.get(p, low), low), 0) for p, (low, high) in ends.items()}
        lost = gone(settings, group, topic, left)
        waiting = [partition for partition, lag in lags.items() if lag]
        kept_s = _retention_s(settings, topic) if waiting else None
        soon = set[int]()
        if kept_s is not None:
            before = datetime.now(UTC) - timedelta(seconds=kept_s - soon_s)
            starts = {p: max(done.get(p, ends[p][0]), ends[p][0]) for p in waiting}
            soon = {p for p in waiting if offsets.offset_at(group, topic, p, before, ends[p][1]) > starts[p]}
    except KafkaException as exception:
        raise clients.explain(exception, settings, topic) from exception
    finally:
        group.close()
    return {partition: Unread(lags[partition], lost.get(partition), partition in soon) for partition in left}


def gone(settings: Settings, group: Consumer, topic: str, among: Sequence[int]) -> dict[int, Gone]:
    """Partition -> offsets between what the group has committed and the beginning of the log, where there are any.

    A committed offset of a topic of before, whose id is another, counts for nothing.

    Raises:
        BrokerError, KafkaException: the cluster does not answer.
    """
    places = group.committed([TopicPartition(topic, partition) for partition in among], timeout=ANSWER_S)
    behind = []
    for place in places:
        low = offsets.watermarks(group, topic, place.partition)[0] if place.offset >= 0 else 0
        if 0 <= place.offset < low:
            behind.append((place, low))
    here = (None, "", present_id(settings)) if behind else ()
    return {place.partition: (place.offset, low) for place, low in behind if place.metadata in here}


def _retention_s(settings: Settings, topic: str) -> float | None:
    """How long the records of a topic are kept; None: for ever, or the cluster does not tell."""
    client = clients.admin(settings)  # the answer comes only while it is held
    (answer,) = client.describe_configs([ConfigResource(ResourceType.TOPIC, topic)]).values()
    try:
        kept = int(answer.result(ANSWER_S)["retention.ms"].value)
    except (KafkaException, TimeoutError, KeyError, ValueError):
        return None
    return None if kept < 0 else kept / 1000
