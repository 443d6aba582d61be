"""Records of the topics that the page shows, from Kafka to the board, by a thread that outlives a broker's absence.

A record that cannot be read is counted and left: whoever wrote it, the page goes on.
"""

import logging
import threading
from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta

import msgspec
from confluent_kafka import Message

from schemas.topics import ANOMALIES, DRIFT_ALERTS, LABELS, MODEL_STATUS, MODEL_SWAP
from schemas.transactions import Label
from stream_app.kafka import topics
from stream_app.kafka.clients import BrokerError
from stream_app.kafka.log import Tail
from stream_app.metrics import Metrics
from stream_app.ops.board import Board
from stream_app.rollout.trust import trust
from stream_app.settings import Settings

# What is frequent is read from an hour back, so that a new worker's page is not blank; what is rare is read whole.
FREQUENT = (ANOMALIES, LABELS)
RARE = (MODEL_SWAP, DRIFT_ALERTS)
HISTORY = timedelta(hours=1)

POLL_S = 0.1
POLL_RECORDS = 500
RETRY_S = 1.0

log = logging.getLogger(__name__)


class Feed:
    """Follows the topics without a group: every worker reads all of them, so that every page shows all workers.

    Args:
        settings: Where Kafka is.
        board: Takes the records.
        metrics: Counts labels, publishes the precision of the anomalies.
        now: Wall clock.
    """

    def __init__(
        self,
        settings: Settings,
        board: Board,
        metrics: Metrics,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._settings = settings
        self._board = board
        self._metrics = metrics
        self._now = now
        self._trust = trust(settings)
        self._decoders = {
            topics.name(settings, topic): msgspec.json.Decoder(topic.record)
            for topic in (MODEL_STATUS, *FREQUENT, *RARE)
        }
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="feed", daemon=True)

    def start(self) -> None:
        """Begin; returns at once, whether the broker is there or not."""
        self._thread.start()

    def stop(self) -> None:
        """End within about a second."""
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join(2)

    def _run(self) -> None:
        while not self._stopping.is_set():
            try:
                since = self._now() - HISTORY
                with (
                    Tail(self._settings, FREQUENT, since) as frequent,
                    Tail(self._settings, [MODEL_STATUS], since, committed=False) as statuses,
                    Tail(self._settings, RARE) as rare,
                ):
                    self._follow(frequent, statuses, rare)
            except BrokerError as error:
                log.warning("the page shows no news from Kafka: %s", error)
                self._stopping.wait(RETRY_S)

    def _follow(self, frequent: Tail, statuses: Tail, rare: Tail) -> None:
        while not self._stopping.is_set():
            self._post(rare.poll(0, POLL_RECORDS))
            self._post(statuses.poll(0, POLL_RECORDS))
            self._post(frequent.poll(POLL_S, POLL_RECORDS))

    def _post(self, messages: Iterable[Message]) -> None:
        for message in messages:
            topic, at = message.topic() or "", datetime.fromtimestamp(message.timestamp()[1] / 1000, UTC)
            try:
                record = self._decoders[topic].decode(message.value() or b"")
            except (msgspec.DecodeError, UnicodeError, RecursionError):
                self._metrics.feed_skipped.labels(topic).inc()
                continue
            if topic == self._trust.topic and self._trust.required and self._trust.command(message).complaint:
                continue  # refused by everybody: no page shows what it asks for
            self._board.post(record, at)
            if isinstance(record, Label):
                self._metrics.labels["fraud" if record.fraud else "legitimate"].inc()
        feedback = self._board.feedback
        self._metrics.anomalies_labelled.set(feedback.labelled)
        if feedback.precision is not None:
            self._metrics.precision.set(feedback.precision)
