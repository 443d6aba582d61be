"""A worker's threads and clients: the death of any thread ends it, and their queues are counted in its memory."""

from pathlib import Path
from typing import Any

import pytest

from schemas.topics import ALL
from stream_app.host.worker import Worker
from stream_app.kafka import clients, topics
from stream_app.settings import Settings
from stream_app.threads import ThreadDied, check
from tests.faults.sabotage import program
from tests.workers import running

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(120)]

QUEUES = {"queued.max.messages.kbytes", "queue.buffering.max.kbytes"}


@pytest.fixture
def worker(settings: Settings) -> Worker:
    topics.ensure(settings, ALL)
    return Worker(settings)


def test_the_death_of_any_thread_is_noticed(worker: Worker) -> None:
    assert worker.threads[0].name == "pipeline"
    for thread in worker.threads:
        thread._step = explode
        thread.start()
        thread.join(10.0)
        with pytest.raises(ThreadDied, match=f"^its thread {thread.name} died of RuntimeError: sabotage$"):
            check([thread])
    worker.control.stop()


def explode() -> None:
    raise RuntimeError("sabotage")


def test_a_worker_whose_thread_died_ends_with_one_clear_last_line(settings: Settings, tmp_path: Path) -> None:
    with running(settings, tmp_path, program=program("die", "heartbeat", 3)) as worker:
        assert worker.process.wait(60) == 1
        last = worker.said.strip().splitlines()[-1]
    assert last.endswith("the worker stops: its thread heartbeat died of RuntimeError: sabotage")


def test_all_clients_of_the_control_plane_together_hold_no_more_than_the_memory_adr_allows(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[dict[str, Any]] = []
    real = clients._made

    def recorded(kind: Any, own: Settings, tuned: dict[str, Any], properties: dict[str, Any]) -> Any:
        made.append({**tuned, **properties})
        return real(kind, own, tuned, properties)

    topics.ensure(settings, ALL)
    monkeypatch.setattr(clients, "_made", recorded)
    worker = Worker(settings)
    worker.control.stop()
    queues = [queue for client in made if (queue := max((client.get(name, 0) for name in QUEUES), default=0))]
    lasting_and_the_first_look_at_the_audit_log = 4
    assert 3 <= len(queues) <= lasting_and_the_first_look_at_the_audit_log
    assert sum(queues) <= lasting_and_the_first_look_at_the_audit_log * clients.CONTROL_BUFFER_MB * 1024
