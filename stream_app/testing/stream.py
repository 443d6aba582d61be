"""A producer that sends events to the input topic at a rate, from a thread."""

import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Self

from confluent_kafka import Producer

from schemas.topics import LABELS, TRANSACTIONS
from stream_app.kafka import clients, topics
from stream_app.settings import Settings

Event = tuple[bytes, bytes, int]

FLUSH_S = 6.0
CHECK_S = 0.1
BURST_S = 0.01
BAD_RECORDS = (
    b"amount=57.16",
    b'{"transaction_id": "1"}',
    b'{"transaction_id": "2", "event_time": "2018-04-08T00:00:31Z", "customer_id": "7", "amount": "much"}',
    None,
)


class Stream:
    """Sends events (key, value, event time in milliseconds) in order.

    Args:
        settings: Where Kafka is.
        events: What is sent.
        rate: See below.
        labels: Of events, in order; each is sent before the first event that is not earlier.

    Attributes:
        rate: Events a second, None for no limit; may be changed while the stream runs.
        sent: How many events have been sent.
        labels_sent: How many labels.
        sent_at: When each was sent, in seconds since the epoch.
    """

    def __init__(
        self, settings: Settings, events: Sequence[Event], rate: float | None, labels: Sequence[Event] = ()
    ) -> None:
        self._topic, self._labels_topic = (topics.name(settings, topic) for topic in (TRANSACTIONS, LABELS))
        self._labels = deque(labels)
        self.labels_sent = 0
        self._producer: Producer = clients.producer(settings, **{"linger.ms": 1})
        self._events = events
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="stream", daemon=True)
        self.rate = rate
        self.sent = 0
        self.sent_at: list[float] = []

    def __len__(self) -> int:
        return len(self._events)

    def reach(self, count: int, advance: Callable[[float], None]) -> None:
        """Wait until so many events have been sent; `advance` gets the number meanwhile."""
        while self.sent < count and self._thread.is_alive():
            advance(self.sent)
            time.sleep(CHECK_S)

    def send_bad_records(self) -> int:
        """Send records that cannot be decoded, for the dead letters. Returns how many."""
        for value in BAD_RECORDS:
            self._producer.produce(self._topic, value, b"bad")
        return len(BAD_RECORDS)

    def __enter__(self) -> Self:
        """Start sending."""
        self._thread.start()
        return self

    def __exit__(self, _k: type[BaseException] | None, _e: BaseException | None, _t: TracebackType | None) -> None:
        """Stop sending."""
        self._stop.set()
        self._thread.join()
        self._producer.flush(FLUSH_S)

    def _run(self) -> None:
        debt, last = 0.0, time.monotonic()
        while self.sent < len(self._events) and not self._stop.is_set():
            now = time.monotonic()
            debt += len(self._events) if self.rate is None else (now - last) * self.rate
            last = now
            due = min(int(debt), len(self._events) - self.sent)
            debt -= due
            self.sent_at += [time.time()] * due
            self._send(self._events[self.sent : self.sent + due])
            if self.rate is not None:
                self._stop.wait(BURST_S)
        self._producer.flush(FLUSH_S)

    def _send(self, events: Sequence[Event]) -> None:
        for key, value, ms in events:
            while self._labels and self._labels[0][2] <= ms:
                event_id, label, _ = self._labels.popleft()
                self._produce(self._labels_topic, label, event_id)
                self.labels_sent += 1
            self._produce(self._topic, value, key)
            self.sent += 1
        self._producer.poll(0)

    def _produce(self, topic: str, value: bytes, key: bytes) -> None:
        while True:
            try:
                self._producer.produce(topic, value, key)
                return
            except BufferError:
                self._producer.poll(CHECK_S)
