"""Reads micro-batches from the input: its records in order, without a gap or a repetition, with their own offsets.

The assignment changes inside `poll`. A partition that is revoked is committed before the group gives it to another
worker; a partition that was lost is not: its new owner has already started from the committed offset.
"""

from collections.abc import Callable, Sequence
from typing import Any

from confluent_kafka import OFFSET_INVALID, Consumer, KafkaError, KafkaException, TopicPartition

from schemas.rollout import PartitionProgress
from stream_app.pipeline.batch import Raw
from stream_app.pipeline.faults import SessionLost, error_of, raise_for

METADATA_TIMEOUT_S = 10.0
LIGHTER = 0.75


class InputConsumer:
    """The input of one session.

    Args:
        consumer: A client of the group, not yet subscribed.
        topic: The input topic.
        max_bytes: How much one micro-batch may hold, estimated from the sizes of the records before it.
        on_change: Called with `assigned`, `revoked` or `lost` after the assignment has changed.

    Attributes:
        positions: Assigned partition to the next offset to read.
    """

    def __init__(self, consumer: Consumer, topic: str, max_bytes: int, on_change: Callable[[str], None]) -> None:
        self._consumer = consumer
        self._topic = topic
        self._max_bytes = max_bytes
        self._record_bytes = 0.0
        self._on_change = on_change
        self._fault: Exception | None = None
        self._at_end: set[int] = set()
        self.positions: dict[int, int] = {}

    def subscribe(self, commit: Callable[[], None]) -> None:
        """Join the group.

        Args:
            commit: Called while revoked partitions still belong to this worker.
        """
        self._consumer.subscribe(
            [self._topic],
            on_assign=self._assigned,
            on_revoke=lambda _, partitions: self._revoked(partitions, commit),
            on_lost=self._lost,
        )

    def poll(self, limit: int, timeout_s: float) -> Raw | None:
        """The next micro-batch: at most `limit` records, or those that came within `timeout_s`. None when none came.

        Fewer if records are heavy: a thousand of a megabyte would be a gigabyte beyond the cap of any queue.

        Raises:
            PipelineError: the session is lost or cannot work.
        """
        room = int(self._max_bytes / max(self._record_bytes, 1.0))
        try:
            messages: Sequence[Any] = self._consumer.consume(min(limit, max(room, 1)), timeout_s)
        except KafkaException as exception:
            raise_for(error_of(exception), "reading the input")
        if self._fault is not None:
            raise self._fault
        return self._raw(messages) if messages else None

    def hold(self) -> None:
        """Fetch nothing more, but stay in the group. Records that were already under way may still come."""
        self._consumer.pause(self._consumer.assignment())

    def release(self) -> None:
        """Fetch again."""
        self._consumer.resume(self._consumer.assignment())

    def progress(self) -> tuple[PartitionProgress, ...]:
        """Position and lag of every assigned partition, from the client's cache: no round trip."""
        return tuple(
            PartitionProgress(partition, position, self._lag(partition, position))
            for partition, position in sorted(self.positions.items())
        )

    def _raw(self, messages: Sequence[Any]) -> Raw | None:
        records = [message for message in messages if message.error() is None]
        ends = self._ends(messages) if len(records) < len(messages) else {}
        partitions = [record.partition() for record in records]
        if not self.positions.keys() >= set(partitions):
            # Fetched before a revocation that the same call delivered: the new owner scores these.
            records = [record for record in records if record.partition() in self.positions]
            partitions = [record.partition() for record in records]
        offsets = [record.offset() for record in records]
        spans = self._spans(dict(zip(partitions, offsets, strict=True)), ends)  # the last offset of each partition wins
        if not spans:
            return None
        self.positions.update({partition: end for partition, (_, end) in spans.items()})
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
            if error is not None and message.partition() in self.positions:
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

    def _lag(self, partition: int, position: int) -> int:
        if partition in self._at_end:
            return 0  # up to the high watermark there are only records of open transactions, which must not be read yet
        _, high = self._consumer.get_watermark_offsets(TopicPartition(self._topic, partition), cached=True)
        return max(high - position, 0)

    def _assigned(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        try:
            self.positions.update(self._starts(consumer, partitions))
        except KafkaException as exception:
            self._fault = SessionLost("assignment", f"reading the committed offsets: {error_of(exception).str()}")
            return
        self._on_change("assigned")

    def _starts(self, consumer: Consumer, partitions: list[TopicPartition]) -> dict[int, int]:
        """Where each partition starts: its committed offset, or its beginning for a new group."""
        starts = {}
        for place in consumer.committed(partitions, timeout=METADATA_TIMEOUT_S):
            if place.error is not None:
                raise KafkaException(place.error)
            offset = place.offset
            if offset == OFFSET_INVALID:
                offset, _ = consumer.get_watermark_offsets(place, timeout=METADATA_TIMEOUT_S)
            starts[place.partition] = offset
        return starts

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
            self._at_end.discard(place.partition)
