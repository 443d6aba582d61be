"""Reads micro-batches from the input: its records in order, without a gap or a repetition, with their own offsets.

Where a partition starts is decided here and nowhere else: at its committed offset, at the place that the ledger has
where the group's offsets are gone, else at its beginning. What the broker has deleted before that place was read is
lost, and handed out by `lost`. The client itself never resets a position: it fails, and the next session looks here.

The assignment changes inside `poll`. A partition that is revoked is committed before the group gives it to another
worker; a partition that was lost is not: its new owner has already started from the committed offset.
"""

from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from typing import Any

from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition

from schemas.rollout import PartitionProgress
from stream_app.kafka.clients import BrokerError
from stream_app.kafka.records import moment_of
from stream_app.pipeline.batch import Raw
from stream_app.pipeline.clock import Clock
from stream_app.pipeline.faults import SessionLost, error_of, raise_for
from stream_app.pipeline.input_topic import InputTopic
from stream_app.pipeline.recall import Accounted

METADATA_TIMEOUT_S = 10.0
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
        self._recall = recall
        self._on_change = on_change
        self._on_notice = on_notice
        self._clock = clock
        self._fault: Exception | None = None
        self._at_end: set[int] = set()
        self._held_up: dict[int, tuple[int, float]] = {}  # since when an open transaction holds which position
        self._read_at: dict[int, datetime] = {}  # timestamp of the newest record that was read
        self._lost_spans: dict[int, tuple[int, int]] = {}
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

    def progress(self) -> tuple[PartitionProgress, ...]:
        """Position and lag of every assigned partition, from the client's cache: no round trip."""
        return tuple(self._progress(*place) for place in sorted(self.positions.items()))

    def lost(self) -> dict[int, tuple[int, int]]:
        """Partition to the offsets that are gone from before its start, from and to; each is handed out once.

        The two are the same for a place that the group has not committed: the next commit does.
        """
        lost, self._lost_spans = self._lost_spans, {}
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
        newest = dict(zip(partitions, records, strict=True))
        self._read_at |= {p: at for p, record in newest.items() if (at := moment_of(record)) is not None}
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
        _, high = self._consumer.get_watermark_offsets(TopicPartition(self._topic.name, partition), cached=True)
        waiting = max(high - position, 0)
        if partition not in self._at_end:
            self._held_up.pop(partition, None)
            return PartitionProgress(partition, position, waiting, expires_in_s=self._expires_in_s(partition, waiting))
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

    def _expires_in_s(self, partition: int, lag: int) -> float | None:
        """Until retention reaches the oldest unread record, which is no older than the newest one that was read."""
        kept, read_at = self._topic.retention_s, self._read_at.get(partition)
        if not lag or kept is None or read_at is None:
            return None
        return round(read_at.timestamp() + kept - self._clock.now().timestamp(), 1)

    def _assigned(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        try:
            starts = self._starts(consumer, [place.partition for place in partitions])
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
        self._on_change("assigned")

    def _starts(self, consumer: Consumer, partitions: list[int]) -> dict[int, int]:
        """Where each partition starts."""
        topic, bounds, accounted = self._topic, dict[int, tuple[int, int]](), dict[int, Accounted]()
        places = [TopicPartition(topic.name, partition) for partition in partitions]
        for place in consumer.committed(places, timeout=METADATA_TIMEOUT_S):
            if place.error is not None:
                raise KafkaException(place.error)
            bounds[place.partition] = consumer.get_watermark_offsets(place, timeout=METADATA_TIMEOUT_S)
            if place.offset >= 0:
                accounted[place.partition] = Accounted(place.metadata or "", place.offset)
        unknown = bounds.keys() - accounted.keys()
        # An empty partition has nothing that could be repeated: for that alone, the ledger is not searched
        searched = [p for p in unknown if bounds[p][0] < bounds[p][1]]
        recalled = {p: found for p, found in self._recall(searched).items() if p in unknown} if unknown else {}
        for partition, found in recalled.items():
            if self._is_here(found, bounds[partition]):
                self._on_notice(
                    f"partition {partition}: the group's committed offset is gone; going on from {found.offset}, "
                    "where the ledger ends"
                )
                self._lost_spans[partition] = (found.offset, found.offset)
        accounted |= recalled
        starts = {p: self._start(p, accounted.get(p), low, end) for p, (low, end) in bounds.items()}
        # A partition of which nothing is on record gets its place committed at once: what is deleted later is missed
        self._lost_spans |= {p: (start, start) for p, start in starts.items() if p not in accounted}
        return starts

    def _is_here(self, place: Accounted, bounds: tuple[int, int]) -> bool:
        """Whether a place is on this topic. One without an id, of an older version, is where the offset can be."""
        return place.topic_id == self._topic.id or (not place.topic_id and place.offset <= bounds[1])

    def _start(self, partition: int, place: Accounted | None, low: int, end: int) -> int:
        """Where to start a partition that was accounted for up to a place, and a notice where that is not the place."""
        if place is None:
            return low
        if not self._is_here(place, (low, end)):
            self._on_notice(
                f"partition {partition}: {self._topic.name} was deleted and made again; its account begins anew at "
                f"{low}, after {place.offset} offsets of the topic before"
            )
            return low
        if place.offset > end:
            self._on_notice(
                f"partition {partition}: the brokers have lost offsets {end} to {place.offset}, which were scored: "
                "see whether a broker came up without its data"
            )
            return end
        if place.offset < low:
            self._lost_spans[partition] = (place.offset, low)
        return max(place.offset, low)

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
            self._lost_spans.pop(place.partition, None)
            self._held_up.pop(place.partition, None)
            self._read_at.pop(place.partition, None)
