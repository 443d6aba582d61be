"""Pacing, refusal and stopping, against a clock under control and a broker in memory."""

import threading

import pytest
from confluent_kafka import KafkaError

from schemas.errors import UserError
from stream_app.cli.publish import BURST_INTERVAL_S, PacedProducer, due
from stream_app.testing.memory_kafka import MemoryKafka


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


def events(count):
    return [(b"k", str(i).encode()) for i in range(count)]


def timed(count, clock, sent_at):
    """Events, each of which is asked for when it is sent."""
    for event in events(count):
        sent_at.append(clock())
        yield event


@pytest.fixture
def kafka():
    return MemoryKafka()


def paced(kafka, clock, stop=None):
    return PacedProducer(kafka.producer(None), stop or clock, clock)


@pytest.mark.parametrize("rate", [3.0, 100.0, 7000.0, 250_000.0])
def test_a_rate_is_kept_at_every_moment_in_small_bursts(kafka, rate):
    clock, sent_at = Clock(), []
    published = paced(kafka, clock).publish("t", timed(2000, clock, sent_at), rate, lambda done: None)
    assert published.events == len(kafka.visible["t"]) == 2000
    for i, at in enumerate(sent_at):
        assert i / rate - 1e-9 <= at, "too early"
        assert at <= i / rate + BURST_INTERVAL_S + 1e-9, "too late"


def test_without_a_rate_nothing_waits(kafka):
    published = paced(kafka, Clock()).publish("t", events(5000), None, lambda done: None)
    assert (published.events, published.seconds, published.events_per_second) == (5000, 0.0, 0.0)


def test_stopped_in_the_middle_it_counts_what_was_sent(kafka):
    published = paced(kafka, Clock(stop_after_s=1.0)).publish("t", events(5000), 100.0, lambda done: None)
    assert published.events == len(kafka.visible["t"])
    assert 95 <= published.events <= 101


def test_a_full_queue_is_waited_for_and_loses_nothing(kafka):
    full = (0, 7, 1500)
    kafka.faults["produce"].extend(BufferError() if i in full else None for i in range(2000))
    published = paced(kafka, Clock()).publish("t", events(2000), None, lambda done: None)
    assert published.events == 2000
    assert [record.value() for record in kafka.visible["t"]] == [value for _, value in events(2000)]


def test_a_record_that_the_broker_does_not_take_is_told(kafka):
    refused = KafkaError(KafkaError._MSG_TIMED_OUT)
    kafka.faults["deliver"].extend([None, None, None, refused, refused])
    publisher = paced(kafka, Clock(), threading.Event())
    with pytest.raises(UserError, match="2 of 10 records did not reach t"):
        publisher.publish("t", events(10), None, lambda done: None)


def test_progress_ends_at_what_was_sent(kafka):
    seen = []
    paced(kafka, Clock()).publish("t", events(2500), None, seen.append)
    assert seen == sorted(seen)
    assert seen[-1] == 2500


def test_due_never_lags_the_rate():
    assert [due(t, 2.0) for t in (0.0, 0.49, 0.5, 1.0)] == [1, 1, 2, 3]
