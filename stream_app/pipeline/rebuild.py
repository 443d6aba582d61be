"""Rebuilds the windows of one partition from their checkpoint and the log, a stretch of time at each turn of the loop.

First the last whole cut is restored. Then the log is counted from there on, up to where the partition is taken up:
decoded and counted, nothing scored, nothing written. Records of a later cut that was not finished are what the replay
computes; they are laid over the state at their offset, because compaction may have removed the records before them.
What was published of other entities since that cut is let go at the offset at which it was: it is not published again.
"""

import logging
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing, suppress
from datetime import UTC, datetime
from time import monotonic
from typing import Any, NamedTuple

import numpy as np
from confluent_kafka import Consumer, KafkaError, Message, TopicPartition

from models.windows.plan import WindowsError
from schemas.topics import TRANSACTIONS, WINDOW_STATE, WINDOW_TOTALS
from stream_app.kafka import clients
from stream_app.kafka.offsets import offset_at
from stream_app.kafka.records import headers_of
from stream_app.kafka.topics import name
from stream_app.pipeline.batch import Raw
from stream_app.pipeline.enrich import Windows
from stream_app.pipeline.faults import raise_for
from stream_app.pipeline.window_records import CUT, CUT_HEADER, Checkpoint, PublishedTotals, prefix
from stream_app.settings import Settings

CHUNK = 4096
POLL_S = 0.05
ANSWER_S = 10.0
CLOCKS_APART_MS = 3_600_000  # at most, of the worker that took a cut and of those that published since

log = logging.getLogger(__name__)


class Logs(NamedTuple):
    """Where windows are rebuilt from.

    Attributes:
        consumer: Makes a reader of committed records, in no group, that fails where offsets are gone.
        input: Full name of the input topic.
        state: Full name of `window-state`.
        totals: Full name of `window-totals`.
    """

    consumer: Callable[[], Consumer]
    input: str
    state: str
    totals: str


def logs_of(settings: Settings, kafka: Any = clients) -> Logs:
    """Those of an installation.

    Args:
        settings: Where they are.
        kafka: Makes the clients.
    """
    properties = {"enable.partition.eof": True, "auto.offset.reset": "error"}
    topics = (name(settings, topic) for topic in (TRANSACTIONS, WINDOW_STATE, WINDOW_TOTALS))
    return Logs(lambda: kafka.consumer(settings, None, **properties), *topics)


class Rebuild:
    """One partition's windows in the making.

    Attributes:
        state: What is known so far.
        reached: The offset up to which it is known.
        cut: The offset that it was restored from; None: there was no checkpoint that could be used.
        since: Time of the first event that was counted without a past; None: the past is whole, or there was no event.
        is_short: Whether the log began after what the checkpoint, or the log itself, knows.
        begins_whole: Whether nothing was counted that the log does not hold: it has its first record, and no file was.
        partitions: Topic to how many it has: of `window-state`, and of the others where they were looked at.
    """

    def __init__(self, windows: Windows, partition: int, logs: Logs) -> None:
        self._windows = windows
        self._partition = partition
        self._logs = logs
        self._target = 0
        self._steps = self._work()
        self.partitions: dict[str, int] = {}
        self._published: list[PublishedTotals] = []
        self._later: list[tuple[int, list[tuple[bytes, bytes | None]]]]
        self.cut: int | None
        self.since: datetime | None
        self.begins_whole = True
        self._begin(0)

    def turn(self, target: int, budget_s: float) -> bool:
        """Go on for about so long; whether the windows are known up to the target.

        Raises:
            PipelineError, KafkaException: the logs cannot be read.
        """
        self._target = target
        deadline = monotonic() + budget_s
        while monotonic() < deadline:
            if next(self._steps, None) is None:
                return True
        return False

    def close(self) -> None:
        """Let the reader go."""
        self._steps.close()

    def _work(self) -> Generator[bool]:
        with closing(self._logs.consumer()) as consumer:
            checkpoint = Checkpoint(prefix(self._windows.fingerprint, self._partition))
            yield from self._read(consumer, checkpoint)
            place = TopicPartition(self._logs.input, self._partition)
            low, _ = consumer.get_watermark_offsets(place, timeout=ANSWER_S)
            try:
                taken_at = self._restore(checkpoint, low)
                if self._windows.others is not None:
                    yield from self._read_published(consumer, taken_at)
                yield from self._replay(consumer)
            except WindowsError as error:  # somebody else has written there
                log.warning("partition %d: %s; the log is counted from its beginning", self._partition, error)
                self._begin(low)
                if self._windows.others is not None:
                    yield from self._read_published(consumer, 0)
                yield from self._replay(consumer)

    def _place(self, consumer: Consumer, topic: str) -> TopicPartition:
        """Where on an internal topic this partition has its records."""
        self._look_up(consumer, topic)
        return TopicPartition(topic, self._partition % self.partitions[topic])

    def _look_up(self, consumer: Consumer, topic: str) -> None:
        self.partitions[topic] = max(len(consumer.list_topics(topic, timeout=ANSWER_S).topics[topic].partitions), 1)

    def _read(self, consumer: Consumer, checkpoint: Checkpoint) -> Generator[bool]:
        """The whole partition of `window-state` that this one is in."""
        place = self._place(consumer, self._logs.state)
        low, high = consumer.get_watermark_offsets(place, timeout=ANSWER_S)
        consumer.assign([TopicPartition(place.topic, place.partition, low)])
        is_behind = low < high
        while is_behind:
            for message in consumer.consume(CHUNK, POLL_S):
                error = message.error()
                if error is None:
                    checkpoint.add(message.key(), message.value(), _cut_header(message))
                else:
                    is_behind = not _is_end(error, "reading the window state")
            yield True

    def _read_published(self, consumer: Consumer, since_ms: int) -> Generator[bool]:
        """What has been published of other entities in this partition.

        The offsets from which it is taken up were committed with all that was published up to them. So what stands in
        open transactions now is waited for: a marker may come later than the offsets.
        """
        self._look_up(consumer, self._logs.input)
        begin, place = prefix(self._windows.fingerprint, self._partition), self._place(consumer, self._logs.totals)
        _, end = consumer.get_watermark_offsets(place, timeout=ANSWER_S)
        since = datetime.fromtimestamp(since_ms / 1000, UTC)
        at, end = offset_at(consumer, place.topic, place.partition, since, end), -1
        consumer.assign([TopicPartition(place.topic, place.partition, at)])
        while at < end or end < 0:
            messages = consumer.consume(CHUNK, POLL_S)
            for message in messages:
                error = message.error()
                if error is None:
                    self._published += self._heads(message, begin)
                if error is None or _is_end(error, "reading the totals of other entities"):
                    at = max(at, (message.offset() or 0) + (error is None))
            if messages and end < 0:  # an answer of the broker: with it came the end, open transactions included
                _, end = consumer.get_watermark_offsets(place, cached=True)
            yield True
        self.state.published.extend(sorted(self._published))

    def _heads(self, message: Message, begin: bytes) -> Iterator[PublishedTotals]:
        """What a record of `window-totals` has published of this partition, if anything."""
        key, value, totals = message.key() or b"", message.value() or b"", self.state.totals
        if key.startswith(begin) and len(key) == len(begin) + 1 and len(value) > CUT.size and key[-1] < len(totals):
            with suppress(WindowsError):  # somebody else has written there: it is in no view
                yield PublishedTotals(CUT.unpack_from(value)[0], key[-1], *totals[key[-1]].head(value[CUT.size :]))

    def _restore(self, checkpoint: Checkpoint, low: int) -> int:
        """Begin with the last whole cut, or with nothing at the beginning of the log.

        Returns:
            Milliseconds: what was published before this time is not needed.
        """
        self._begin(low)
        self.begins_whole = low == 0 and checkpoint.of_a_file is None
        later = checkpoint.later()
        if any(cut > self._target for cut, _ in later) or (checkpoint.cut or 0) > self._target:
            return 0  # the group was set back: what is written there is of what will be counted again
        self._later = later
        if checkpoint.cut is None:
            return 0
        taken_at = self.state.restore(checkpoint.settled.items(), checkpoint.totals)
        self.reached = max(checkpoint.cut, low)
        self.cut, self.is_short = checkpoint.cut, checkpoint.cut < low
        return max(taken_at - CLOCKS_APART_MS, 0)

    def _begin(self, low: int) -> None:
        """With nothing, at the beginning of the log."""
        self.state, self.reached = self._windows.empty(), low
        self._later, self._published = [], []
        self.cut, self.since, self.is_short = None, None, True

    def _replay(self, consumer: Consumer) -> Generator[bool]:
        """Count the log up to the target."""
        yield True
        if self.reached < self._target:
            consumer.assign([TopicPartition(self._logs.input, self._partition, self.reached)])
        while self.reached < self._target:
            self._take(consumer.consume(CHUNK, POLL_S))
            yield True
        self._lay_over()
        self.state.let_go(self.reached)

    def _take(self, messages: Sequence[Message]) -> None:
        """Count what comes before the target."""
        records = [m for m in messages if m.error() is None and (m.offset() or 0) < self._target]
        while records:
            self._lay_over((records[0].offset() or 0) + 1)
            until = self._later[0][0] if self._later else self._target
            counted = [record for record in records if (record.offset() or 0) < until]
            self._count(counted)
            records = records[len(counted) :]
        for message in messages:
            error = message.error()
            if error is None or _is_end(error, "reading the input again"):
                self.reached = min(max(self.reached, (message.offset() or 0) + (error is None)), self._target)

    def _count(self, records: Sequence[Message]) -> None:
        offsets = [record.offset() or 0 for record in records]
        span = {self._partition: (self.reached, offsets[-1] + 1)}
        raw = Raw([r.value() for r in records], [self._partition] * len(records), offsets, records, span)
        decoded = self._windows.decode(raw)
        if self.is_short and self.since is None and decoded.event_times:
            self.since = min(decoded.event_times).astimezone(UTC)
        rows = np.arange(len(decoded.rows))
        self._windows.count(self.state, decoded, np.array(offsets)[decoded.rows], rows)
        self.reached = offsets[-1] + 1

    def _lay_over(self, until: int | None = None) -> None:
        """The later cuts that stand for an offset before this one; without one all that are left."""
        while self._later and (until is None or self._later[0][0] < until):
            _, records = self._later.pop(0)
            self.state.overlay(records)


def _cut_header(message: Message) -> bytes | None:
    if message.value() is not None:
        return None
    return dict(headers_of(message) or ()).get(CUT_HEADER)


def _is_end(error: KafkaError, doing: str) -> bool:
    """Whether it is the end of the partition.

    Raises:
        PipelineError: it is a failure.
    """
    if error.code() != KafkaError._PARTITION_EOF:
        raise_for(error, doing)
    return True
