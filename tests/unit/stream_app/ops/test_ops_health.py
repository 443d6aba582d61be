"""Liveness fails where a restart helps, and only there; readiness says what is missing."""

from dataclasses import replace

import pytest

from stream_app.ops.health import Liveness, readiness
from stream_app.pipeline.progress import Progress, Snapshot
from tests.unit.stream_app.ops.ops_records import Clock, running

PATIENCE = 30.0


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def progress() -> Progress:
    return Progress()


@pytest.fixture
def liveness(progress: Progress, clock: Clock) -> Liveness:
    return Liveness(progress, PATIENCE, clock.monotonic)


def test_a_worker_that_has_just_started_is_alive_however_long_the_machine_is_up(liveness: Liveness) -> None:
    assert liveness.check().ok


def test_a_pipeline_that_never_turned_is_not_alive_after_the_patience(liveness: Liveness, clock: Clock) -> None:
    clock.advance(PATIENCE + 1)
    health = liveness.check()
    assert not health.ok
    assert "31 s" in health.sentence


def test_a_thread_that_stands_still_is_not_alive(liveness: Liveness, progress: Progress, clock: Clock) -> None:
    progress.latest = running(clock)
    assert liveness.check().ok
    clock.advance(PATIENCE + 1)
    assert not liveness.check().ok


def test_lag_without_movement_is_not_alive(liveness: Liveness, progress: Progress, clock: Clock) -> None:
    progress.latest = running(clock, lag=12_000)
    assert liveness.check().ok
    clock.advance(PATIENCE + 1)
    progress.latest = replace(progress.latest, looped_at=clock.seconds)
    health = liveness.check()
    assert not health.ok
    assert "12,000 events wait" in health.sentence


def test_lag_with_movement_is_alive(liveness: Liveness, progress: Progress, clock: Clock) -> None:
    for _ in range(10):
        progress.latest = running(clock, lag=12_000)
        assert liveness.check().ok
        clock.advance(PATIENCE)


def test_the_first_transaction_after_a_quiet_night_does_not_kill(
    liveness: Liveness, progress: Progress, clock: Clock
) -> None:
    clock.advance(8 * 3600)
    progress.latest = running(clock, lag=1, moved_ago=8 * 3600)
    assert liveness.check().ok


def test_a_pipeline_that_says_why_it_waits_is_alive_through_any_outage(
    liveness: Liveness, progress: Progress, clock: Clock
) -> None:
    for _ in range(10):
        clock.advance(PATIENCE)
        progress.latest = running(clock, lag=12_000, moved_ago=600, state="reconnecting: no Kafka answers", ready=False)
        assert liveness.check().ok
    progress.latest = running(clock, lag=12_000, moved_ago=600)
    assert liveness.check().ok


def test_ready_names_the_model_and_not_ready_names_the_reason(clock: Clock) -> None:
    assert readiness(running(clock)).ok
    assert "card-fraud 7" in readiness(running(clock)).sentence
    waiting = readiness(Snapshot(state="waiting for a model"))
    assert not waiting.ok
    assert waiting.sentence == "Not ready: waiting for a model."
