"""Workers that die, freeze, come and go in the middle of their work: consumers see what an undisturbed run gives."""

import random
import time
from contextlib import ExitStack
from pathlib import Path

import pytest
from confluent_kafka import KafkaException, TopicPartition

from schemas.topics import TRANSACTIONS
from stream_app.kafka import clients, topics
from stream_app.settings import Settings
from tests.faults.sabotage import program
from tests.known_stream import SMALL, Trickle, Wait, conclude, proved, transactions
from tests.traffic import committed_offsets, publish
from tests.workers import Worker, running, start_together

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(900)]

SEED = 20260711
QUICK = {"session_timeout_ms": 6000, "batch_max_events": SMALL}
"""A frozen or killed worker loses its partitions as soon as Kafka allows."""


@pytest.mark.parametrize(
    ("kills", "workers", "each"),
    [
        (2, 1, 5000),
        pytest.param(30, 1, 16_700, marks=pytest.mark.faults),
        pytest.param(30, 2, 16_700, marks=pytest.mark.faults),
    ],
)
def test_kill_9_at_random_moments(
    stream: Settings, tmp_path: Path, wait_until: Wait, kills: int, workers: int, each: int
) -> None:
    moments, sent = random.Random(SEED), 0
    with ExitStack() as stack:
        company = [stack.enter_context(running(stream, tmp_path, worker_id="steady", **QUICK))] * (workers - 1)
        for _ in range(kills):
            with running(stream, tmp_path, worker_id="victim", **QUICK) as victim:
                wait_until(victim.partitions, 90)
                before = victim.committed()
                sent += publish(stream, transactions(each, first=sent))
                wait_until(lambda: victim.committed() > before, 90)
                time.sleep(moments.uniform(0, 0.5))
                victim.kill()
        for worker in company:
            assert worker.process.poll() is None
        with running(stream, tmp_path, worker_id="victim", **QUICK):
            conclude(stream, sent, wait_until, 180)


@pytest.mark.faults
@pytest.mark.parametrize("storms", [15])
def test_a_storm_of_sigterm(stream: Settings, tmp_path: Path, wait_until: Wait, storms: int) -> None:
    sent = 0
    for _ in range(storms):
        with running(stream, tmp_path, **QUICK) as worker:
            wait_until(worker.partitions, 90)
            sent += publish(stream, transactions(5000, first=sent))
            wait_until(lambda: worker.committed() > 0, 60)
            assert worker.stop() == 0, worker.said
    with running(stream, tmp_path, **QUICK):
        conclude(stream, sent, wait_until)


@pytest.mark.faults
def test_a_worker_joins_and_leaves_every_two_seconds(stream: Settings, tmp_path: Path, wait_until: Wait) -> None:
    trickle = Trickle(stream)
    with running(stream, tmp_path, worker_id="steady", **QUICK) as steady:
        steady.await_ready()
        for _ in range(10):
            with running(stream, tmp_path, worker_id="visitor", **QUICK) as visitor:
                wait_until(lambda: trickle() and visitor.partitions(), 60)
                leave_at = time.monotonic() + 2
                wait_until(lambda: trickle() and time.monotonic() > leave_at)
                assert visitor.stop() == 0, visitor.said
        conclude(stream, trickle.sent, wait_until)
        assert steady.process.poll() is None


def test_a_zombie_is_fenced_and_steps_back(stream: Settings, tmp_path: Path, wait_until: Wait) -> None:
    with ExitStack() as stack:
        zombie, heir = start_together(stack, stream, tmp_path, **QUICK)
        wait_until(lambda: [len(worker.partitions()) for worker in (zombie, heir)] == [1, 1])
        sent = publish(stream, transactions(20_000))
        wait_until(lambda: zombie.committed() > 0)
        zombie.freeze()
        wait_until(lambda: len(heir.partitions()) == 2, 60)
        wait_until(lambda: committed_offsets(stream) == sent, 90)
        zombie.thaw()
        sent += publish(stream, transactions(5000, first=sent))
        conclude(stream, sent, wait_until)
        wait_until(lambda: [len(worker.partitions()) for worker in (zombie, heir)] == [1, 1], 60)
        assert "going on in a new session" in zombie.said


@pytest.mark.parametrize(
    "then",
    [
        pytest.param("goes on", marks=pytest.mark.faults),
        "is killed",
        "goes on after its transaction was aborted",
    ],
)
def test_a_worker_that_stands_still_between_its_offsets_and_their_commit(
    stream: Settings, tmp_path: Path, wait_until: Wait, then: str
) -> None:
    aborted = then == "goes on after its transaction was aborted"
    timeout = 4000 if aborted else 60_000
    session = 6000 if then == "is killed" else 45_000  # a frozen one must not lose its partitions
    slow = {"session_timeout_ms": session, "transaction_timeout_ms": timeout, "batch_max_events": SMALL}
    trickle = Trickle(stream)
    with running(stream, tmp_path, program("stop_before_commit", 5), worker_id="w", **slow) as worker:
        wait_until(lambda: trickle() and worker.is_frozen, 60)
        assert 0 < committed_offsets(stream) < trickle.sent
        if then == "is killed":
            worker.kill()
            with running(stream, tmp_path, worker_id="w", **slow):
                conclude(stream, trickle.sent, wait_until)
            return
        if aborted:
            wait_until(lambda: no_transaction_is_open(stream), 60)
            assert committed_offsets(stream) < trickle.sent
        worker.thaw()
        conclude(stream, trickle.sent, wait_until)
        assert ("going on in a new session" in worker.said) == aborted


def test_what_an_open_transaction_hides_is_waited_for_and_not_called_lost(
    stream: Settings, tmp_path: Path, wait_until: Wait
) -> None:
    slow = {"transaction_timeout_ms": 8000, "batch_max_events": SMALL}
    trickle = Trickle(stream)
    with (
        running(stream, tmp_path, worker_id="steady", **slow) as steady,
        running(stream, tmp_path, program("stop_before_offsets", 3), worker_id="w", **slow) as worker,
    ):
        wait_until(lambda: trickle() and worker.is_frozen, 60)
        before = steady.committed()
        wait_until(lambda: trickle() and steady.committed() > before + 100)
        proved(stream)
        worker.thaw()
        conclude(stream, trickle.sent, wait_until)


def no_transaction_is_open(settings: Settings) -> bool:
    """Kafka lets read-committed clients wait for committed offsets while a transaction holds newer ones."""
    client = clients.consumer(settings, settings.group)
    topic = topics.name(settings, TRANSACTIONS)
    try:
        return bool(client.committed([TopicPartition(topic, 0), TopicPartition(topic, 1)], timeout=1))
    except KafkaException:
        return False
    finally:
        client.close()


def test_a_silent_stall_is_told_by_the_liveness_probe(stream: Settings, tmp_path: Path, wait_until: Wait) -> None:
    def lives(worker: Worker) -> bool:
        return worker.answers("health/live")

    with running(stream, tmp_path, program("stall_after", 3), worker_id="w", stall_after_s=3.0, **QUICK) as stalled:
        sent = publish(stream, transactions(5000))
        wait_until(lambda: not lives(stalled), 60)
        assert committed_offsets(stream) < sent
        stalled.kill()
    with running(stream, tmp_path, worker_id="w", **QUICK) as healthy:
        conclude(stream, sent, wait_until)
        assert lives(healthy)
