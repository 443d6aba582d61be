"""Ids that come a second time: a producer that retries without idempotence sends one event twice.

As a rule they are counted alone: each is a record of its own place, scored like any other. With `repeat_window_s` an
event is scored once, and what comes again is a dead letter, `repeated` (ADR 45). Whether it does is a function of the
partition's log: where a partition is taken up, the records before are read back.
"""

from collections.abc import Callable, Sequence
from contextlib import closing
from time import monotonic

from confluent_kafka import Consumer, KafkaError, Message, TopicPartition

from schemas.definition import Definition
from schemas.scoring import RefusalCode
from stream_app.kafka.records import milliseconds_of
from stream_app.pipeline.batch import Decoded, Raw
from stream_app.pipeline.faults import SessionLost, raise_for
from stream_app.settings import Settings

KEPT = 16_000  # ids in each of two generations: some 3 MB together
CHUNK = 4096
POLL_S = 0.05
ANSWER_S = 10.0
SILENCE_S = 30.0

Decode = Callable[[Raw], Decoded]


class Repeats:
    """The latest ids of one session, between one and two times `KEPT` of them."""

    def __init__(self) -> None:
        self._young: set[str] = set()
        self._old: set[str] = set()

    def count(self, ids: Sequence[str]) -> int:
        """How many of a micro-batch were there before, in it or in those before it."""
        from_old = self._old.intersection(ids)
        from_old -= self._young  # empty as a rule
        known = len(self._young)
        self._young.update(ids)
        repeated = len(ids) - (len(self._young) - known) + len(from_old)
        if len(self._young) > KEPT:
            self._old, self._young = self._young, set()
        return repeated


class Stretches:
    """The ids of one partition, by hash, each with when it came last; of a stretch of offsets and of the one before.

    Stretches lie where the offsets say, not where a worker began: so what is known is the same for every owner.

    Attributes:
        reached: The offset up to which the log is known.
    """

    def __init__(self, reached: int, length: int) -> None:
        self.reached = reached
        self._length = length
        self._number = reached // length
        self._young: dict[int, int] = {}
        self._old: dict[int, int] = {}

    @property
    def first(self) -> int:
        """The first offset that matters to the next record."""
        return max((self._number - 1) * self._length, 0)

    def __len__(self) -> int:
        """How many ids are held."""
        return len(self._young) + len(self._old)

    def meet(self, event_id: str, offset: int, came_ms: int) -> int | None:
        """Take an event in. How many milliseconds before it its id came last, negative too; None if it did not.

        Where a record has no time, 0: its place alone counts.
        """
        number, key = offset // self._length, hash(event_id)
        if number != self._number:
            self._old = self._young if number == self._number + 1 else {}
            self._number, self._young = number, {}
        before = self._young.get(key)
        if before is None:
            before = self._old.get(key)
        self._young[key] = came_ms
        if before is None:
            return None
        return came_ms - before if came_ms and before else 0


class Once:
    """Decodes, and refuses each event whose id came shortly before in its partition.

    Args:
        decode: Of the events that count.
        definition: What it reads.
        settings: How shortly.
        consumer: Makes a reader of committed records.
        topic: Full name of the input.
    """

    def __init__(
        self, decode: Decode, definition: Definition, settings: Settings, consumer: Callable[[], Consumer], topic: str
    ) -> None:
        self._decode = decode
        self._reads = definition.event, definition.inputs
        self._within_ms = settings.repeat_window_s * 1000
        self._length = settings.repeat_window_offsets
        self._consumer, self._topic = consumer, topic
        self._known: dict[int, Stretches] = {}

    def after(self, before: object) -> "Once":
        """The same, with what another knows if the same records count for both: a swap reads nothing back."""
        if isinstance(before, Once) and before._reads == self._reads:
            self._known = before._known
        return self

    def __call__(self, raw: Raw) -> Decoded:
        """Decode a micro-batch; each batch of a partition goes on where the one before ended, or its log is read back.

        Raises:
            PipelineError: it cannot be read.
        """
        for partition, (start, _) in raw.spans.items():
            known = self._known.get(partition)
            if known is None or known.reached != start:
                self._known[partition] = self._read_back(partition, start)
        decoded = self._meet(raw)
        for partition, (_, end) in raw.spans.items():
            self._known[partition].reached = end
        return decoded

    def _meet(self, raw: Raw) -> Decoded:
        decoded, again = self._decode(raw), dict[int, str]()
        for i, (row, event_id) in enumerate(zip(decoded.rows.tolist(), decoded.event_ids, strict=True)):
            known, came_ms = self._known[raw.partitions[row]], milliseconds_of(raw.records[row]) or 0
            age_ms = known.meet(event_id, raw.offsets[row], came_ms)
            if age_ms is not None and age_ms <= self._within_ms:
                again[i] = f"an event with this id came {max(age_ms, 0) / 1000:g} s before in the same partition"
        return decoded.refuse(again, RefusalCode.REPEATED) if again else decoded

    def _read_back(self, partition: int, until: int) -> Stretches:
        """What a worker knows that has read the partition up to an offset."""
        known = self._known[partition] = Stretches(until, self._length)
        if not until:
            return known
        with closing(self._consumer()) as consumer:
            place = TopicPartition(self._topic, partition)
            at = max(known.first, consumer.get_watermark_offsets(place, timeout=ANSWER_S)[0])
            known = self._known[partition] = Stretches(at, self._length)
            if at < until:
                consumer.assign([TopicPartition(self._topic, partition, at)])
            heard_at = monotonic()
            while known.reached < until:
                messages = consumer.consume(CHUNK, POLL_S)
                heard_at = monotonic() if messages else heard_at
                if monotonic() - heard_at > SILENCE_S:
                    raise SessionLost("repeats", f"partition {partition} cannot be read back to {until}")
                self._take(partition, messages, until)
        return known

    def _take(self, partition: int, messages: Sequence[Message], until: int) -> None:
        known = self._known[partition]
        records = [m for m in messages if m.error() is None and (m.offset() or 0) < until]
        if records:
            offsets = [record.offset() or 0 for record in records]
            self._meet(Raw([record.value() for record in records], [partition] * len(records), offsets, records, {}))
        for message in messages:
            error = message.error()
            if error is not None and error.code() != KafkaError._PARTITION_EOF:
                raise_for(error, "reading the input back")
            known.reached = min(max(known.reached, (message.offset() or 0) + (error is None)), until)


def once(
    decode: Decode, definition: Definition, settings: Settings, consumer: Callable[[], Consumer], topic: str
) -> Decode:
    """The decoder, which refuses what comes again if that is set."""
    return Once(decode, definition, settings, consumer, topic) if settings.repeat_window_s else decode
