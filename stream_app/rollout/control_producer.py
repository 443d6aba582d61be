"""The control plane's one producer: statuses, commands and audit records, in order and none twice.

It writes outside the batches' transactions.
"""

import logging
import threading
from collections.abc import Callable

import msgspec
from confluent_kafka import KafkaError, KafkaException, Message, Producer

from schemas.rollout import AuditRecord, Command, ModelStatus
from schemas.topics import AUDIT, MODEL_STATUS, MODEL_SWAP, Topic
from stream_app.audit.chain import Chain
from stream_app.kafka import clients, topics
from stream_app.rollout.trust import signature_headers, signing_key
from stream_app.settings import Settings

WAITING_MOST = 100  # unacknowledged records: the broker is away, and old heartbeats are of no use

logger = logging.getLogger(__name__)


class NotPublished(clients.BrokerError):
    """The broker did not take the record in time; the message says which and what to do."""


class ControlProducer:
    """Writes to the three topics of the protocol. Safe to call from any thread."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._producer: Producer = clients.producer(settings, **clients.small_writer(settings), **{"linger.ms": 0})
        self._chain = Chain()
        self._audit_order = threading.Lock()

    def heartbeat(self, status: ModelStatus) -> None:
        """A status that is dropped where it cannot be sent now: the next one holds all that it held.

        Raises:
            KafkaException: this producer can send nothing any more; a worker that starts anew can.
        """
        self._producer.poll(0)
        if len(self._producer) > WAITING_MOST:
            return
        try:
            self.status(status)
        except BufferError:
            return
        except KafkaException as exception:
            if exception.args[0].fatal():
                raise
            logger.warning("a heartbeat was dropped: %s", exception.args[0].str())

    def status(self, status: ModelStatus) -> None:
        """An answer to a command; does not wait, the client retries for minutes."""
        self._produce(MODEL_STATUS, status.worker, status)

    def audit(self, record: AuditRecord) -> None:
        """Who did what, as the next link of this process's chain; does not wait."""
        with self._audit_order:  # the order of the chain is the order on the topic
            value, chain = self._chain.link(record)
            self._produce(AUDIT, record.actor, value)
            self._chain = chain

    def command(self, command: Command, timeout_s: float = 10.0) -> int:
        """Write a command and wait until the broker has it.

        Returns:
            Its offset on `model-swap`.

        Raises:
            NotPublished: no acknowledgement within the timeout.
            SettingsError: it must be signed, and cannot be.
        """
        delivered: list[int | None] = []
        failed: list[KafkaError] = []

        def on_delivery(error: KafkaError | None, message: Message) -> None:
            if error is None:
                delivered.append(message.offset())
            else:
                failed.append(error)

        self._produce(MODEL_SWAP, "model-swap", command, on_delivery, self._signed(command))
        self._producer.flush(timeout_s)
        if delivered and delivered[0] is not None:
            return delivered[0]
        why = failed[0].str() if failed else f"no answer in {timeout_s:g} s"
        raise NotPublished(f"the command was not written to {topics.name(self._settings, MODEL_SWAP)}: {why}")

    def close(self, timeout_s: float = 2.0) -> None:
        """Wait for what is still on its way, at most so long."""
        self._producer.flush(timeout_s)

    def _signed(self, command: Command) -> dict[str, str | bytes | None]:
        """Its signature, where this process has a key."""
        key = signing_key(self._settings)
        topic = topics.name(self._settings, MODEL_SWAP)
        return {} if key is None else signature_headers(key, topic, msgspec.json.encode(command))

    def _produce(
        self,
        topic: Topic,
        key: str,
        record: msgspec.Struct | bytes,
        on_delivery: Callable[[KafkaError | None, Message], None] | None = None,
        headers: dict[str, str | bytes | None] | None = None,
    ) -> None:
        self._producer.produce(
            topics.name(self._settings, topic),
            key=key.encode(),
            value=record if isinstance(record, bytes) else msgspec.json.encode(record),
            headers=headers or {},
            on_delivery=on_delivery or _log_failure,
        )
        self._producer.poll(0)


def _log_failure(error: KafkaError | None, message: Message) -> None:
    if error is not None:
        logger.warning("a record for %s was not written: %s", message.topic(), error.str())
