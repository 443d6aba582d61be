"""How workers start, stop and fail: what they wait for, what they survive, what they die of, and what they say."""

import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import pytest
from confluent_kafka.admin import (  # type: ignore[attr-defined]
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    NewTopic,
    ResourceType,
)

from schemas.topics import ANOMALIES, MODEL_SWAP
from stream_app.embedded.broker import EmbeddedBroker
from stream_app.kafka import clients, topics
from stream_app.rollout import commands
from stream_app.rollout.client import Order
from stream_app.settings import Guarantee, Settings
from stream_app.testing.tiny_model import tiny_model
from stream_app.testing.worker_process import WorkerProcessError
from tests.conftest import free_port
from tests.known_stream import SMALL, Trickle, Wait, anomalies, anomalous, conclude, prepared, proved, transactions
from tests.traffic import committed_offsets, publish
from tests.workers import Worker, running, start_together

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(150)]

EVENTS = 20_000


def members(settings: Settings) -> int:
    """How many the group has right now."""
    admin = clients.admin(settings)
    return len(admin.describe_consumer_groups([settings.group])[settings.group].result().members)


def everything_said(folder: Path) -> str:
    """By the workers that log there, also by those that are not alive yet."""
    return "".join(log.read_text() for log in folder.glob("worker-*.log"))


def readiness(worker: Worker) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(f"{worker.url}health/ready", timeout=5) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as refusal:
        return refusal.code, refusal.read().decode()


@pytest.fixture
def stream(settings: Settings, tmp_path: Path) -> Settings:
    return prepared(settings, tmp_path)


@pytest.fixture
def own_broker(tmp_path: Path) -> Iterator[EmbeddedBroker]:
    """A broker that is not up yet, and that a test may kill."""
    broker = EmbeddedBroker(tmp_path / "kafka", free_port())
    yield broker
    broker.stop()


def test_sigterm_under_load_leaves_nothing_half_done_and_the_partitions_to_the_others(
    stream: Settings, tmp_path: Path, wait_until: Wait
) -> None:
    with ExitStack() as stack:
        leaver, heir = start_together(stack, stream, tmp_path, batch_max_events=SMALL)
        wait_until(lambda: [len(worker.partitions()) for worker in (leaver, heir)] == [1, 1])
        sent = publish(stream, transactions(EVENTS))
        wait_until(lambda: leaver.committed() > 0)
        assert leaver.stop() == 0, leaver.said
        assert members(stream) == 1  # it has left, and did not wait to be missed
        assert proved(stream).committed < sent, "it was done before it could be stopped"
        wait_until(lambda: committed_offsets(stream) == sent, 60)
        assert len(heir.partitions()) == 2
        assert heir.stop() == 0
    conclude(stream, sent, wait_until)


def test_a_worker_waits_for_broker_and_model_and_survives_a_killed_broker(
    own_broker: EmbeddedBroker, fresh_settings: Callable[..., Settings], tmp_path: Path, wait_until: Wait
) -> None:
    settings = fresh_settings(own_broker.bootstrap_servers, batch_max_events=SMALL)
    with ExitStack() as stack, ThreadPoolExecutor() as pool:
        start = pool.submit(stack.enter_context, running(settings, tmp_path, fresh=True))
        wait_until(lambda: f"waiting for Kafka at {own_broker.bootstrap_servers}" in everything_said(tmp_path))
        own_broker.start()
        worker = start.result()

        wait_until(lambda: "waiting for a model" in readiness(worker)[1])
        assert readiness(worker)[0] == 503
        tiny_model(tmp_path / "1.pt", "1")
        outcome = commands.deploy(settings, Order("test"), tmp_path / "1.pt")
        assert outcome.ok, outcome.sentence
        worker.await_ready()

        publish(settings, transactions(EVENTS))
        wait_until(lambda: worker.committed() > 0)
        own_broker.kill()
        before = worker.committed()
        assert before < EVENTS, "it was done before the broker could be killed"
        wait_until(lambda: "reconnecting" in readiness(worker)[1], 90)
        own_broker.start()
        wait_until(lambda: committed_offsets(settings) == EVENTS, 60)
        worker.await_ready()
        assert worker.stop() == 0, worker.said
    conclude(settings, EVENTS, wait_until)


def refused(settings: Settings, folder: Path) -> tuple[int, str]:
    """Exit code and words of a worker that must not start."""
    worker = Worker(settings, folder / "refused.log")
    worker.fresh = True
    with pytest.raises(WorkerProcessError):
        worker.start()
    return worker.process.wait(), worker.said


def test_a_wrong_setting_is_one_line_and_exit_code_2(settings: Settings, tmp_path: Path) -> None:
    code, said = refused(settings.model_copy(update={"batch_max_events": 0}), tmp_path)
    assert (code, len(said.splitlines())) == (2, 1), said
    assert "batch_max_events" in said
    assert "it must be at least 1" in said


def test_a_topic_that_contradicts_its_declaration_is_one_line_and_exit_code_1(
    settings: Settings, tmp_path: Path
) -> None:
    admin = clients.admin(settings)
    name = topics.name(settings, MODEL_SWAP)
    admin.create_topics([NewTopic(name, 3)], operation_timeout=30)[name].result()
    code, said = refused(settings, tmp_path)
    assert (code, len(said.splitlines())) == (1, 1), said
    assert f"topic {name} has 3 partitions but must have 1" in said
    assert "delete it, or set another topic_prefix" in said


@pytest.mark.parametrize("guarantee", Guarantee)
def test_a_worker_that_cannot_go_on_keeps_its_promise_and_ends_with_one_clear_line(
    stream: Settings, guarantee: Guarantee, tmp_path: Path, wait_until: Wait
) -> None:
    with running(stream, tmp_path, guarantee=guarantee) as worker:
        sent = publish(stream, transactions(EVENTS))
        wait_until(lambda: committed_offsets(stream) == sent, 60)
        assert anomalies(stream) == anomalous(sent)
        assert proved(stream).committed == sent

        take_only_records_of(stream, 100)
        more = Trickle(stream, sent)
        wait_until(lambda: more() and worker.process.poll() is not None, 60)  # a broker takes its time with a limit
        assert worker.process.returncode == 1, worker.said
    last = worker.said.splitlines()[-1]
    assert "the worker stops: " in last
    assert "raise max.message.bytes" in last
    assert "Traceback" not in worker.said
    assert sent <= proved(stream).committed < more.sent
    assert set(anomalous(sent)) <= set(anomalies(stream)) < set(anomalous(more.sent))


def take_only_records_of(settings: Settings, limit: int) -> None:
    """From now on `anomalies` takes no record that is larger than so many bytes."""
    entry = ConfigEntry("max.message.bytes", str(limit), incremental_operation=AlterConfigOpType.SET)
    place = ConfigResource(ResourceType.TOPIC, topics.name(settings, ANOMALIES), incremental_configs=[entry])
    admin = clients.admin(settings)
    for outcome in admin.incremental_alter_configs([place]).values():
        outcome.result()


def test_of_two_workers_with_one_name_one_yields_and_nothing_is_done_twice(
    stream: Settings, tmp_path: Path, wait_until: Wait
) -> None:
    busy = Trickle(stream)  # something to fence each other over
    with ExitStack() as stack:
        twins = start_together(stack, stream, tmp_path, worker_id="twin")
        wait_until(lambda: busy() and any(worker.process.poll() is not None for worker in twins), 60)
        (yielded,) = [worker for worker in twins if worker.process.poll() is not None]
        assert yielded.process.returncode == 1
        assert "fenced by a newer instance" in yielded.said
        assert yielded.said.splitlines()[-1].endswith(
            "another worker runs under the name twin: give each a worker_id of its own"
        )
        wait_until(lambda: committed_offsets(stream) == busy.sent, 60)
    conclude(stream, busy.sent, wait_until)
