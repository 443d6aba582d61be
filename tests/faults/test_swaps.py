"""Models deployed while the ground shakes: every score is by the model that the log prescribes, and none is missing."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from models import archive
from stream_app.embedded.broker import EmbeddedBroker
from stream_app.rollout import commands
from stream_app.rollout.client import Order
from stream_app.settings import Settings
from stream_app.testing.tiny_model import tiny_model
from tests.conftest import free_port
from tests.known_stream import SMALL, Trickle, Wait, conclude, prepared, transactions
from tests.traffic import publish
from tests.workers import Worker, running

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(300)]


@pytest.fixture
def second(tmp_path: Path) -> Path:
    """Another model that decides as the first one does."""
    tiny_model(tmp_path / "2.pt", "2")
    return tmp_path / "2.pt"


def serves(worker: Worker, path: Path) -> bool:
    return worker.model() == archive.read(path).sha256


@pytest.mark.faults
def test_a_swap_while_a_worker_joins(stream: Settings, second: Path, tmp_path: Path, wait_until: Wait) -> None:
    trickle = Trickle(stream)
    with running(stream, tmp_path, batch_max_events=SMALL) as one, ThreadPoolExecutor() as pool:
        one.await_ready()
        with running(stream, tmp_path, batch_max_events=SMALL) as other:
            deploying = pool.submit(commands.deploy, stream, Order("test"), second)
            wait_until(lambda: trickle() and deploying.done(), 90)
            assert deploying.result().ok, deploying.result().sentence
            wait_until(lambda: trickle() and all(serves(worker, second) for worker in (one, other)), 60)
            conclude(stream, trickle.sent, wait_until)


def test_a_swap_while_a_worker_is_killed(stream: Settings, second: Path, tmp_path: Path, wait_until: Wait) -> None:
    trickle = Trickle(stream)
    own = {"batch_max_events": SMALL, "session_timeout_ms": 6000}
    with running(stream, tmp_path, **own) as one, running(stream, tmp_path, **own) as victim:
        wait_until(lambda: one.partitions() and victim.partitions(), 60)
        with ThreadPoolExecutor() as pool:
            deploying = pool.submit(commands.deploy, stream, Order("test"), second)
            victim.kill()
            wait_until(lambda: trickle() and deploying.done(), 90)
        outcome = deploying.result()
        if not outcome.ok:  # it was asked, and died before it could answer: everybody stays with the old one
            assert not serves(one, second)
            assert commands.deploy(stream, Order("test"), second).ok
        assert serves(one, second)
        conclude(stream, trickle.sent, wait_until)


@pytest.mark.faults
def test_a_swap_during_a_broker_outage(
    fresh_settings: Callable[..., Settings], second: Path, tmp_path: Path, wait_until: Wait
) -> None:
    with EmbeddedBroker(tmp_path / "kafka", free_port()) as broker:
        settings = prepared(fresh_settings(broker.bootstrap_servers, batch_max_events=SMALL), tmp_path)
        with running(settings, tmp_path) as worker, ThreadPoolExecutor() as pool:
            sent = publish(settings, transactions(20_000))
            wait_until(lambda: worker.committed() > 0, 60)
            deploying = pool.submit(commands.deploy, settings, Order("test"), second)
            broker.kill()
            broker.start()
            wait_until(deploying.done, 120)
            wait_until(lambda: serves(worker, second) or commands.deploy(settings, Order("test"), second).ok, 120)
            conclude(settings, sent, wait_until, 180)
