"""A Kafka broker in memory, whose clients do what a script demands, so that rare interleavings are tested at once.

Partitions come and go inside `consume`, calls fail in their turn, a full queue refuses records, a client of the same
transactional id fences the one before it. Records become visible when their transaction is committed.
"""

from collections import defaultdict, deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Future
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any, TypeVar, cast

import msgspec
from confluent_kafka import (
    OFFSET_INVALID,
    TIMESTAMP_CREATE_TIME,
    Consumer,
    KafkaError,
    KafkaException,
    Producer,
    TopicCollection,
    TopicPartition,
)
from confluent_kafka.admin import AdminClient, ConfigResource

from stream_app.pipeline.recall import Accounted, newest_places
from stream_app.settings import Settings

EPOCH = datetime.fromtimestamp(0, UTC)
R = TypeVar("R")
Step = Callable[["MemoryConsumer"], None]
"""Something that happens to a consumer inside one call of `consume`, after that call has fetched its records."""


class MemoryMessage:
    """A record, or the end of a partition, as a consumer returns it."""

    def __init__(
        self,
        value: bytes | None,
        offset: int = 0,
        at: datetime = EPOCH,
        partition: int = 0,
        headers: Sequence[tuple[str, bytes | None]] | None = None,
        error: KafkaError | None = None,
    ) -> None:
        self._value, self._offset, self._at, self._partition = value, offset, at, partition
        self._headers, self._error = headers, error

    def __repr__(self) -> str:
        return f"MemoryMessage({self._value!r}, {self._offset}, {self._at!r})"

    def topic(self) -> str:
        return "transactions"

    def partition(self) -> int:
        return self._partition

    def offset(self) -> int:
        return self._offset

    def value(self) -> bytes | None:
        return self._value

    def error(self) -> KafkaError | None:
        return self._error

    def key(self) -> bytes | None:
        return f"key-{self._offset}".encode()

    def headers(self) -> list[tuple[str, bytes | None]] | None:
        return None if self._headers is None else list(self._headers)

    def timestamp(self) -> tuple[int, int]:
        return TIMESTAMP_CREATE_TIME, int(self._at.timestamp() * 1000)


class MemoryKafka:
    """One input topic, committed offsets of one group, and all outputs.

    Attributes:
        input: The log of each input partition; None is an offset without a record, as of a transaction marker.
        topic_id: Kafka's id of the input topic; None while there is no such topic.
        retention_ms: Of the input topic.
        low: Input partition to its first offset that is not deleted.
        stable: Input partition to its last stable offset, where a transaction is open.
        committed: Input partition to the committed offset of the group.
        metadata: Input partition to what was committed with the offset.
        visible: Topic to the values that a read-committed consumer sees.
        script: One step for each call of `consume`, then none.
        faults: Name of a client's call to what its next calls raise; None lets one call pass. `deliver` stands for the
            delivery of a record, and takes errors in place of exceptions.
        acknowledges: Whether the broker acknowledges records.
        consumers: All that were opened.
        owners: Transactional id to the producer that initialised it last.
    """

    def __init__(self, *script: Step) -> None:
        self.input: dict[int, list[MemoryMessage | None]] = defaultdict(list)
        self.topic_id: str | None = "topic-1"
        self.retention_ms = 7 * 24 * 3600 * 1000
        self.low: dict[int, int] = defaultdict(int)
        self.stable: dict[int, int] = {}
        self.committed: dict[int, int] = {}
        self.metadata: dict[int, str] = {}
        self.visible: dict[str, list[bytes]] = defaultdict(list)
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

    def publish(self, partition: int, *values: bytes | None, at: datetime = EPOCH) -> None:
        """Append records to the input."""
        log = self.input[partition]
        for value in values:
            log.append(MemoryMessage(value, len(log), at, partition))

    def records(self, topic: str, kind: type[R]) -> list[R]:
        """The visible records of an output topic."""
        return [msgspec.json.decode(value, type=kind) for value in self.visible[topic]]

    def delete_records(self, partition: int, before: int) -> None:
        """As retention does."""
        self.low[partition] = before

    def make_again(self, topic_id: str) -> None:
        """Delete the input topic, its records and offsets, and make another one of the same name."""
        self.topic_id = topic_id
        for place in (self.input, self.low, self.committed, self.metadata):
            place.clear()

    def commit(self, places: Sequence[TopicPartition]) -> None:
        """The group's offsets, with their metadata."""
        self.committed.update({place.partition: place.offset for place in places})
        self.metadata.update({place.partition: place.metadata or "" for place in places})

    def recall(self, _settings: Settings, _partitions: Iterable[int]) -> dict[int, Accounted]:
        """Where the visible ledger ends."""
        summaries = [MemoryMessage(value, at) for at, value in enumerate(self.visible["drift-summaries"])]
        return newest_places(summaries)

    def next_fault(self, call: str) -> Any:
        """What the next call of that name raises, if anything."""
        return self.faults[call].popleft() if self.faults[call] else None

    def reach(self, call: str) -> None:
        """A call reaches the broker, unless the script wants it to fail."""
        if (fault := self.next_fault(call)) is not None:
            raise fault


class MemoryConsumer:
    """The part of a consumer that the pipeline uses."""

    def __init__(self, kafka: MemoryKafka) -> None:
        self._kafka = kafka
        self._positions: dict[int, int] = {}
        self._ended: set[int] = set()
        self.paused: set[int] = set()
        self.closed = False

    def subscribe(self, topics: Sequence[str], on_assign: Any, on_revoke: Any, on_lost: Any) -> None:
        self._topic, self._on = topics[0], {"assign": on_assign, "revoke": on_revoke, "lose": on_lost}

    def consume(self, limit: int, _timeout_s: float) -> list[MemoryMessage]:
        self._kafka.reach("consume")
        messages: list[MemoryMessage] = []
        for partition in sorted(self._positions.keys() - self.paused):
            messages += self._fetch(partition, limit - len(messages))
        if self._kafka.script and not (limit == 1 and messages):  # a first record is always asked for the rest, too
            self._kafka.script.popleft()(self)
        return messages

    def _fetch(self, partition: int, limit: int) -> list[MemoryMessage]:
        start, log = self._positions[partition], self._kafka.input[partition]
        stable = self._kafka.stable.get(partition, len(log))
        if not self._kafka.low[partition] <= start <= len(log):
            return [MemoryMessage(None, start, partition=partition, error=KafkaError(KafkaError._AUTO_OFFSET_RESET))]
        end = min(start + limit, stable)
        self._positions[partition] = end
        messages = [message for message in log[start:end] if message is not None]
        if end < stable:
            self._ended.discard(partition)
        elif partition not in self._ended or end > start:
            self._ended.add(partition)
            end_of_partition = KafkaError(KafkaError._PARTITION_EOF)
            messages.append(MemoryMessage(None, end, partition=partition, error=end_of_partition))
        return messages

    def rebalance(self, kind: str, partitions: Sequence[int]) -> None:
        """Call back as librdkafka does, from inside `consume`: `assign`, `revoke` or `lose` these partitions."""
        for partition in partitions:
            self._ended.discard(partition)
        self._on[kind](self, self._places(partitions))
        if kind != "assign":
            for partition in partitions:
                self._positions.pop(partition, None)

    def incremental_assign(self, places: list[TopicPartition]) -> None:
        self._positions.update({place.partition: place.offset for place in places})

    def committed(self, partitions: list[TopicPartition], timeout: float) -> list[TopicPartition]:
        self._kafka.reach("committed")
        committed, metadata = self._kafka.committed, self._kafka.metadata
        return [
            TopicPartition(
                p.topic, p.partition, committed.get(p.partition, OFFSET_INVALID), metadata.get(p.partition, "")
            )
            for p in partitions
        ]

    def commit(self, offsets: list[TopicPartition], asynchronous: bool) -> None:
        self._kafka.reach("commit")
        self._kafka.commit(offsets)

    def get_watermark_offsets(self, place: TopicPartition, **how: Any) -> tuple[int, int]:
        """As librdkafka: the end is the last stable offset for whom reads committed; cached is the high watermark."""
        high = len(self._kafka.input[place.partition])
        end = high if how.get("cached") else self._kafka.stable.get(place.partition, high)
        return self._kafka.low[place.partition], end

    def assignment(self) -> list[TopicPartition]:
        return self._places(sorted(self._positions))

    def pause(self, partitions: list[TopicPartition]) -> None:
        self.paused |= {place.partition for place in partitions}

    def resume(self, partitions: list[TopicPartition]) -> None:
        self.paused -= {place.partition for place in partitions}

    def consumer_group_metadata(self) -> object:
        return self

    def close(self) -> None:
        self.closed = True

    def _places(self, partitions: Sequence[int]) -> list[TopicPartition]:
        return [TopicPartition(self._topic, partition) for partition in partitions]


class MemoryAdmin:
    """The part of an admin client that the pipeline uses; every answer is there at once."""

    def __init__(self, kafka: MemoryKafka) -> None:
        self._kafka = kafka

    def describe_topics(self, topics: TopicCollection, **_: Any) -> dict[str, Future[Any]]:
        self._kafka.reach("describe_topics")
        (name,) = topics.topic_names
        answer: Future[Any] = Future()
        if self._kafka.topic_id is None:
            answer.set_exception(KafkaException(KafkaError(KafkaError.UNKNOWN_TOPIC_OR_PART)))
        else:
            answer.set_result(SimpleNamespace(topic_id=self._kafka.topic_id))
        return {name: answer}

    def describe_configs(self, resources: list[ConfigResource]) -> dict[ConfigResource, Future[Any]]:
        answer: Future[Any] = Future()
        answer.set_result({"retention.ms": SimpleNamespace(value=str(self._kafka.retention_ms))})
        return dict.fromkeys(resources, answer)


class MemoryProducer:
    """The part of a producer that the pipeline uses."""

    def __init__(self, kafka: MemoryKafka, properties: Mapping[str, Any]) -> None:
        self._kafka = kafka
        self._on_delivery = properties["on_delivery"]
        self._identity = properties.get("transactional.id")
        self._queued: list[tuple[str, bytes]] = []
        self._offsets: list[TopicPartition] = []

    def _reach(self, call: str) -> None:
        self._kafka.reach(call)
        if self._identity is not None and self._kafka.owners.get(self._identity) is not self:
            raise KafkaException(KafkaError(KafkaError._FENCED, "fenced by a newer producer", fatal=True))

    def list_topics(self, *_: Any) -> None:
        self._kafka.reach("list_topics")

    def init_transactions(self, _timeout_s: float) -> None:
        self._kafka.owners[str(self._identity)] = self
        self._reach("init_transactions")

    def begin_transaction(self) -> None:
        self._reach("begin_transaction")

    def produce(self, topic: str, value: bytes, _key: bytes | None) -> None:
        self._reach("produce")
        self._queued.append((topic, value))

    def poll(self, _timeout_s: float) -> None:
        self._kafka.reach("poll")
        if self._identity is None and self._kafka.acknowledges:
            self._deliver()

    def flush(self, _timeout_s: float) -> int:
        self.poll(0)
        return len(self._queued)

    def purge(self) -> None:
        for _ in self._queued:
            self._on_delivery(KafkaError(KafkaError._PURGE_QUEUE), None)
        self._queued = []

    def send_offsets_to_transaction(self, places: list[TopicPartition], _group: object, _timeout_s: float) -> None:
        self._reach("send_offsets_to_transaction")
        self._offsets += places

    def commit_transaction(self, _timeout_s: float) -> None:
        self._reach("commit_transaction")
        self._deliver()
        self._kafka.commit(self._offsets)
        self._offsets = []

    def abort_transaction(self, _timeout_s: float) -> None:
        self._reach("abort_transaction")
        self._queued, self._offsets = [], []

    def _deliver(self) -> None:
        for topic, value in self._queued:
            error = self._kafka.next_fault("deliver")
            if error is None:
                self._kafka.visible[topic].append(value)
            else:
                self._on_delivery(error, None)
        self._queued = []


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
