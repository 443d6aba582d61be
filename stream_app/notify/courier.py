"""Tells one destination, as a consumer group of its own: in order, at least once, each message under one key.

Anomalies of an entity are put together by the time of their records: a bucket of `group_s` ends with the first record
of a later one, or when its time is over and nothing more waits. Offsets are committed where nothing is held back, so
whoever goes on from there puts the same together, and sends it under the same keys.
"""

import json
import logging
import os
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event
from typing import Any

import msgspec
from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition

from schemas.drift import DriftAlert
from schemas.scoring import Anomaly
from schemas.topics import Topic
from stream_app.kafka import clients, topics
from stream_app.kafka.records import RecordDecoder, milliseconds_of, posted_at
from stream_app.kafka.roles import NOTIFYING
from stream_app.metrics import NotifyMetrics
from stream_app.notify.destinations import Destination
from stream_app.notify.notification import Notification, of_anomalies, of_drift
from stream_app.notify.sending import Sender, Undeliverable
from stream_app.pipeline.clock import SYSTEM, Clock
from stream_app.settings import Settings

MOST = 200
POLL_S, ANSWER_S = 0.2, 10.0
ALIVE_S = 1.0  # between two polls while a destination is waited for
SLACK_S = 2.0  # after a bucket is over: what a worker has in an open transaction carries an older time
ENDS_IT = {
    KafkaError.TOPIC_AUTHORIZATION_FAILED,
    KafkaError.GROUP_AUTHORIZATION_FAILED,
    KafkaError.UNKNOWN_TOPIC_OR_PART,
}

log = logging.getLogger(__name__)


class Interrupted(Exception):  # noqa: N818 - named after the state of the world
    """The program is to end, or partitions are another's now: what was not taken is told again."""


@dataclass
class Flow:
    """One partition.

    Attributes:
        reached: The offset after the last record that was taken in.
        committed: As the group knows it.
        bucket: Number of the open bucket; None: nothing has come since the last was closed.
        latest_ms: The newest time in it: a record with an older one belongs there too.
        held: Entity to its anomalies in the open bucket, in the order of their first.
        is_at_end: Nothing more waits.
    """

    reached: int = -1
    committed: int = -1
    bucket: int | None = None
    latest_ms: int = 0
    held: dict[str, list[Anomaly]] = field(default_factory=dict)
    is_at_end: bool = False


class Courier:
    """Tells one destination until it is stopped; `step` is called again and again by one thread.

    Args:
        settings: Where Kafka is.
        destination: Who is told.
        undelivered: Takes a line of JSON for each message that no try delivered.
        sender: Sends to it.
        metrics: What became of messages.
        clock: The time.
        consumer: Makes a member of a group.
    """

    def __init__(
        self,
        settings: Settings,
        destination: Destination,
        undelivered: Path,
        sender: Sender,
        metrics: NotifyMetrics,
        clock: Clock = SYSTEM,
        consumer: Callable[..., Consumer] = clients.consumer,
    ) -> None:
        self._settings, self._destination, self._undelivered = settings, destination, undelivered
        self._sender, self._metrics, self._clock = sender, metrics, clock
        self._stop = Event()
        self._flows: dict[tuple[str, int], Flow] = {}
        self._generation = 0
        self._topics: dict[str, tuple[Topic, RecordDecoder[Any]]] = {
            topics.name(settings, topic): (topic, RecordDecoder(topic.record, metrics.skipped))
            for topic in destination.reads
        }
        group = f"{settings.group}{NOTIFYING}{destination.name}"
        own = {
            "enable.partition.eof": True,
            "partition.assignment.strategy": "range",  # eager: what is taken away is taken from all, and begins anew
            "session.timeout.ms": settings.session_timeout_ms,
        }
        self._consumer = consumer(settings, group, **own)
        self._consumer.subscribe([*self._topics], on_assign=self._assigned, on_revoke=self._gone, on_lost=self._gone)

    def stop(self) -> None:
        """Let a message that is being tried be told again another time. Returns at once."""
        self._stop.set()

    def close(self) -> None:
        """Leave the group; what is held back is told by the next."""
        self._consumer.close()

    def step(self) -> None:
        """Take in what has come, and tell what is to be told.

        Raises:
            BrokerError: a topic cannot be read.
        """
        messages, generation = self._consumer.consume(MOST, POLL_S), self._generation
        with suppress(Interrupted):
            for message in messages:
                if generation == self._generation:  # else the partitions begin anew at what is committed
                    self._take(message)
            self._close_what_is_over()
            if not messages:
                self._commit_what_was_passed_over()

    def _take(self, message: Message) -> None:
        error, place = message.error(), (message.topic() or "", message.partition() or 0)
        if error is not None:
            if error.code() in ENDS_IT:
                raise clients.explain(KafkaException(error), self._settings, place[0])
            self._note_ends([message])
            return
        flow = self._flows.setdefault(place, Flow())
        flow.is_at_end = False
        for _, record in self._topics[place[0]][1].each([message]):
            if self._destination.wants(record):
                self._tell(place, flow, message, record)
        flow.reached = (message.offset() or 0) + 1

    def _note_ends(self, messages: Sequence[Message]) -> None:
        for message in messages:
            error, flow = message.error(), self._flows.get((message.topic() or "", message.partition() or 0))
            if flow is not None and error is not None and error.code() == KafkaError._PARTITION_EOF:
                flow.is_at_end = True

    def _tell(self, place: tuple[str, int], flow: Flow, message: Message, record: Anomaly | DriftAlert) -> None:
        """Tell of a record, or hold it back with others of its entity."""
        if isinstance(record, DriftAlert):
            return self._deliver(place, flow, [of_drift(record, posted_at(message) or record.raised_at)], message)
        if not self._destination.group_s:
            return self._deliver(place, flow, [of_anomalies([record])], message)
        came_ms = max(milliseconds_of(message) or 0, flow.latest_ms)
        bucket = int(came_ms // (self._destination.group_s * 1000))
        if flow.bucket is not None and bucket != flow.bucket:
            self._close(place, flow, message.offset() or 0)
        flow.bucket, flow.latest_ms = bucket, came_ms
        flow.held.setdefault(record.entity, []).append(record)
        return None

    def _deliver(self, place: tuple[str, int], flow: Flow, told: Sequence[Notification], message: Message) -> None:
        for notification in told:
            self._send(notification)
        self._commit(place, flow, (message.offset() or 0) + 1)

    def _close_what_is_over(self) -> None:
        """Buckets whose time is over, of partitions where nothing more waits."""
        now_s = self._clock.now().timestamp() - SLACK_S
        for place, flow in list(self._flows.items()):
            over_s = ((flow.bucket or 0) + 1) * self._destination.group_s
            if flow.bucket is not None and flow.is_at_end and now_s >= over_s:
                self._close(place, flow, flow.reached)

    def _close(self, place: tuple[str, int], flow: Flow, offset: int) -> None:
        """Tell what is held back, and begin anew at an offset."""
        for anomalies in flow.held.values():
            self._send(of_anomalies(anomalies))
        flow.held, flow.bucket, flow.latest_ms = {}, None, 0
        self._commit(place, flow, offset)

    def _commit_what_was_passed_over(self) -> None:
        for place, flow in list(self._flows.items()):
            if flow.bucket is None and flow.reached > flow.committed:
                self._commit(place, flow, flow.reached)

    def _send(self, notification: Notification) -> None:
        outcome = "delivered"
        try:
            self._sender(notification, self._wait)
        except Undeliverable as error:
            outcome = "undelivered"
            log.error("%s: %s is undelivered: %s", self._destination.name, notification.key, error)
            self._keep(notification, str(error))
        self._metrics.told(self._destination.name, outcome)

    def _wait(self, seconds: float) -> None:
        """As a live member of the group.

        Raises:
            Interrupted: the message is to be tried no more, here and now.
        """
        self._metrics.told(self._destination.name, "retried")
        generation, until = self._generation, self._clock.monotonic() + seconds
        self._consumer.pause(self._consumer.assignment())
        try:
            while (left_s := until - self._clock.monotonic()) > 0:
                self._clock.wait(self._stop, min(left_s, ALIVE_S))
                self._note_ends(self._consumer.consume(MOST, 0.0))  # nothing else comes: all is paused
                if self._stop.is_set() or generation != self._generation:
                    raise Interrupted
        finally:
            self._consumer.resume(self._consumer.assignment())

    def _keep(self, notification: Notification, why: str) -> None:
        """On disk before its offset is committed."""
        line = {"at": self._clock.now().isoformat(), "destination": self._destination.name, "why": why}
        self._undelivered.parent.mkdir(parents=True, exist_ok=True)
        with self._undelivered.open("ab") as file:
            file.write(json.dumps({**line, **msgspec.to_builtins(notification)}).encode() + b"\n")
            file.flush()
            os.fsync(file.fileno())

    def _commit(self, place: tuple[str, int], flow: Flow, offset: int) -> None:
        """Where that fails, what was told is told again under the same keys, once somebody begins there."""
        try:
            self._consumer.commit(offsets=[TopicPartition(*place, offset)], asynchronous=False)
            flow.committed = offset
        except KafkaException as exception:
            log.warning("%s: offset %d is not committed: %s", self._destination.name, offset, exception.args[0].str())

    def _assigned(self, consumer: Consumer, places: list[TopicPartition]) -> None:
        """A destination that is new is told what comes from now on, also if it ends before anything has come."""
        found = consumer.committed(places, timeout=ANSWER_S)
        for place in found:
            if place.offset < 0:
                place.offset = consumer.get_watermark_offsets(place, timeout=ANSWER_S)[1]
                consumer.commit(offsets=[place], asynchronous=False)
            self._flows[place.topic, place.partition] = Flow(place.offset, place.offset)
        consumer.assign(found)

    def _gone(self, _consumer: Consumer, _places: list[TopicPartition]) -> None:
        """All partitions begin anew at what is committed."""
        self._flows.clear()
        self._generation += 1
