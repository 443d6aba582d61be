"""A Kafka broker in memory, whose clients do what a script demands, so that rare interleavings are tested at once.

Partitions come and go inside `consume`, calls fail in their turn, a full queue refuses records, a client of the same
transactional id fences the one before it. Records become visible when their transaction is committed.
"""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any, cast

from confluent_kafka import Consumer, KafkaError, KafkaException, Producer
from confluent_kafka.admin import AdminClient

from schemas.topics import Topic
from stream_app.kafka.log import Log
from stream_app.pipeline.recall import Accounted, newest_places
from stream_app.settings import Settings
from stream_app.testing.memory_clients import MemoryAdmin, MemoryConsumer, MemoryProducer, MemoryTail, Step
from stream_app.testing.memory_cluster import MemoryCluster


class MemoryKafka(MemoryCluster):
    """A cluster that makes its clients.

    Attributes:
        consumers: All that were opened.
    """

    def __init__(self, *script: Step) -> None:
        super().__init__(*script)
        self.consumers: list[MemoryConsumer] = []

    def consumer(self, _settings: Settings | None, _group: str | None, **_properties: Any) -> Consumer:
        """A consumer of the group."""
        self.consumers.append(MemoryConsumer(self))
        return cast(Consumer, self.consumers[-1])

    def producer(self, _settings: Settings | None, **properties: Any) -> Producer:
        """A producer; `on_delivery` and `transactional.id` are heeded."""
        return cast(Producer, MemoryProducer(self, properties))

    def admin(self, _settings: Settings | None) -> AdminClient:
        """A client for metadata."""
        return cast(AdminClient, MemoryAdmin(self))

    def follow(self, _settings: Settings, topics: Sequence[Topic], _since: datetime) -> Log:
        """Topics from their beginning on."""
        return cast(Log, MemoryTail(self, *(topic.name for topic in topics)))

    def recall(self, _settings: Settings, _partitions: Iterable[int]) -> dict[int, Accounted]:
        """Where the visible ledger ends."""
        return newest_places(self.visible["drift-summaries"])


def assign(*partitions: int) -> Step:
    """The group gives the consumer these partitions."""
    return lambda consumer: consumer.rebalance("assign", partitions)


def revoke(*partitions: int) -> Step:
    """The group takes them away; the consumer may commit first."""
    return lambda consumer: consumer.rebalance("revoke", partitions)


def lose(*partitions: int) -> Step:
    """The group has given them to another consumer already."""
    return lambda consumer: consumer.rebalance("lose", partitions)


def error(code: int, fatal: bool = False) -> KafkaException:
    """A client's error."""
    return KafkaException(KafkaError(code, fatal=fatal))
