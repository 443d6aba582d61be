"""A cluster that goes away, stands still or loses a topic in the middle of the work."""

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from schemas import topics as declared
from schemas.topics import ANOMALIES
from stream_app.embedded.broker import EmbeddedBroker
from stream_app.kafka import clients, topics
from stream_app.settings import Settings
from tests.conftest import free_port
from tests.known_stream import SMALL, Trickle, Wait, anomalies, anomalous, conclude, prepared, transactions
from tests.traffic import committed_offsets, publish
from tests.workers import running

pytestmark = [pytest.mark.kafka, pytest.mark.faults, pytest.mark.timeout(600)]


@pytest.fixture
def own_broker(tmp_path: Path) -> Iterator[EmbeddedBroker]:
    """A broker that a test may mistreat."""
    with EmbeddedBroker(tmp_path / "kafka", free_port()) as broker:
        yield broker


@pytest.fixture
def own_stream(own_broker: EmbeddedBroker, fresh_settings: Callable[..., Settings], tmp_path: Path) -> Settings:
    """The stream on that broker."""
    return prepared(fresh_settings(own_broker.bootstrap_servers, batch_max_events=SMALL), tmp_path)


def test_a_broker_killed_again_and_again(
    own_broker: EmbeddedBroker, own_stream: Settings, tmp_path: Path, wait_until: Wait
) -> None:
    sent = 0
    with running(own_stream, tmp_path) as worker:
        worker.await_ready()
        for _ in range(3):
            before = worker.committed()
            worker.freeze()  # or it could be done before anything happens
            sent += publish(own_stream, transactions(20_000, first=sent))
            worker.thaw()
            wait_until(lambda: worker.committed() > before, 120)
            own_broker.kill()
            own_broker.start()
        conclude(own_stream, sent, wait_until, 180)
        assert worker.process.poll() is None


def test_a_broker_that_stands_still_for_forty_seconds(
    own_broker: EmbeddedBroker, own_stream: Settings, tmp_path: Path, wait_until: Wait
) -> None:
    with running(own_stream, tmp_path) as worker:
        sent = publish(own_stream, transactions(20_000))
        wait_until(lambda: worker.committed() > 0, 60)
        own_broker.pause()
        resume_at = time.monotonic() + 40
        wait_until(lambda: "new session" in worker.said and time.monotonic() >= resume_at, 100)
        own_broker.resume()
        conclude(own_stream, sent, wait_until, 180)


def test_a_broker_that_is_away_for_longer_than_a_session_is_worked_for_again_within_two_minutes(
    own_broker: EmbeddedBroker, own_stream: Settings, tmp_path: Path, wait_until: Wait
) -> None:
    """The group comes back with the members of before, whom nobody can end any more: it waits for them."""
    with running(own_stream, tmp_path, session_timeout_ms=6000) as worker:
        sent = publish(own_stream, transactions(5000))
        wait_until(lambda: committed_offsets(own_stream) == sent, 60)
        own_broker.kill()
        back_at = time.monotonic() + 40
        wait_until(lambda: worker.said.count("new session") >= 2 and time.monotonic() >= back_at, 100)
        own_broker.start()
        sent += publish(own_stream, transactions(5000, first=sent))
        conclude(own_stream, sent, wait_until, 120)


def test_an_output_topic_that_is_deleted_is_missed_and_comes_back(
    own_stream: Settings, tmp_path: Path, wait_until: Wait
) -> None:
    """What the topic held is gone with it; from then on nothing is lost, and the worker says what it misses."""
    with running(own_stream, tmp_path) as worker:
        sent = publish(own_stream, transactions(5000))
        wait_until(lambda: committed_offsets(own_stream) == sent, 60)
        name = topics.name(own_stream, ANOMALIES)
        admin = clients.admin(own_stream)  # a client that nobody holds ends before its answer
        admin.delete_topics([name])[name].result()
        trickle = Trickle(own_stream, sent)
        wait_until(lambda: trickle() and name in worker.said, 120)
        topics.ensure(own_stream, declared.ALL)
        wait_until(lambda: committed_offsets(own_stream) == trickle.sent, 120)
        later = {identity for identity in anomalous(trickle.sent) if int(identity) >= sent}
        assert later <= set(anomalies(own_stream))
