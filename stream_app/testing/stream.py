"""A producer that sends events to the input topic at a rate, from a thread."""

import threading
import time
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Self

from confluent_kafka import Producer

from schemas.topics import TRANSACTIONS
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
    """Sends events (key, value, event time) in order.

    Attributes:
        rate: Events a second, None for no limit; may be changed while the stream runs.
        sent: How many events have been sent.
        sent_at: When each was sent, in seconds since the epoch.
    """

    def __init__(self, settings: Settings, events: Sequence[Event], rate: float | None) -> None:
        self._topic = topics.name(settings, TRANSACTIONS)
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
        for key, value, _ in events:
            while True:
                try:
                    self._producer.produce(self._topic, value, key)
                    break
                except BufferError:
                    self._producer.poll(CHECK_S)
            self.sent += 1
        self._producer.poll(0)
