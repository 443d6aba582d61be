"""One life of the pipeline's Kafka clients: opened together, used by one thread, closed together at the first error."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from datetime import datetime
from types import TracebackType
from typing import Any, Protocol, Self

from confluent_kafka import Consumer, Producer
from confluent_kafka.admin import AdminClient

from schemas import topics
from schemas.topics import Topic
from stream_app.kafka import clients
from stream_app.kafka.log import Log, Tail
from stream_app.kafka.schema_registry import schema_registry
from stream_app.kafka.topics import name
from stream_app.metrics import Metrics
from stream_app.pipeline.clock import Clock
from stream_app.pipeline.commit import AtLeastOnce, Committer, DeliveryFailures, ExactlyOnce
from stream_app.pipeline.consume import InputConsumer
from stream_app.pipeline.emit import Emitter, Outputs
from stream_app.pipeline.faults import SessionLost, raise_for
from stream_app.pipeline.input_topic import InputTopic
from stream_app.pipeline.rebuild import logs_of
from stream_app.pipeline.recall import Accounted
from stream_app.pipeline.totals_reader import Follow
from stream_app.settings import Guarantee, Settings

METADATA_EVERY_MS = 3000
REBALANCE_MS = 60_000
STATE = "state"  # `SessionLost.cause` for librdkafka's `_STATE`: a producer that failed before, for another reason


class Kafka(Protocol):
    """Makes clients: of brokers, or of the one in memory of the tests."""

    def consumer(self, settings: Settings, group: str | None, **properties: Any) -> Consumer:
        """A consumer of a group."""

    def producer(self, settings: Settings, **properties: Any) -> Producer:
        """A producer, transactional if the properties make it so."""

    def admin(self, settings: Settings) -> AdminClient:
        """A client for metadata."""

    def follow(self, settings: Settings, topics: Sequence[Topic], since: datetime) -> Log:
        """Follows topics from a time on."""


class Brokers:
    """Makes the clients of the brokers in the settings."""

    consumer = staticmethod(clients.consumer)
    producer = staticmethod(clients.producer)
    admin = staticmethod(clients.admin)
    follow = staticmethod(Tail)


BROKERS: Kafka = Brokers()

Recall = Callable[[Settings, Iterable[int]], dict[int, Accounted]]
"""Up to where the ledger accounts for partitions: `stream_app.pipeline.recall`, or what a test wants it to be."""


class Session:
    """Input, emitter and committer over one consumer and one producer.

    Args:
        settings: Brokers and guarantee.
        metrics: Rebalances and aborted commits.
        kafka: Makes the clients.
        recall: Where to start when the group's offsets are gone.
        on_notice: Takes a sentence about a partition that could not simply go on.
        clock: The time.
        source: Full name of the topic that is read; empty: the installation's input.

    Raises:
        PipelineError: the clients cannot be opened.
    """

    def __init__(
        self,
        settings: Settings,
        metrics: Metrics,
        kafka: Kafka,
        recall: Recall,
        on_notice: Callable[[str], None],
        clock: Clock,
        source: str = "",
    ) -> None:
        self._metrics = metrics
        outputs = outputs_of(settings)
        if source:
            outputs = replace(outputs, transactions=source)
        self.topic = InputTopic(kafka.admin(settings), outputs.transactions, clock.monotonic)
        self._consumer = _consumer(settings, kafka)
        producer, self.committer = _producer(settings, kafka, self._consumer, self.topic)
        self.emitter = Emitter(producer, outputs, self.topic.id, clock.now, schema_registry(settings))
        self.input = InputConsumer(
            self._consumer,
            self.topic,
            max_bytes=settings.buffer_max_mb * 1024 * 1024 // 4,
            recall=lambda partitions: recall(settings, partitions),
            on_change=lambda kind: metrics.rebalances[kind].inc(),
            on_notice=on_notice,
            clock=clock,
        )
        self.logs = logs_of(settings, kafka)
        self.follow: Follow = lambda topics, since: kafka.follow(settings, topics, since)
        self.committer.begin()

    def __enter__(self) -> Self:
        """The session itself."""
        return self

    def __exit__(self, kind: type[BaseException] | None, e: BaseException | None, _t: TracebackType | None) -> None:
        """Abort the open interval, and leave the group.

        Raises:
            PipelineError: the error behind failed outputs, in place of one that only followed from it.
        """
        if kind is not None:
            self._metrics.commits["aborted"].inc()
        cause = self.committer.abort(probe_cause=isinstance(e, SessionLost) and e.cause == STATE)
        self._consumer.close()
        if cause is not None and kind is SessionLost:
            raise_for(cause, "writing outputs")


def outputs_of(settings: Settings) -> Outputs:
    """Full names of the topics of an installation."""

    def full(topic: Topic, wanted: bool = True) -> str | None:
        return name(settings, topic) if wanted else None

    return Outputs(
        transactions=name(settings, topics.TRANSACTIONS),
        anomalies=name(settings, topics.ANOMALIES),
        dead_letters=name(settings, topics.DEAD_LETTERS),
        drift_summaries=name(settings, topics.DRIFT_SUMMARIES),
        comparisons=name(settings, topics.COMPARISONS),
        model_status=name(settings, topics.MODEL_STATUS),
        window_state=name(settings, topics.WINDOW_STATE),
        window_totals=name(settings, topics.WINDOW_TOTALS),
        scores=full(topics.SCORES, settings.publish_scores),
        latents=full(topics.LATENTS, settings.publish_latents),
    )


def _consumer(settings: Settings, kafka: Kafka) -> Consumer:
    properties = {
        "auto.offset.reset": "error",  # a position is moved by `InputConsumer` alone, which accounts for it
        "enable.auto.commit": False,
        "enable.partition.eof": True,  # the position then passes markers and aborted records behind the last record
        "partition.assignment.strategy": "cooperative-sticky",
        "session.timeout.ms": settings.session_timeout_ms,
        # So long the group waits for members of before an outage of its brokers, which it takes for alive after it;
        # by default that is five minutes in which nobody reads anything.
        "max.poll.interval.ms": max(settings.session_timeout_ms, REBALANCE_MS),
        "topic.metadata.refresh.interval.ms": METADATA_EVERY_MS,  # within which partitions that were added are read
    }
    return kafka.consumer(settings, settings.group, **properties)


def _producer(settings: Settings, kafka: Kafka, consumer: Consumer, topic: InputTopic) -> tuple[Producer, Committer]:
    """The producer and the committer for the guarantee of the settings."""
    failures = DeliveryFailures()
    properties: dict[str, Any] = {"on_delivery": failures, "delivery.report.only.error": True}
    if settings.guarantee is Guarantee.AT_LEAST_ONCE:
        producer = kafka.producer(settings, **properties)
        return producer, AtLeastOnce(producer, consumer, topic, failures)
    # Stable over restarts: initialising it ends the open transaction of a predecessor that was killed.
    identity = f"{settings.transactional_ids}{settings.worker_name}"
    timeout = settings.transaction_timeout_ms
    properties |= {"transactional.id": identity, "transaction.timeout.ms": timeout}
    producer = kafka.producer(settings, **properties)
    return producer, ExactlyOnce(producer, consumer, topic, failures)
