"""A Kafka broker in memory, whose clients do what a script demands, so that rare interleavings are tested at once.

Partitions come and go inside `consume`, calls fail in their turn, a full queue refuses records, a client of the same
transactional id fences the one before it. Records become visible when their transaction is committed.
"""

from collections import Counter, defaultdict, deque
from collections.abc import Iterable
from datetime import datetime
from typing import Any, TypeVar, cast

import msgspec
from confluent_kafka import Consumer, KafkaError, KafkaException, Producer, TopicPartition
from confluent_kafka.admin import AdminClient

from stream_app.pipeline.recall import Accounted, newest_places
from stream_app.settings import Settings
from stream_app.testing.memory_clients import (
    EPOCH,
    MemoryAdmin,
    MemoryConsumer,
    MemoryMessage,
    MemoryProducer,
    Step,
)

R = TypeVar("R")


class MemoryKafka:
    """One input topic, committed offsets of one group, and all other topics, of one partition each.

    Attributes:
        input: The log of each input partition; None is an offset without a record, as of a transaction marker.
        input_topic: Its name.
        topic_id: Kafka's id of the input topic; None while there is no such topic.
        retention_ms: Of the input topic.
        low: Input partition to its first offset that is not deleted.
        stable: Input partition to its last stable offset, where a transaction is open.
        committed: Input partition to the committed offset of the group.
        metadata: Input partition to what was committed with the offset.
        visible: Topic to the records that a read-committed consumer sees.
        tailed: How often tails have read each record of these, by topic and offset.
        script: One step for each call of `consume`, then none.
        faults: Name of a client's call to what its next calls raise; None lets one call pass. `deliver` stands for the
            delivery of a record, and takes errors in place of exceptions.
        acknowledges: Whether the broker acknowledges records.
        consumers: All that were opened.
        owners: Transactional id to the producer that initialised it last.
    """

    def __init__(self, *script: Step) -> None:
        self.input: dict[int, list[MemoryMessage | None]] = defaultdict(list)
        self.input_topic = "transactions"
        self.topic_id: str | None = "topic-1"
        self.retention_ms = 7 * 24 * 3600 * 1000
        self.low: dict[int, int] = defaultdict(int)
        self.stable: dict[int, int] = {}
        self.committed: dict[int, int] = {}
        self.metadata: dict[int, str] = {}
        self.visible: dict[str, list[MemoryMessage]] = defaultdict(list)
        self.tailed: Counter[tuple[str, int]] = Counter()
        self.script: deque[Step] = deque(script)
        self.faults: dict[str, deque[Any]] = defaultdict(deque)
        self.acknowledges = True
        self.consumers: list[MemoryConsumer] = []
        self.owners: dict[str, MemoryProducer] = {}

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

    def publish(self, partition: int, *values: bytes | None, at: datetime = EPOCH, key: bytes | None = None) -> None:
        """Append records to the input."""
        log = self.input[partition]
        for value in values:
            log.append(MemoryMessage(value, len(log), at, partition).keyed(key))

    def append(self, topic: str, *values: bytes, at: datetime = EPOCH) -> None:
        """Records on an output topic."""
        log = self.visible[topic]
        for value in values:
            log.append(MemoryMessage(value, len(log), at, topic=topic))

    def records(self, topic: str, kind: type[R]) -> list[R]:
        """The visible records of an output topic, decoded."""
        return [msgspec.json.decode(message.value() or b"", type=kind) for message in self.visible[topic]]

    def delete_records(self, partition: int, before: int) -> None:
        """As retention does."""
        self.low[partition] = before

    def make_again(self, topic_id: str) -> None:
        """Delete the input topic, its records and offsets, and make another one of the same name."""
        self.topic_id = topic_id
        for place in (self.input, self.low, self.committed, self.metadata):
            place.clear()

    def commit(self, places: Iterable[TopicPartition]) -> None:
        """The group's offsets, with their metadata."""
        for place in places:
            self.committed[place.partition] = place.offset
            self.metadata[place.partition] = place.metadata or ""

    def recall(self, _settings: Settings, _partitions: Iterable[int]) -> dict[int, Accounted]:
        """Where the visible ledger ends."""
        return newest_places(self.visible["drift-summaries"])

    def next_fault(self, call: str) -> Any:
        """What the next call of that name raises, if anything."""
        return self.faults[call].popleft() if self.faults[call] else None

    def reach(self, call: str) -> None:
        """A call reaches the broker, unless the script wants it to fail."""
        if (fault := self.next_fault(call)) is not None:
            raise fault


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
