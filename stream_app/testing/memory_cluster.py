"""What a Kafka in memory holds: the logs, the offsets of a group, and the faults that a test has ordered."""

from collections import Counter, defaultdict, deque
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime
from typing import Any, TypeVar

import msgspec
from confluent_kafka import TIMESTAMP_CREATE_TIME, KafkaError, TopicPartition

EPOCH = datetime.fromtimestamp(0, UTC)
R = TypeVar("R")


class MemoryMessage:
    """A record, or the end of a partition, as a consumer returns it; `at` may be a timestamp that is no time."""

    def __init__(
        self,
        value: bytes | None,
        offset: int = 0,
        at: datetime | tuple[int, int] = EPOCH,
        partition: int = 0,
        headers: Sequence[tuple[str, bytes | None]] | None = None,
        error: KafkaError | None = None,
        topic: str = "transactions",
    ) -> None:
        self._key: bytes | None = None
        self._value, self._offset, self._at, self._partition = value, offset, at, partition
        self._headers, self._error, self._topic = headers, error, topic

    def __repr__(self) -> str:
        return f"MemoryMessage({self._value!r}, {self._offset}, {self._at!r})"

    def keyed(self, key: bytes | None) -> "MemoryMessage":
        """The same with this key."""
        self._key = key
        return self

    def topic(self) -> str:
        return self._topic

    def partition(self) -> int:
        return self._partition

    def offset(self) -> int:
        return self._offset

    def value(self) -> bytes | None:
        return self._value

    def error(self) -> KafkaError | None:
        return self._error

    def key(self) -> bytes | None:
        return f"key-{self._offset}".encode() if self._key is None else self._key

    def headers(self) -> list[tuple[str, bytes | None]] | None:
        return None if self._headers is None else list(self._headers)

    def timestamp(self) -> tuple[int, int]:
        at = self._at
        return at if isinstance(at, tuple) else (TIMESTAMP_CREATE_TIME, int(at.timestamp() * 1000))


class MemoryCluster:
    """One input topic, committed offsets of one group, and all other topics, of one partition each.

    Attributes:
        input: The log of each input partition; None is an offset without a record, as of a transaction marker.
        input_topic: Its name.
        topic_id: Kafka's id of the input topic; None while there is no such topic.
        kept: Properties of the input topic that say how long it keeps records.
        low: Input partition to its first offset that is not deleted.
        stable: Input partition to its last stable offset, where a transaction is open.
        committed: Input partition to the committed offset of the group.
        metadata: Input partition to what was committed with the offset.
        visible: Topic to the records that a read-committed consumer sees.
        held_up: Topics on which an open transaction hides from tails what comes.
        tailed: How often tails have read each record of these, by topic and offset.
        script: One step for each call of `consume`, then none.
        faults: Name of a client's call to what its next calls raise; None lets one call pass. `deliver` stands for the
            delivery of a record, and takes errors in place of exceptions.
        before: Name of a client's call to what happens before it: time that passes, as a rule.
        acknowledges: Whether the broker acknowledges records.
        owners: Transactional id to the producer that initialised it last.
    """

    def __init__(self, *script: Callable[[Any], None]) -> None:
        self.input: dict[int, list[MemoryMessage | None]] = defaultdict(list)
        self.input_topic = "transactions"
        self.topic_id: str | None = "topic-1"
        self.kept = {"retention.ms": 7 * 24 * 3600 * 1000, "retention.bytes": -1, "segment.bytes": 1024**3}
        self.low: dict[int, int] = defaultdict(int)
        self.stable: dict[int, int] = {}
        self.committed: dict[int, int] = {}
        self.metadata: dict[int, str] = {}
        self.visible: dict[str, list[MemoryMessage]] = defaultdict(list)
        self.held_up: set[str] = set()
        self.tailed: Counter[tuple[str, int]] = Counter()
        self.script: deque[Callable[[Any], None]] = deque(script)
        self.faults: dict[str, deque[Any]] = defaultdict(deque)
        self.before: dict[str, Callable[[], None]] = {}
        self.acknowledges = True
        self.owners: dict[str, object] = {}

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

    def next_fault(self, call: str) -> Any:
        """What the next call of that name raises, if anything."""
        return self.faults[call].popleft() if self.faults[call] else None

    def reach(self, call: str) -> None:
        """A call reaches the broker, unless the script wants it to fail."""
        if call in self.before:
            self.before[call]()
        if (fault := self.next_fault(call)) is not None:
            raise fault
