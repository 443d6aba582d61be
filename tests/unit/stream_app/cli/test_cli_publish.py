"""Pacing, refusal and stopping, against a clock and a producer that can be looked into."""

import threading

import pytest
from confluent_kafka import KafkaError

from schemas.errors import UserError
from stream_app.cli.publish import BURST_INTERVAL_S, PacedProducer, due


class Clock:
    """Monotonic seconds that pass only when somebody waits. It is also the stop event: waiting is what takes time."""

    def __init__(self, stop_after_s=float("inf")):
        self.now = 0.0
        self.stop_after_s = stop_after_s

    def __call__(self):
        return self.now

    def is_set(self):
        return self.now >= self.stop_after_s

    def wait(self, seconds):
        self.now += seconds


class Broker:
    """The part of a producer that is used. Refuses what it is told to, and is full for a while when told to."""

    def __init__(self, clock, refuses=(), full_at=()):
        self.clock, self.refuses, self.full_at = clock, refuses, set(full_at)
        self.sent_at, self.callbacks = [], []

    def produce(self, topic, value, key, on_delivery):
        if len(self.sent_at) in self.full_at:
            self.full_at.discard(len(self.sent_at))
            raise BufferError
        self.sent_at.append(self.clock())
        if value in self.refuses:
            self.callbacks.append(on_delivery)

    def poll(self, _seconds):
        while self.callbacks:
            self.callbacks.pop()(KafkaError(KafkaError._MSG_TIMED_OUT), None)

    def flush(self, _seconds):
        self.poll(0)
        return 0


def events(count):
    return [(b"k", str(i).encode()) for i in range(count)]


@pytest.mark.parametrize("rate", [3.0, 100.0, 7000.0, 250_000.0])
def test_a_rate_is_kept_at_every_moment_in_small_bursts(rate):
    clock = Clock()
    broker = Broker(clock)
    published = PacedProducer(broker, clock, clock).publish("t", events(2000), rate, lambda done: None)
    assert published.events == 2000
    for i, at in enumerate(broker.sent_at):
        assert i / rate - 1e-9 <= at, "too early"
        assert at <= i / rate + BURST_INTERVAL_S + 1e-9, "too late"


def test_without_a_rate_nothing_waits():
    clock = Clock()
    published = PacedProducer(Broker(clock), clock, clock).publish("t", events(5000), None, lambda done: None)
    assert (published.events, published.seconds, published.events_per_second) == (5000, 0.0, 0.0)


def test_stopped_in_the_middle_it_counts_what_was_sent():
    clock = Clock(stop_after_s=1.0)
    broker = Broker(clock)
    published = PacedProducer(broker, clock, clock).publish("t", events(5000), 100.0, lambda done: None)
    assert published.events == len(broker.sent_at)
    assert 95 <= published.events <= 101


def test_a_full_queue_is_waited_for_and_loses_nothing():
    clock = Clock()
    broker = Broker(clock, full_at=(0, 7, 1500))
    published = PacedProducer(broker, clock, clock).publish("t", events(2000), None, lambda done: None)
    assert published.events == len(broker.sent_at) == 2000


def test_a_record_that_the_broker_does_not_take_is_told():
    clock = Clock()
    publisher = PacedProducer(Broker(clock, refuses={b"3", b"4"}), threading.Event(), clock)
    with pytest.raises(UserError, match="2 of 10 records did not reach t"):
        publisher.publish("t", events(10), None, lambda done: None)


def test_progress_ends_at_what_was_sent():
    clock = Clock()
    seen = []
    PacedProducer(Broker(clock), clock, clock).publish("t", events(2500), None, seen.append)
    assert seen == sorted(seen)
    assert seen[-1] == 2500


def test_due_never_lags_the_rate():
    assert [due(t, 2.0) for t in (0.0, 0.49, 0.5, 1.0)] == [1, 1, 2, 3]
