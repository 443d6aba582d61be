"""Rebuilds the windows of one partition from their checkpoint and the log, a stretch of time at each turn of the loop.

First the last whole cut is restored. Then the log is counted from there on, up to where the partition is taken up:
decoded and counted, nothing scored, nothing written. Records of a later cut that was not finished are what the replay
computes; they are laid over the state at their offset, because compaction may have removed the records before them.
"""

import logging
from collections.abc import Callable, Generator, Sequence
from contextlib import closing
from datetime import UTC, datetime
from time import monotonic
from typing import Any, NamedTuple

import numpy as np
from confluent_kafka import Consumer, KafkaError, Message, TopicPartition

from models.windows.plan import WindowsError
from schemas.topics import TRANSACTIONS, WINDOW_STATE
from stream_app.kafka import clients
from stream_app.kafka.records import headers_of
from stream_app.kafka.topics import name
from stream_app.pipeline.batch import Raw
from stream_app.pipeline.enrich import Windows
from stream_app.pipeline.faults import raise_for
from stream_app.pipeline.window_records import CUT_HEADER, Checkpoint, prefix
from stream_app.settings import Settings

CHUNK = 4096
POLL_S = 0.05
ANSWER_S = 10.0

log = logging.getLogger(__name__)


class Logs(NamedTuple):
    """Where windows are rebuilt from.

    Attributes:
        consumer: Makes a reader of committed records, in no group, that fails where offsets are gone.
        input: Full name of the input topic.
        state: Full name of `window-state`.
    """

    consumer: Callable[[], Consumer]
    input: str
    state: str


def logs_of(settings: Settings, kafka: Any = clients) -> Logs:
    """Those of an installation.

    Args:
        settings: Where they are.
        kafka: Makes the clients.
    """
    properties = {"enable.partition.eof": True, "auto.offset.reset": "error"}
    topics = name(settings, TRANSACTIONS), name(settings, WINDOW_STATE)
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
        state_partitions: Of `window-state`.
    """

    def __init__(self, windows: Windows, partition: int, logs: Logs) -> None:
        self._windows = windows
        self._partition = partition
        self._logs = logs
        self._target = 0
        self._steps = self._work()
        self.state_partitions = 1
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
                self._restore(checkpoint, low)
                yield from self._replay(consumer)
            except WindowsError as error:  # somebody else has written there
                log.warning("partition %d: %s; the log is counted from its beginning", self._partition, error)
                self._begin(low)
                yield from self._replay(consumer)

    def _read(self, consumer: Consumer, checkpoint: Checkpoint) -> Generator[bool]:
        """The whole partition of `window-state` that this one is in."""
        topic = self._logs.state
        self.state_partitions = max(len(consumer.list_topics(topic, timeout=ANSWER_S).topics[topic].partitions), 1)
        place = TopicPartition(topic, self._partition % self.state_partitions)
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

    def _restore(self, checkpoint: Checkpoint, low: int) -> None:
        """Begin with the last whole cut, or with nothing at the beginning of the log."""
        self._begin(low)
        self.begins_whole = low == 0 and checkpoint.of_a_file is None
        later = checkpoint.later()
        if any(cut > self._target for cut, _ in later) or (checkpoint.cut or 0) > self._target:
            return  # the group was set back: what is written there is of what will be counted again
        self._later = later
        if checkpoint.cut is None:
            return
        self.state.restore(checkpoint.settled.items())
        self.reached = max(checkpoint.cut, low)
        self.cut, self.is_short = checkpoint.cut, checkpoint.cut < low

    def _begin(self, low: int) -> None:
        """With nothing, at the beginning of the log."""
        self.state, self.reached = self._windows.empty(), low
        self._later = []
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
