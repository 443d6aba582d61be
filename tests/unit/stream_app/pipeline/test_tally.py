"""The clock of a commit interval: from commit to commit, and out of the way after a pause."""

from datetime import UTC, datetime

import pytest
from prometheus_client import CollectorRegistry

from stream_app.metrics import Metrics
from stream_app.pipeline.progress import Progress
from stream_app.pipeline.tally import Tally


class Clock:
    def __init__(self) -> None:
        self.at = 1000.0

    def __call__(self) -> float:
        return self.at


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def tally(clock: Clock) -> Tally:
    return Tally(Metrics(CollectorRegistry()), Progress(), clock, lambda: datetime.now(UTC))


def test_an_empty_interval_does_not_age(tally: Tally, clock: Clock):
    tally.close()
    clock.at += 10
    assert not tally.is_open
    assert tally.age_s == 0.0


def test_an_interval_is_as_old_as_the_commit_before_it(tally: Tally, clock: Clock):
    tally.close()
    clock.at += 0.008  # the commit itself
    tally.reset()
    clock.at += 0.05
    tally.open()
    clock.at += 0.04
    assert tally.age_s == pytest.approx(0.098)


def test_what_comes_first_waits_for_nothing(tally: Tally):
    tally.open()
    assert tally.age_s == float("inf")
