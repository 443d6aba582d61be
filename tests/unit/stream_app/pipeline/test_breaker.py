"""The breaker: opens on a flood and on nothing less, holds, and closes by itself when a probe is good."""

from stream_app.pipeline.breaker import Breaker

HOLD_S = 10.0


class Clock:
    """Seconds that pass when told to."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def breaker(share: float = 0.5) -> tuple[Breaker, Clock]:
    clock = Clock()
    return Breaker(share, 1000, HOLD_S, clock), clock


def test_a_flood_opens_it_and_a_share_at_the_limit_does_not():
    subject, _ = breaker()
    for _ in range(100):
        subject.count(100, 50)
        assert not subject.is_open
    for _ in range(10):
        subject.count(100, 51)
    assert subject.is_open


def test_a_few_bad_records_at_the_start_are_no_flood():
    subject, _ = breaker()
    subject.count(10, 10)
    assert not subject.is_open


def test_what_is_long_past_no_longer_counts():
    subject, _ = breaker()
    for _ in range(100):
        subject.count(100, 0)
    for _ in range(6):
        subject.count(100, 100)
    assert subject.is_open


def test_a_probe_after_the_hold_opens_it_again_or_closes_it():
    subject, clock = breaker()
    subject.count(1000, 1000)
    clock.now += HOLD_S - 0.1
    assert subject.is_open
    clock.now += 0.1
    assert not subject.is_open
    subject.count(64, 64)
    assert subject.is_open
    clock.now += HOLD_S
    subject.count(64, 3)
    assert not subject.is_open
    subject.count(64, 64)
    assert not subject.is_open, "the window starts anew after a good probe"


def test_a_share_of_one_switches_it_off():
    subject, _ = breaker(share=1.0)
    subject.count(5000, 5000)
    assert not subject.is_open
