"""The clients of a Kafka in memory: what the product uses of each."""

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from threading import Event
from types import SimpleNamespace
from typing import Any

from confluent_kafka import (
    OFFSET_END,
    OFFSET_INVALID,
    KafkaError,
    KafkaException,
    TopicCollection,
    TopicPartition,
)
from confluent_kafka.admin import ConfigResource

from stream_app.testing.memory_cluster import MemoryCluster, MemoryMessage

Step = Callable[["MemoryConsumer"], None]
"""Something that happens to a consumer inside one call of `consume`, after that call has fetched its records."""


class MemoryConsumer:
    """The part of a consumer that the pipeline uses."""

    def __init__(self, kafka: MemoryCluster) -> None:
        self._kafka = kafka
        self._positions: dict[int, int] = {}
        self._ended: set[int] = set()
        self._read: tuple[str, int, int] | None = None  # topic, partition, next offset of a reader without a group
        self.paused: set[int] = set()
        self.waits: list[float] = []  # how long each call would wait for records
        self.closed = False

    def subscribe(self, topics: Sequence[str], on_assign: Any, on_revoke: Any, on_lost: Any) -> None:
        self._topic, self._on = topics[0], {"assign": on_assign, "revoke": on_revoke, "lose": on_lost}

    def assign(self, places: list[TopicPartition]) -> None:
        self._read = places[0].topic, places[0].partition, places[0].offset

    def list_topics(self, topic: str, timeout: float) -> Any:
        partitions = self._kafka.input if topic == self._kafka.input_topic else (0,)
        return SimpleNamespace(topics={topic: SimpleNamespace(partitions=dict.fromkeys(partitions))})

    def offsets_for_times(self, places: list[TopicPartition], timeout: float) -> list[TopicPartition]:
        """The first record of a time, given in place of an offset, or a later one; the end where there is none."""
        (place,) = places
        log = self._log(place.topic, place.partition)
        later = (at for at, message in enumerate(log) if message and message.timestamp()[1] >= place.offset)
        return [TopicPartition(place.topic, place.partition, next(later, OFFSET_END))]

    def seek(self, place: TopicPartition) -> None:
        self._positions[place.partition] = place.offset
        self._ended.discard(place.partition)

    def consume(self, limit: int, timeout_s: float) -> list[MemoryMessage]:
        if self._read is not None:
            return self._again(limit)
        self._kafka.reach("consume")
        self.waits.append(timeout_s)
        messages: list[MemoryMessage] = []
        for partition in sorted(self._positions.keys() - self.paused):
            messages += self._fetch(partition, max(limit - len(messages), 0))
        if self._kafka.script and not (limit == 1 and messages):  # a first record is always asked for the rest, too
            self._kafka.script.popleft()(self)
        return messages

    def _again(self, limit: int) -> list[MemoryMessage]:
        """What a reader without a group reads next; the end comes with the last."""
        topic, partition, at = self._read or ("", 0, 0)
        log = self._log(topic, partition)
        self._read = topic, partition, min(at + limit, len(log))
        end = MemoryMessage(None, len(log), partition=partition, error=KafkaError(KafkaError._PARTITION_EOF))
        return [*(message for message in log[at : at + limit] if message), *([end] if at + limit >= len(log) else [])]

    def _log(self, topic: str, partition: int) -> Sequence[MemoryMessage | None]:
        kafka = self._kafka
        return kafka.input[partition] if topic == kafka.input_topic else kafka.visible[topic]

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
        if place.topic != self._kafka.input_topic:
            return 0, len(self._kafka.visible[place.topic])
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

    def __init__(self, kafka: MemoryCluster) -> None:
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
        answer.set_result({name: SimpleNamespace(value=str(value)) for name, value in self._kafka.kept.items()})
        return dict.fromkeys(resources, answer)


class MemoryProducer:
    """The part of a producer that is used; deliveries are reported where they fail."""

    def __init__(self, kafka: MemoryCluster, properties: Mapping[str, Any]) -> None:
        self._kafka = kafka
        self._on_delivery = properties.get("on_delivery")
        self._identity = properties.get("transactional.id")
        self._queued: list[tuple[str, bytes | None, bytes | None, Any, Any]] = []
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

    def __len__(self) -> int:
        return len(self._queued)

    def produce(
        self,
        topic: str,
        value: bytes | None,
        key: bytes | None = None,
        headers: Any = None,
        on_delivery: Any = None,
        partition: int = -1,
        timestamp: int = 0,
    ) -> None:
        self._reach("produce")
        self._queued.append((topic, value, key, headers, on_delivery or self._on_delivery))

    def poll(self, _timeout_s: float) -> None:
        self._kafka.reach("poll")
        if self._identity is None and self._kafka.acknowledges:
            self._deliver()

    def flush(self, _timeout_s: float) -> int:
        self.poll(0)
        return len(self._queued)

    def purge(self) -> None:
        for *_, on_delivery in self._queued:
            on_delivery(KafkaError(KafkaError._PURGE_QUEUE), None)
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
        queued, self._queued = self._queued, []
        for topic, value, key, headers, on_delivery in queued:
            error = self._kafka.next_fault("deliver")
            if error is None:
                log = self._kafka.visible[topic]
                log.append(MemoryMessage(value, len(log), topic=topic, headers=headers).keyed(key))
            else:
                on_delivery(error, None)


class MemoryTail:
    """Follows topics as `stream_app.kafka.log.Tail` does, two records a poll; silent for some polls after the first."""

    def __init__(self, kafka: MemoryCluster, *topics: str, silent_polls: int = 0) -> None:
        self._kafka = kafka
        self._silent_polls = silent_polls
        self._at = dict.fromkeys(topics, 0)
        self._ends = {topic: len(kafka.visible[topic]) for topic in topics}
        self._pause = Event()

    @property
    def caught_up(self) -> bool:
        return all(map(self.has_read, self._at))

    def has_read(self, topic: str) -> bool:
        return self._at[topic] >= self._ends[topic]

    def poll(self, timeout_s: float, limit: int = 2) -> list[MemoryMessage]:
        self._kafka.reach("poll")
        open_topics = self._at.keys() - self._kafka.held_up
        waiting = [t for t, at in self._at.items() if t in open_topics and at < len(self._kafka.visible[t])]
        silent = sum(self._at.values()) >= 2 and self._silent_polls > 0
        if silent or not waiting:
            self._silent_polls -= silent
            self._pause.wait(min(timeout_s, 0.005))
            return []
        at = self._at[waiting[0]]
        records = self._kafka.visible[waiting[0]][at : at + min(limit, 2)]
        self._at[waiting[0]] += len(records)
        self._kafka.tailed.update((waiting[0], at + i) for i in range(len(records)))
        return records

    def close(self) -> None:
        pass
