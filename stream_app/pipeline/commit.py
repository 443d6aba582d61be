"""Outputs and offsets become visible together, or not at all.

At least once: offsets only after every output is acknowledged.

Exactly once follows KIP-447: one transaction holds the outputs and the offsets, and the group metadata in it fences a
worker that the group has already replaced. The protocol, in order:

    1. begin                 before the first output of the interval
    2. produce               the stages
    3. send the offsets      the broker checks the group generation: a zombie is refused here
    4. commit                flushes, then writes the markers
"""

from collections.abc import Callable, Mapping
from concurrent.futures import Future
from threading import Thread
from typing import Protocol

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, Producer, TopicPartition

from stream_app.pipeline.faults import SessionLost, doing, error_of, raise_for
from stream_app.pipeline.input_topic import InputTopic

INIT_TIMEOUT_S = 30.0
COMMIT_TIMEOUT_S = 10.0  # below the transaction's own timeout, so the broker never aborts what the client still retries
ABORT_TIMEOUT_S = 5.0
GRACE_S = 1.0
PURGED = (KafkaError._PURGE_QUEUE, KafkaError._PURGE_INFLIGHT)


class Committer(Protocol):
    """How an interval ends.

    Attributes:
        hides_outputs: Nobody sees them before.
    """

    hides_outputs: bool

    def begin(self) -> None:
        """Open the next interval."""

    def commit(self, offsets: Mapping[int, int]) -> None:
        """Make the interval's outputs and these offsets (input partition to next offset) permanent.

        Raises:
            PipelineError: they are not permanent.
        """

    def abort(self, probe_cause: bool = False) -> KafkaError | None:
        """Give the open interval up. With transactions, none of its outputs becomes visible. Never raises.

        Args:
            probe_cause: The triggering error was only `_STATE`; ask the broker for the underlying one.

        Returns:
            The error behind failed outputs; later calls on the producer report only `_STATE`.
        """


class ExactlyOnce:
    """Transactions of one session.

    Args:
        producer: A transactional client, not yet initialised: initialising it ends the open transaction of a
            predecessor of the same name.
        consumer: The client whose group and offsets are committed.
        topic: The input topic.
        failures: The producer's delivery callback.

    Raises:
        PipelineError: the transactional id cannot be acquired.
    """

    hides_outputs = True

    def __init__(self, producer: Producer, consumer: Consumer, topic: InputTopic, failures: "DeliveryFailures") -> None:
        self._producer = producer
        self._consumer = consumer
        self._topic = topic
        self._failures = failures
        with doing("opening transactions"):
            # Connect first: initialising fails on an unconnected client, and its next try is half a second later.
            producer.list_topics(topic.name, INIT_TIMEOUT_S)
            producer.init_transactions(INIT_TIMEOUT_S)

    def begin(self) -> None:
        """Open a transaction. No round trip."""
        with doing("beginning a transaction"):
            self._producer.begin_transaction()

    def commit(self, offsets: Mapping[int, int]) -> None:
        """Send the offsets and commit: steps 3 and 4."""
        if offsets:
            places = _places(self._topic, offsets)
            group = self._consumer.consumer_group_metadata()
            with doing("adding the offsets to the transaction"):
                self._send(places, group, COMMIT_TIMEOUT_S)
        with doing("committing"):
            self._producer.commit_transaction(COMMIT_TIMEOUT_S)

    def abort(self, probe_cause: bool = False) -> KafkaError | None:
        """Abort the transaction; if that fails too, the next session's initialisation does it."""
        cause = self._cause() if probe_cause else None
        error = _error_of(lambda: self._producer.abort_transaction(ABORT_TIMEOUT_S))
        if error is None or not error.fatal():
            error = _error_of(lambda: self._producer.poll(0))
        return self._failures.first or cause or error

    def _cause(self) -> KafkaError | None:
        """Why the transaction failed: `produce` reports only `_STATE`, sending offsets (aborted with the rest) why."""
        group = self._consumer.consumer_group_metadata()
        try:
            self._send(_places(self._topic, {0: 0}), group, ABORT_TIMEOUT_S)
        except KafkaException as exception:
            return error_of(exception)
        except SessionLost:
            return None
        return None

    def _send(self, places: list[TopicPartition], group: object, limit_s: float) -> None:
        """Add offsets to the transaction, within a limit that the client itself does not keep.

        While the group's coordinator is away the call may block for minutes (librdkafka's issue 5456). Its thread is
        then left behind with its session.

        Raises:
            KafkaException: the call failed.
            SessionLost: it did not return in time.
        """
        answer: Future[None] = Future()
        send = self._producer.send_offsets_to_transaction
        Thread(target=_answer, args=(answer, lambda: send(places, group, limit_s)), daemon=True).start()
        try:
            answer.result(limit_s + GRACE_S)
        except TimeoutError:
            raise SessionLost("timed_out", f"adding the offsets: no answer within {limit_s + GRACE_S:.0f} s") from None


class AtLeastOnce:
    """Acknowledged outputs, then offsets. A crash between the two repeats an interval."""

    hides_outputs = False

    def __init__(self, producer: Producer, consumer: Consumer, topic: InputTopic, failures: "DeliveryFailures") -> None:
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
            with doing("committing the offsets"):
                self._consumer.commit(offsets=places, asynchronous=False)

    def abort(self, probe_cause: bool = False) -> KafkaError | None:
        """Drop the outputs that are not sent yet; the offsets stay where they are."""
        self._producer.purge()
        return self._failures.first or _error_of(lambda: self._producer.poll(0))


class DeliveryFailures:
    """The delivery callback of a producer: keeps the first failure, except of records that were purged on purpose."""

    def __init__(self) -> None:
        self.first: KafkaError | None = None

    def __call__(self, error: KafkaError | None, _message: Message) -> None:
        """Called by the client for each record that could not be delivered."""
        if error is not None and self.first is None and error.code() not in PURGED:
            self.first = error


def _error_of(call: Callable[[], object]) -> KafkaError | None:
    """What the client raises in this call, be it its own failure or an earlier one that it has kept until now."""
    try:
        call()
    except KafkaException as exception:
        return error_of(exception)
    return None


def _places(topic: InputTopic, offsets: Mapping[int, int]) -> list[TopicPartition]:
    """Offsets as they are committed: with the id of the topic that they are on."""
    return [TopicPartition(topic.name, partition, offset, topic.id) for partition, offset in offsets.items()]


def _answer(answer: Future[None], call: Callable[[], None]) -> None:
    try:
        call()
        answer.set_result(None)
    except BaseException as error:
        answer.set_exception(error)
