"""A micro-batch of raw records, with its own offsets.

It is what the broker hands out, in order, without a gap or a repetition.

The assignment changes inside `poll`. A partition that goes is committed before the group gives it to somebody else
(`on_revoke`); a partition that was lost is not: its new owner has already started from the committed offset.
"""

from collections.abc import Callable, Sequence
from typing import Any

from confluent_kafka import OFFSET_INVALID, Consumer, KafkaError, KafkaException, TopicPartition

from schemas.rollout import PartitionProgress
from stream_app.pipeline.batch import Raw
from stream_app.pipeline.faults import SessionLost, error_of, raise_for

METADATA_TIMEOUT_S = 10.0
LIGHTER = 0.75


class Consumption:
    """The input of one session.

    Args:
        consumer: A client of the group, not yet subscribed.
        topic: The input topic.
        max_bytes: How much one micro-batch may hold, as far as the records before it tell.
        on_revoke: Called while the partitions are still ours: commit what is open.
        on_change: Called with `assigned`, `revoked` or `lost` after the assignment has changed.
    """

    def __init__(
        self,
        consumer: Consumer,
        topic: str,
        max_bytes: int,
        on_revoke: Callable[[], None],
        on_change: Callable[[str], None],
    ) -> None:
        self._consumer = consumer
        self._topic = topic
        self._max_bytes = max_bytes
        self._record_bytes = 0.0
        self._on_revoke = on_revoke
        self._on_change = on_change
        self._fault: Exception | None = None
        self._at_end: set[int] = set()
        self.positions: dict[int, int] = {}
        consumer.subscribe([topic], on_assign=self._assigned, on_revoke=self._revoked, on_lost=self._lost)

    def poll(self, limit: int, timeout_s: float) -> Raw | None:
        """The next micro-batch: at most `limit` records, or what came within `timeout_s`. None when nothing came.

        Fewer where records are heavy: a thousand of a megabyte would be a gigabyte that no queue's cap knows of.

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
        """Take nothing from the broker, but stay in the group. What was already under way may still come."""
        self._consumer.pause(self._consumer.assignment())

    def release(self) -> None:
        """Go on."""
        self._consumer.resume(self._consumer.assignment())

    def progress(self) -> tuple[PartitionProgress, ...]:
        """Position and lag of every assigned partition, from what the client has cached: no round trip."""
        return tuple(
            PartitionProgress(partition, position, self._lag(partition, position))
            for partition, position in sorted(self.positions.items())
        )

    def _raw(self, messages: Sequence[Any]) -> Raw | None:
        records = [message for message in messages if message.error() is None]
        ends = self._ends(messages) if len(records) < len(messages) else {}
        partitions = [record.partition() for record in records]
        if not self.positions.keys() >= set(partitions):
            # Read before a revocation that the same call delivered: their new owner scores these.
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
        """Heavier records are believed at once, lighter ones in the course of some micro-batches."""
        if values:
            mean = sum(map(len, filter(None, values))) / len(values)
            self._record_bytes = max(mean, LIGHTER * self._record_bytes + (1 - LIGHTER) * mean)

    def _ends(self, messages: Sequence[Any]) -> dict[int, int]:
        """Partition to the end that was reached, past the markers and aborted records behind the last record."""
        ends = {}
        for message in messages:
            error = message.error()
            if error is not None and error.code() != KafkaError._PARTITION_EOF:
                raise_for(error, "reading the input")
            if error is not None and message.partition() in self.positions:
                ends[message.partition()] = message.offset()
        return ends

    def _spans(self, last: dict[int, int], ends: dict[int, int]) -> dict[int, tuple[int, int]]:
        """From each position that moves to where it moves: behind the last record, or to the end."""
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
            return 0  # what is between here and the high watermark is not committed by its producer: nobody may read it
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

    def _revoked(self, _consumer: Consumer, partitions: list[TopicPartition]) -> None:
        try:
            self._on_revoke()
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
