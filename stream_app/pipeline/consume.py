"""Reads micro-batches from the input: its records in order, without a gap or a repetition, with their own offsets.

Where a partition starts is decided in `starts` and nowhere else. What will never be read is lost, and handed out by
`lost`. The client itself never resets a position: it fails, and the next session looks there.

The assignment changes inside `poll`. A partition that is revoked is committed before the group gives it to another
worker; a partition that was lost is not: its new owner has already started from the committed offset.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition

from schemas.rollout import PartitionProgress
from stream_app.kafka.clients import BrokerError
from stream_app.pipeline.batch import Raw
from stream_app.pipeline.clock import Clock
from stream_app.pipeline.expiry import Expiry
from stream_app.pipeline.faults import SessionLost, error_of, raise_for
from stream_app.pipeline.input_topic import InputTopic
from stream_app.pipeline.recall import Accounted
from stream_app.pipeline.starts import Gap, Starts

LIGHTER = 0.75


class InputConsumer:
    """The input of one session.

    Args:
        consumer: A client of the group, not yet subscribed.
        topic: The input topic.
        max_bytes: How much one micro-batch may hold, estimated from the sizes of the records before it.
        recall: Up to where the ledger accounts for partitions.
        on_change: Called with `assigned`, `revoked` or `lost` after the assignment has changed.
        on_notice: Called with a sentence about a partition that could not simply go on.
        clock: The time.

    Attributes:
        positions: Assigned partition to the next offset to read.
        waits_for_windows: Whether a new partition is read only once it is admitted.
        waiting: Assigned partitions that are not read yet.
    """

    def __init__(
        self,
        consumer: Consumer,
        topic: InputTopic,
        max_bytes: int,
        recall: Callable[[Iterable[int]], dict[int, Accounted]],
        on_change: Callable[[str], None],
        on_notice: Callable[[str], None],
        clock: Clock,
    ) -> None:
        self._consumer = consumer
        self._topic = topic
        self._max_bytes = max_bytes
        self._record_bytes = 0.0
        self._starts = Starts(topic, recall, on_notice)
        self._expiry = Expiry(topic.kept, clock)
        self._on_change = on_change
        self._clock = clock
        self._fault: Exception | None = None
        self._at_end: set[int] = set()
        self._held_up: dict[int, tuple[int, float]] = {}  # since when an open transaction holds which position
        self._gaps: dict[int, Gap] = {}
        self._held = False
        self.positions: dict[int, int] = {}
        self.waits_for_windows = False
        self.waiting: set[int] = set()

    def subscribe(self, commit: Callable[[], None]) -> None:
        """Join the group.

        Args:
            commit: Called while revoked partitions still belong to this worker.
        """
        self._consumer.subscribe(
            [self._topic.name],
            on_assign=self._assigned,
            on_revoke=lambda _, partitions: self._revoked(partitions, commit),
            on_lost=self._lost,
        )

    def poll(self, limit: int, timeout_s: float, idle_s: float = 0.0) -> Raw | None:
        """The next micro-batch: at most `limit` records, or those that came within `timeout_s`. None when none came.

        Fewer if records are heavy: a thousand of a megabyte would be a gigabyte beyond the cap of any queue. Where
        `idle_s` is given, the first record is waited for so long: a quiet worker need not look 300 times a second.

        Raises:
            PipelineError: the session is lost or cannot work.
        """
        most = min(limit, max(int(self._max_bytes / max(self._record_bytes, 1.0)), 1))
        try:
            first: Sequence[Any] = self._consumer.consume(1, idle_s) if idle_s else []
            more = most - len(first) if first or not idle_s else 0
            rest = self._consumer.consume(more, timeout_s) if more else []
            messages = [*first, *rest]
        except KafkaException as exception:
            raise_for(error_of(exception), "reading the input")
        if self._fault is not None:
            raise self._fault
        return self._raw(messages) if messages else None

    def hold(self) -> None:
        """Fetch nothing more, but stay in the group. Records that were already under way may still come."""
        self._held = True
        self._consumer.pause(self._consumer.assignment())

    def release(self) -> None:
        """Fetch again."""
        self._held = False
        self._consumer.resume([p for p in self._consumer.assignment() if p.partition not in self.waiting])

    def admit(self, partition: int) -> None:
        """Read a partition that waited."""
        self.waiting.discard(partition)
        place = TopicPartition(self._topic.name, partition, self.positions[partition])
        self._consumer.seek(place)  # whatever was fetched before it waited
        if not self._held:
            self._consumer.resume([place])

    def is_quiet(self, partition: int) -> bool:
        """Whether everything of a partition has been read that there is, as far as the client knows."""
        if self._held or partition in self.waiting or partition not in self._at_end:
            return False
        _, high = self._consumer.get_watermark_offsets(TopicPartition(self._topic.name, partition), cached=True)
        return bool(high <= self.positions[partition])

    def progress(self) -> tuple[PartitionProgress, ...]:
        """Position and lag of every assigned partition, from the client's cache: no round trip."""
        return tuple(self._progress(*place) for place in sorted(self.positions.items()))

    def lost(self) -> dict[int, Gap]:
        """Partition to the offsets before its start that are never read; each is handed out once.

        There are none for a place that the group has not committed: the next commit does.
        """
        lost, self._gaps = self._gaps, {}
        return lost

    def _raw(self, messages: Sequence[Any]) -> Raw | None:
        records = [message for message in messages if message.error() is None]
        ends = self._ends(messages) if len(records) < len(messages) else {}
        partitions = [record.partition() for record in records]
        if self.waiting or not self.positions.keys() >= set(partitions):
            # Fetched before a revocation that the same call delivered: the new owner scores these.
            records = [record for record in records if record.partition() in self.positions.keys() - self.waiting]
            partitions = [record.partition() for record in records]
        offsets = [record.offset() for record in records]
        spans = self._spans(dict(zip(partitions, offsets, strict=True)), ends)  # the last offset of each partition wins
        if not spans:
            return None
        self.positions.update({partition: end for partition, (_, end) in spans.items()})
        self._expiry.read(dict(zip(partitions, records, strict=True)).items())
        values = [record.value() for record in records]
        self._weigh(values)
        return Raw(values, partitions, offsets, records, spans)

    def _weigh(self, values: Sequence[bytes | None]) -> None:
        """Estimate the size of the next records: up at once, down over some micro-batches."""
        if values:
            mean = sum(map(len, filter(None, values))) / len(values)
            self._record_bytes = max(mean, LIGHTER * self._record_bytes + (1 - LIGHTER) * mean)

    def _ends(self, messages: Sequence[Any]) -> dict[int, int]:
        """Partition to the end that was reached, beyond transaction markers and aborted records."""
        ends = {}
        for message in messages:
            error = message.error()
            if error is not None and error.code() != KafkaError._PARTITION_EOF:
                raise_for(error, "reading the input")
            if error is not None and message.partition() in self.positions.keys() - self.waiting:
                ends[message.partition()] = message.offset()
        return ends

    def _spans(self, last: dict[int, int], ends: dict[int, int]) -> dict[int, tuple[int, int]]:
        """Old and new position of each partition that moves: behind its last record, or to its end."""
        spans = {partition: (self.positions[partition], offset + 1) for partition, offset in last.items()}
        self._at_end -= last.keys()
        for partition, end in ends.items():
            start, reached = spans.get(partition, (self.positions[partition],) * 2)
            if end >= reached:
                self._at_end.add(partition)
            if end > reached:
                spans[partition] = (start, end)
        return spans

    def _progress(self, partition: int, position: int) -> PartitionProgress:
        low, high = self._consumer.get_watermark_offsets(TopicPartition(self._topic.name, partition), cached=True)
        expires_in_s = self._expiry.in_s(partition, low, position, high, self._record_bytes)
        waiting = max(high - position, 0)
        if partition not in self._at_end:
            self._held_up.pop(partition, None)
            return PartitionProgress(partition, position, waiting, expires_in_s=expires_in_s)
        # From the last stable offset up to the high watermark stands what an open transaction holds back
        if not waiting:
            self._held_up.pop(partition, None)
            return PartitionProgress(partition, position, 0)
        now = self._clock.monotonic()
        held, since = self._held_up.get(partition, (position, now))
        if held != position:
            since = now
        self._held_up[partition] = (position, since)
        return PartitionProgress(partition, position, 0, waiting, round(now - since, 1))

    def _assigned(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        try:
            starts, gaps = self._starts.find(consumer, [place.partition for place in partitions])
            places = [TopicPartition(self._topic.name, p, offset) for p, offset in starts.items()]
            consumer.incremental_assign(places)
            if self.waits_for_windows:
                consumer.pause(places)
                self.waiting |= starts.keys()
        except KafkaException as exception:
            self._fault = SessionLost("assignment", f"reading the committed offsets: {error_of(exception).str()}")
            return
        except BrokerError as error:
            self._fault = SessionLost("assignment", f"reading the ledger: {error}")
            return
        self.positions.update(starts)
        self._gaps |= gaps
        self._on_change("assigned")

    def _revoked(self, partitions: list[TopicPartition], commit: Callable[[], None]) -> None:
        try:
            commit()
        except Exception as fault:  # an exception must not cross the client's callback: it is raised by poll
            self._fault = fault
        self._drop(partitions)
        self._on_change("revoked")

    def _lost(self, _consumer: Consumer, partitions: list[TopicPartition]) -> None:
        self._drop(partitions)
        self._fault = SessionLost(
            "lost", "the group has given this worker's partitions away: it was too slow or cut off"
        )
        self._on_change("lost")

    def _drop(self, partitions: list[TopicPartition]) -> None:
        for place in partitions:
            self.positions.pop(place.partition, None)
            self.waiting.discard(place.partition)
            self._at_end.discard(place.partition)
            self._gaps.pop(place.partition, None)
            self._held_up.pop(place.partition, None)
            self._expiry.forget(place.partition)
