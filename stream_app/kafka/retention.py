"""How long a topic keeps records: by their age, by the size of a partition, or both."""

from collections.abc import Mapping
from typing import Any

from confluent_kafka import KafkaException
from confluent_kafka.admin import ConfigResource, ResourceType
from msgspec import Struct

from stream_app.kafka import clients
from stream_app.settings import Settings

ANSWER_S = 10.0
SPENT = 0.5  # of the time or the room that records have: before, nothing that is not read yet is near its end


class Retention(Struct, frozen=True):
    """What the broker deletes; None: nothing for that reason.

    Attributes:
        age_s: Records of this age.
        partition_bytes: What is oldest, where the partition is larger than that.
        segment_bytes: Whole segments are deleted: so much more than `partition_bytes` may stand there.
    """

    age_s: float | None = None
    partition_bytes: int | None = None
    segment_bytes: int = 0

    def room(self, held: int, record_bytes: float) -> float | None:
        """How many records a partition has room for, at least; None: any number.

        Sizes on disk are not known, where records are compressed: but what stands there fits.

        Args:
            held: Records that stand there.
            record_bytes: Of one, as it is read.
        """
        if self.partition_bytes is None:
            return None
        of_held = held * self.partition_bytes / (self.partition_bytes + self.segment_bytes)
        return max(of_held, self.partition_bytes / max(record_bytes, 1.0))


def retention(configured: Mapping[str, Any]) -> Retention:
    """Read from the properties of a topic, as an admin client has them."""
    age_ms, size = (_limit(configured, name) for name in ("retention.ms", "retention.bytes"))
    segment = _limit(configured, "segment.bytes") or 0
    return Retention(None if age_ms is None else age_ms / 1000, size, segment)


def retention_of(settings: Settings, topic: str) -> Retention:
    """Of a topic by its full name; without limits where the cluster does not tell."""
    client = clients.admin(settings)  # the answer comes only while it is held
    (answer,) = client.describe_configs([ConfigResource(ResourceType.TOPIC, topic)]).values()
    try:
        return retention(answer.result(ANSWER_S))
    except (KafkaException, TimeoutError):
        return Retention()


def _limit(configured: Mapping[str, Any], name: str) -> int | None:
    entry = configured.get(name)
    return None if entry is None or int(entry.value) < 0 else int(entry.value)
