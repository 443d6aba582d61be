"""Publishes events to a topic, at a rate or as fast as it goes, until each is acknowledged."""

import threading
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import islice

from confluent_kafka import KafkaError, KafkaException, Message, Producer

from schemas.errors import UserError

Event = tuple[bytes, bytes]
"""Key and value of one record."""

BURST = 1000
BURST_INTERVAL_S = 0.005
FLUSH_SLICE_S = 0.2
DELIVERY_PATIENCE_S = 60.0
PROPERTIES: dict[str, str | int | float | bool] = {
    "delivery.timeout.ms": int(DELIVERY_PATIENCE_S * 1000),
    # A callback for each record would cost more than producing it: only failures are reported.
    "delivery.report.only.error": True,
}


@dataclass(frozen=True)
class Published:
    """What became of it.

    Attributes:
        events: Records that the broker acknowledged.
        seconds: From the first record to the last acknowledgement.
    """

    events: int
    seconds: float

    @property
    def events_per_second(self) -> float:
        """Records a second."""
        return self.events / self.seconds if self.seconds else 0.0

    def figures(self) -> dict[str, float]:
        """For `--json`."""
        return {"events": self.events, "seconds": self.seconds, "events_per_second": self.events_per_second}


def due(elapsed_s: float, rate: float) -> int:
    """How many events should have been sent after so many seconds at this rate."""
    return int(elapsed_s * rate) + 1


class PacedProducer:
    """Sends events to topics through one idempotent producer, until they end or `stop` is set.

    Args:
        producer: Made with `PROPERTIES`.
        stop: Set to end early: what was sent is still flushed and counted.
        clock: Monotonic seconds.
    """

    def __init__(self, producer: Producer, stop: threading.Event, clock: Callable[[], float] = time.monotonic) -> None:
        self._producer = producer
        self._stop = stop
        self._clock = clock
        self._failures = 0
        self._why: KafkaError | None = None

    def publish(
        self, topic: str, events: Iterable[Event], rate: float | None, advance: Callable[[float], None]
    ) -> Published:
        """Send them all; the record timestamp is the moment of sending, so latency can be measured from it.

        Args:
            topic: Full name.
            events: Keys and values, in order.
            rate: Events a second, kept on average, in bursts of a few milliseconds; None: as fast as it goes.
            advance: Told how many are sent so far.

        Raises:
            UserError: the broker did not take some of them.
        """
        started = self._clock()
        source = iter(events)
        sent = 0
        while not self._stop.is_set() and not self._failures:
            allowed = BURST if rate is None else min(BURST, due(self._clock() - started, rate) - sent)
            burst = self._send(topic, islice(source, allowed)) if allowed > 0 else 0
            sent += burst
            advance(sent)
            if burst < allowed:
                break
            if rate is not None and burst < BURST:
                self._stop.wait(BURST_INTERVAL_S)
        self._flush(topic, sent)
        return Published(sent, self._clock() - started)

    def _send(self, topic: str, events: Iterator[Event]) -> int:
        sent = 0
        for key, value in events:
            while True:
                try:
                    self._producer.produce(topic, value=value, key=key, on_delivery=self._delivered)
                    break
                except BufferError:  # the local queue is full: the broker is behind us
                    self._producer.poll(0.1)
                    if self._failures:
                        return sent
            sent += 1
        self._producer.poll(0)
        return sent

    def _delivered(self, error: KafkaError | None, _: Message) -> None:
        if error is not None:
            self._failures += 1
            self._why = self._why or error

    def _flush(self, topic: str, sent: int) -> None:
        """Wait until every record is acknowledged or given up: librdkafka does after its delivery timeout."""
        while self._producer.flush(FLUSH_SLICE_S):
            pass
        if self._why is not None:
            refused = self._why.code() == KafkaError.TOPIC_AUTHORIZATION_FAILED
            advice = "`stream-app rights list` has who may" if refused else "see what the broker says"
            raise UserError(
                f"{self._failures} of {sent} records did not reach {topic}: {KafkaException(self._why).args[0].str()}; "
                f"{advice}, then publish them again"
            )
