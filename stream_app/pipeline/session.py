"""One life of the pipeline's Kafka clients: opened together, used by one thread, abandoned together.

They are abandoned when anything goes wrong with any of them.
"""

from collections.abc import Callable
from datetime import datetime
from types import TracebackType
from typing import Any, Self

from confluent_kafka import Consumer, Producer

from schemas import topics
from schemas.topics import Topic
from stream_app.kafka import clients
from stream_app.kafka.topics import name
from stream_app.metrics import Metrics
from stream_app.pipeline.commit import AtLeastOnce, Committer, DeliveryFailures, ExactlyOnce
from stream_app.pipeline.consume import Consumption
from stream_app.pipeline.emit import Emitter, Outputs
from stream_app.pipeline.faults import SessionLost, raise_for
from stream_app.settings import Guarantee, Settings

UNSAID = "state"  # the client's word for a producer that cannot go on


class Session:
    """Consumption, emitter and committer over one consumer and one producer.

    Args:
        settings: Where the broker is, what is promised.
        metrics: Where rebalances and aborts are counted.
        now: The wall clock, for the records.

    Raises:
        PipelineError: the clients cannot be opened.
    """

    def __init__(self, settings: Settings, metrics: Metrics, now: Callable[[], datetime]) -> None:
        self._metrics = metrics
        self._batch_max_bytes = settings.buffer_max_mb * 1024 * 1024 // 4
        self._outputs = _outputs(settings)
        self._consumer = _consumer(settings)
        producer, self.committer = _producer(settings, self._consumer, self._outputs.transactions)
        self.emitter = Emitter(producer, self._outputs, now)
        self.consumption: Consumption
        self.committer.begin()

    def subscribe(self, on_revoke: Callable[[], None]) -> Consumption:
        """Join the group.

        Args:
            on_revoke: Called while partitions that go are still ours: commit what is open.
        """
        self.consumption = Consumption(
            self._consumer,
            self._outputs.transactions,
            self._batch_max_bytes,
            on_revoke,
            lambda kind: self._metrics.rebalances[kind].inc(),
        )
        return self.consumption

    def __enter__(self) -> Self:
        """The session itself."""
        return self

    def __exit__(self, kind: type[BaseException] | None, e: BaseException | None, _t: TracebackType | None) -> None:
        """Abandon what is open, and leave the group.

        Raises:
            PipelineError: what the outputs failed of, in place of what that led to.
        """
        if kind is not None:
            self._metrics.commits["aborted"].inc()
        cause = self.committer.abandon(unsaid=isinstance(e, SessionLost) and e.cause == UNSAID)
        self._consumer.close()
        if cause is not None and kind is SessionLost:
            raise_for(cause, "writing outputs")


def _outputs(settings: Settings) -> Outputs:
    def full(topic: Topic, wanted: bool = True) -> str | None:
        return name(settings, topic) if wanted else None

    return Outputs(
        transactions=name(settings, topics.TRANSACTIONS),
        anomalies=name(settings, topics.ANOMALIES),
        dead_letters=name(settings, topics.DEAD_LETTERS),
        drift_summaries=name(settings, topics.DRIFT_SUMMARIES),
        comparisons=name(settings, topics.COMPARISONS),
        model_status=name(settings, topics.MODEL_STATUS),
        scores=full(topics.SCORES, settings.publish_scores),
        latents=full(topics.LATENTS, settings.publish_latents),
    )


def _consumer(settings: Settings) -> Consumer:
    properties = {
        "auto.offset.reset": "earliest",
        "enable.auto.commit": False,
        "enable.partition.eof": True,  # how `consume` knows of markers and aborted records behind the last record
        "partition.assignment.strategy": "cooperative-sticky",
        "session.timeout.ms": settings.session_timeout_ms,
    }
    return clients.consumer(settings, settings.app_id, **properties)


def _producer(settings: Settings, consumer: Consumer, topic: str) -> tuple[Producer, Committer]:
    """The producer, and how its intervals end, by what is promised."""
    failures = DeliveryFailures()
    properties: dict[str, Any] = {"on_delivery": failures, "delivery.report.only.error": True}
    if settings.guarantee is Guarantee.AT_LEAST_ONCE:
        producer = clients.producer(settings, **properties)
        return producer, AtLeastOnce(producer, consumer, topic, failures)
    # Stable over restarts: initialising it ends the open transaction of a predecessor that was killed.
    identity = f"{settings.transactional_ids}{settings.worker_name}"
    timeout = settings.transaction_timeout_ms
    producer = clients.producer(
        settings, **properties, **{"transactional.id": identity, "transaction.timeout.ms": timeout}
    )
    return producer, ExactlyOnce(producer, consumer, topic, failures)
