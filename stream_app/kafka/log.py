"""A topic as a log: read to the end that it has now, or followed as it grows. No group; committed records as a rule.

Statuses are the exception. A worker that is killed may leave a transaction open for a while, and the statuses of all
other workers stand behind it: who is alive must be known without waiting for a dead worker's transaction.

Ends are positions, not offsets of records: transaction markers and aborted records take offsets that no reader is
ever handed.
"""

import time
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from types import TracebackType
from typing import Any, Protocol, Self

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition

from schemas.topics import Topic
from stream_app.kafka import clients, offsets
from stream_app.kafka.clients import BrokerUnavailable, explain
from stream_app.kafka.topics import name
from stream_app.settings import Settings

Place = tuple[str, int]
SILENCE_S = 30.0
POLL_S = 0.05
CHUNK = 1000
# What a client reports while it looks for a broker that is coming back; it goes on by itself
_PASSING = {
    KafkaError._ALL_BROKERS_DOWN,
    KafkaError._TRANSPORT,
    KafkaError._RESOLVE,
    KafkaError._TIMED_OUT,
}


class Record(Protocol):
    """A record as it was read from Kafka: what the product asks of `confluent_kafka.Message`."""

    def topic(self) -> str | None:
        """Full name of its topic."""

    def partition(self) -> int | None:
        """Its partition."""

    def offset(self) -> int | None:
        """Its offset."""

    def timestamp(self) -> tuple[int, int]:
        """Kind of the timestamp, and milliseconds since the epoch."""

    def key(self) -> bytes | None:
        """Its key, encoded."""

    def value(self) -> bytes | None:
        """Its value, encoded."""

    def headers(self) -> Any:
        """Pairs of name and value, or None."""


class Log(Protocol):
    """Topics that are followed as they grow: `Tail`, or a list in a test."""

    @property
    def caught_up(self) -> bool:
        """Whether everything has been read that was there when this was opened."""

    def poll(self, timeout_s: float, limit: int) -> Sequence[Record]:
        """New records, at most `limit`."""

    def close(self) -> None:
        """Stop following."""


class Tail:
    """Follows topics from a point in time on, in the order of each partition.

    Args:
        settings: Where the cluster is.
        topics: What to follow.
        since: Records with this timestamp or a later one; by topic, where topics differ. None: from the beginning.
        bounds: Partition to the first offset that is wanted and the one after the last; None: all of them.
        committed: Leave out what stands in transactions that are open or were aborted.

    Attributes:
        ends: Topic and partition -> the end when this was opened, where there is something to read before it.

    Raises:
        BrokerUnavailable, NotAuthorised: the cluster does not answer, or refuses.
        TopicMissing: one of the topics is not there.
    """

    def __init__(
        self,
        settings: Settings,
        topics: Sequence[Topic],
        since: datetime | Mapping[Topic, datetime] | None = None,
        bounds: Mapping[int, tuple[int, int]] | None = None,
        committed: bool = True,
    ) -> None:
        self._settings = settings
        self._names = [name(settings, topic) for topic in topics]
        isolation = "read_committed" if committed else "read_uncommitted"
        self._consumer = clients.consumer(
            settings,
            None,
            **clients.small_reader(settings),
            **{"enable.partition.eof": True, "isolation.level": isolation},
        )
        starts_at = since if isinstance(since, Mapping) else dict.fromkeys(topics, since)
        times = {name(settings, topic): starts_at.get(topic) for topic in topics}
        try:
            starts, self.ends = _range(self._consumer, settings, times, bounds)
            self._consumer.assign(starts)
        except BaseException as exception:
            self._consumer.close()
            if isinstance(exception, KafkaException):
                raise explain(exception, settings, ", ".join(self._names)) from exception
            raise
        self._behind = set(self.ends)

    @property
    def caught_up(self) -> bool:
        """Whether everything that was committed when this was opened has been handed out."""
        return not self._behind

    def has_read(self, topic: str) -> bool:
        """The same of one topic, by its full name."""
        return all(place[0] != topic for place in self._behind)

    def poll(self, timeout_s: float, limit: int = CHUNK) -> list[Message]:
        """What has come. A broker that is away is waited for in silence: nothing comes, and nothing is skipped.

        Args:
            timeout_s: How long to wait for the first record.
            limit: At most so many.

        Returns:
            The records that were there then, no errors among them.

        Raises:
            TopicMissing, NotAuthorised, BrokerError: waiting will not help.
        """
        try:
            first = self._consumer.poll(timeout_s)  # `consume` would wait for the last, not for the first
            if first is None:
                return []
            return [m for m in (first, *self._consumer.consume(limit - 1, 0)) if self._is_record(m)]
        except KafkaException as exception:
            raise explain(exception, self._settings, ", ".join(self._names)) from exception

    def close(self) -> None:
        """Let the connections go."""
        self._consumer.close()

    def __enter__(self) -> Self:
        """The tail itself."""
        return self

    def __exit__(self, _k: type[BaseException] | None, _e: BaseException | None, _t: TracebackType | None) -> None:
        """Close it."""
        self.close()

    def _is_record(self, message: Message) -> bool:
        error = message.error()
        if self._behind:
            self._note(message)
        if error is None:
            return True
        if error.code() != KafkaError._PARTITION_EOF and error.code() not in _PASSING and not error.retriable():
            raise KafkaException(error)
        return False

    def _note(self, message: Message) -> None:
        """Reached with its last record or, where markers or aborted records are last, when the client says so."""
        place, error = _place(message), message.error()
        if place not in self._behind:
            return
        if error.code() == KafkaError._PARTITION_EOF if error else _offset(message) + 1 >= self.ends[place]:
            self._behind.discard(place)


def read_to_end(
    settings: Settings,
    topic: Topic,
    start: datetime | None = None,
    bounds: Mapping[int, tuple[int, int]] | None = None,
    committed: bool = True,
) -> Iterator[Message]:
    """Every record up to the end that the topic has when the iteration starts, in order within a partition.

    Open transactions are not waited for: the end of committed records is the last stable offset.

    Args:
        settings: Where the cluster is.
        topic: What to read.
        start: Leave out records with an earlier timestamp.
        bounds: Read these offsets only: partition to the first and the one after the last.
        committed: As of `Tail`.

    Yields:
        Records.

    Raises:
        BrokerUnavailable: nobody answers, or nothing came for `SILENCE_S` and the end is not reached.
        NotAuthorised, TopicMissing: see `Tail`.
    """
    with Tail(settings, [topic], start, bounds, committed) as tail:
        heard = time.monotonic()
        while not tail.caught_up:
            messages = tail.poll(POLL_S)
            now = time.monotonic()
            heard = now if messages else heard
            if now - heard > SILENCE_S:
                raise BrokerUnavailable(
                    f"Kafka at {settings.bootstrap_servers} fell silent while {name(settings, topic)} was read: "
                    "look at the broker, and try again"
                )
            yield from (m for m in messages if _offset(m) < tail.ends.get(_place(m), 0))


def read_backwards(
    settings: Settings, topic: Topic, limit: int | None = None, partition: int | None = None
) -> Iterator[Iterator[Message]]:
    """The committed records of a topic in stretches, the newest stretch first, each twice as long.

    A stretch has as many offsets of every partition, in the order of the log. For a search that most often ends near
    the end of the log.

    Args:
        settings: Where the cluster is.
        topic: What to read.
        limit: At most so many offsets of each partition; None: all.
        partition: Only this one; None: all.

    Raises:
        BrokerUnavailable, NotAuthorised, TopicMissing: as `read_to_end` does.
    """
    full = name(settings, topic)
    consumer = clients.consumer(settings, None, **clients.small_reader(settings))
    try:
        there = offsets.partitions(consumer, settings, full) if partition is None else [partition]
        left = {p: offsets.watermarks(consumer, full, p) for p in there}
    except KafkaException as exception:
        raise explain(exception, settings, full) from exception
    finally:
        consumer.close()
    if limit is not None:
        left = {p: (max(low, end - limit), end) for p, (low, end) in left.items()}
    length = CHUNK
    while left := {p: (low, end) for p, (low, end) in left.items() if low < end}:
        bounds = {p: (max(low, end - length), end) for p, (low, end) in left.items()}
        yield read_to_end(settings, topic, bounds=bounds)
        left = {p: (low, bounds[p][0]) for p, (low, _) in left.items()}
        length *= 2


def _place(message: Message) -> Place:
    return message.topic() or "", message.partition() or 0  # the stubs allow None, for messages not yet sent


def _offset(message: Message) -> int:
    return message.offset() or 0


def _range(
    consumer: Consumer,
    settings: Settings,
    times: Mapping[str, datetime | None],
    bounds: Mapping[int, tuple[int, int]] | None,
) -> tuple[list[TopicPartition], dict[Place, int]]:
    """Where to start in each partition, and the end of the partitions that have records between."""
    starts: list[TopicPartition] = []
    ends: dict[Place, int] = {}
    for topic, since in times.items():
        for partition in offsets.partitions(consumer, settings, topic):
            if bounds is not None and partition not in bounds:
                continue
            low, high = offsets.watermarks(consumer, topic, partition)
            if bounds is not None:
                low, high = max(low, bounds[partition][0]), min(high, bounds[partition][1])
            # The end is asked for first: what arrives in between is after it, and so is its place in time
            first = low if since is None else offsets.offset_at(consumer, topic, partition, since, high)
            starts.append(TopicPartition(topic, partition, first))
            if first < high:
                ends[topic, partition] = high
    return starts, ends
