"""What the page remembers: the newest first, each once, and no more than it shows."""

import pytest

from schemas.rollout import Activate, ModelStatus, Phase, Rollback
from stream_app.ops.anomalies import SHOWN
from tests.unit.stream_app.ops.ops_records import (
    MODEL,
    NEXT_MODEL,
    NOON,
    Clock,
    Topics,
    after,
    alert,
    anomaly,
    heartbeat,
    label,
)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def topics(clock: Clock) -> Topics:
    return Topics(clock)


def test_the_latest_anomalies_come_first_each_once_and_bounded(topics: Topics) -> None:
    for number in range(SHOWN + 5):
        topics.post(anomaly(number), at=NOON)
        topics.post(anomaly(number), at=NOON)
    shown = [entry.anomaly.source.offset for entry in topics.board.read().anomalies]
    assert shown == list(range(SHOWN + 4, 4, -1))


def test_an_anomaly_shows_what_became_of_it(topics: Topics) -> None:
    for number in (1, 2, 3):
        topics.post(anomaly(number), at=NOON)
    topics.post(label(1, True), at=NOON)
    topics.post(label(2, False), at=NOON)
    reading = topics.board.read()
    assert [entry.fraud for entry in reading.anomalies] == [None, False, True]
    assert (reading.precision, reading.labelled, reading.frauds) == (0.5, 2, 1)


def test_an_alert_that_is_read_twice_is_shown_once(topics: Topics) -> None:
    for name in ("a1", "a2", "a1"):
        topics.post(alert(name), at=NOON)
    assert [raised.alert.alert_id for raised in topics.board.read().alerts] == ["a2", "a1"]


def test_a_heartbeat_is_a_worker_and_an_answer_is_an_event(topics: Topics) -> None:
    topics.post(heartbeat("a"), at=NOON)
    topics.post(ModelStatus(worker="a", phase=Phase.REJECTED, at=NOON, serving=NEXT_MODEL, reason="no"), at=NOON)
    reading = topics.board.read()
    assert list(reading.workers) == ["a"]
    assert [event.reason for event in reading.rollout] == ["no"]


def test_what_a_worker_says_again_of_one_command_is_one_event(topics: Topics) -> None:
    """`applied` comes without partitions, with each that is taken over, and when a trial after it ends."""
    for seconds, command, barriers in ((1, "go-1", {}), (2, "go-1", {"0": 5}), (3, "go-2", {"0": 9}), (4, "go-1", {})):
        for worker in "ab":
            applied = ModelStatus(
                worker=worker, phase=Phase.APPLIED, at=after(seconds), command_id=command, barriers=barriers
            )
            topics.post(applied, at=after(seconds))
    shown = [(event.worker, event.command_id, event.at) for event in topics.board.read().rollout]
    assert shown == [
        ("b", "go-2", after(3)),
        ("a", "go-2", after(3)),
        ("b", "go-1", after(1)),
        ("a", "go-1", after(1)),
    ]


def test_the_swap_follows_the_commands_that_took_effect(topics: Topics) -> None:
    assert topics.board.read().swap is None
    topics.deploy("1", MODEL, after(10))
    topics.deploy("2", NEXT_MODEL, after(20))
    assert topics.board.read().swap.at == after(20)
    topics.command(Activate(command_id="x", issuer="ana", issued_at=NOON, stage_id="nothing"), after(30))
    assert topics.board.read().swap.at == after(20)
    topics.command(Rollback(command_id="back", issuer="ana", issued_at=NOON), after(40))
    assert topics.board.read().swap.at == after(40)
