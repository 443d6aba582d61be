"""Outputs and offsets become visible together, or not at all.

At least once: offsets only after every output is acknowledged.

Exactly once follows KIP-447: one transaction holds the outputs and the offsets, and the group metadata in it fences a
worker that the group has already replaced. The protocol, in order:

    1. begin                 before the first output of the interval
    2. produce               the stages
    3. send the offsets      the broker checks the group generation: a zombie is refused here
    4. commit                flushes, then writes the markers; retried while the broker says that it may be
"""

from collections.abc import Mapping
from typing import Any, Protocol

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, Producer, TopicPartition

from stream_app.pipeline.faults import SessionLost, error_of, raise_for

INIT_TIMEOUT_S = 30.0
COMMIT_TIMEOUT_S = 10.0  # below the transaction's own timeout, so the broker never aborts what we still retry
ABORT_TIMEOUT_S = 5.0


class Committer(Protocol):
    """How an interval ends."""

    def begin(self) -> None:
        """Open the next interval."""

    def commit(self, offsets: Mapping[int, int]) -> None:
        """Make the interval's outputs and these offsets (input partition to next offset) permanent.

        Raises:
            PipelineError: they are not permanent.
        """

    def abandon(self) -> KafkaError | None:
        """Give the open interval up: nothing of it becomes visible where there are transactions. Never raises.

        Returns:
            What the outputs failed of, where they did: everything else that the producer is asked says only that it
            cannot go on.
        """


class ExactlyOnce:
    """Transactions of one session.

    Args:
        producer: A transactional client, not yet initialised: this ends the open transaction of a predecessor of the
        same
            name.
        consumer: Whose group and offsets are committed.
        topic: The input topic.
        failures: The producer's delivery callback.

    Raises:
        PipelineError: the transactional id cannot be had.
    """

    def __init__(self, producer: Producer, consumer: Consumer, topic: str, failures: "DeliveryFailures") -> None:
        self._producer = producer
        self._consumer = consumer
        self._topic = topic
        self._failures = failures
        _retry(lambda: producer.init_transactions(INIT_TIMEOUT_S), "opening transactions")

    def begin(self) -> None:
        """Open a transaction. No round trip."""
        _retry(self._producer.begin_transaction, "beginning a transaction")

    def commit(self, offsets: Mapping[int, int]) -> None:
        """Steps 3 and 4."""
        if offsets:
            places = _places(self._topic, offsets)
            group = self._consumer.consumer_group_metadata()
            _retry(
                lambda: self._producer.send_offsets_to_transaction(places, group, COMMIT_TIMEOUT_S),
                "adding the offsets to the transaction",
            )
        _retry(lambda: self._producer.commit_transaction(COMMIT_TIMEOUT_S), "committing")

    def abandon(self) -> KafkaError | None:
        """Abort; where that fails too, the next session's initialisation does it."""
        self._producer.poll(0)
        cause = self._failures.first  # looked at before the abort, which fails what is still queued
        try:
            self._producer.abort_transaction(ABORT_TIMEOUT_S)
        except KafkaException as exception:
            error = error_of(exception)
            return error if error.fatal() else cause
        return cause


class AtLeastOnce:
    """Acknowledged outputs, then offsets. A crash between the two repeats an interval."""

    def __init__(self, producer: Producer, consumer: Consumer, topic: str, failures: "DeliveryFailures") -> None:
        self._producer = producer
        self._consumer = consumer
        self._topic = topic
        self._failures = failures

    def begin(self) -> None:
        """Nothing to open."""

    def commit(self, offsets: Mapping[int, int]) -> None:
        """Wait for the acknowledgements, then commit the offsets."""
        if self._producer.flush(COMMIT_TIMEOUT_S) > 0:
            raise SessionLost("timed_out", f"outputs are not acknowledged after {COMMIT_TIMEOUT_S:.0f} s")
        if self._failures.first is not None:
            raise_for(self._failures.first, "writing outputs")
        if offsets:
            places = _places(self._topic, offsets)
            _retry(lambda: self._consumer.commit(offsets=places, asynchronous=False), "committing the offsets")

    def abandon(self) -> KafkaError | None:
        """Outputs that are on their way cannot be called back; the offsets stay where they are."""
        cause = self._failures.first
        self._producer.purge()
        return cause


class DeliveryFailures:
    """The delivery callback of a producer: remembers the first failure."""

    def __init__(self) -> None:
        self.first: KafkaError | None = None

    def __call__(self, error: KafkaError | None, _message: Message) -> None:
        """Called by the client for each record that could not be delivered."""
        if error is not None and self.first is None:
            self.first = error


def _places(topic: str, offsets: Mapping[int, int]) -> list[TopicPartition]:
    return [TopicPartition(topic, partition, offset) for partition, offset in offsets.items()]


def _retry(step: Any, doing: str, attempts: int = 3) -> None:
    """Repeat a step while the client says that it may be repeated; each attempt has a bound of its own."""
    for attempt in range(1, attempts + 1):
        try:
            step()
        except KafkaException as exception:
            error = error_of(exception)
            if not error.retriable() or attempt == attempts:
                raise_for(error, doing)
        else:
            return
