"""`stream-app rekey` whose workers are killed: every record once, in order, under the key of its entity."""

import json
import subprocess
import sys
from collections import Counter, defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from schemas import topics as declared
from schemas.topics import DEAD_LETTERS, TRANSACTIONS
from stream_app.kafka import clients, topics
from stream_app.kafka.log import read_to_end
from stream_app.settings import Settings, environment
from tests.faults.sabotage import program
from tests.known_stream import Wait
from tests.traffic import committed_records

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(300)]

RAW = replace(TRANSACTIONS, name="raw")
DETECTOR = """
name = "raw"
[event]
id = "id"
time = "at"
time_unit = "ms"
entity = "card"
[[input]]
name = "amount"
path = "amount"
"""
WHOLE = "from stream_app.cli.app import main; main()"
NONE = 7  # every so many-th record is no event


@pytest.fixture
def raw(settings: Settings) -> Settings:
    """A topic with another key beside the workers' input; dead workers are forgotten soon."""
    own = settings.model_copy(
        update={"transaction_timeout_ms": 2000, "session_timeout_ms": 6000, "input_partitions": 3}
    )
    topics.ensure(own, (*declared.ALL, RAW))
    return own


@contextmanager
def rekeying(settings: Settings, folder: Path, code: str = WHOLE) -> Iterator[subprocess.Popen]:
    (folder / "detector.toml").write_text(DETECTOR)
    command = [sys.executable, "-c", code, "rekey", topics.name(settings, RAW)]
    with (folder / "rekey.log").open("ab") as log:
        process = subprocess.Popen(command, cwd=folder, env=environment(settings), stdout=log, stderr=log)
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def event(number: int) -> dict[str, object]:
    card = f"c{number**3 // 7 % 40}"
    return {"id": f"{number:05}", "at": 1_600_000_000_000 + 300_000 * number, "card": card, "amount": number % 97}


def send(settings: Settings, first: int, end: int) -> None:
    """Keyed by anything."""
    producer = clients.producer(settings)
    for number in range(first, end):
        value = json.dumps(event(number)).encode() if number % NONE else b"{"
        producer.produce(topics.name(settings, RAW), value, str(number % 11).encode(), headers=[("trace", b"t")])
    assert producer.flush(30) == 0


def written(settings: Settings) -> int:
    return sum(1 for _ in read_to_end(settings, TRANSACTIONS)) + len(committed_records(settings, DEAD_LETTERS))


def killed_before_a_commit(settings: Settings, folder: Path, wait_until: Wait) -> None:
    """300 records are sent; what is in the open transaction when the worker dies is not there."""
    send(settings, 0, 150)
    with rekeying(settings, folder, program("stop_before_commit", 2)) as process:

        def stopped() -> bool:
            return psutil.Process(process.pid).status() == psutil.STATUS_STOPPED

        wait_until(lambda: stopped() or written(settings) >= 150, 90)
        send(settings, 150, 300)  # for a second commit, where the first took all
        wait_until(stopped, 90)
        process.kill()


def once_and_in_order(settings: Settings, sent: int) -> None:
    there = list(read_to_end(settings, TRANSACTIONS))
    seen = [json.loads(message.value() or b"") for message in there]
    assert Counter(e["id"] for e in seen) == Counter(event(n)["id"] for n in range(sent) if n % NONE)
    assert all(message.key() == found["card"].encode() for message, found in zip(there, seen, strict=True))
    assert all(message.headers() == [("trace", b"t")] for message in there)
    assert len(committed_records(settings, DEAD_LETTERS)) == sum(number % NONE == 0 for number in range(sent))
    came = {(m.value() or b""): (m.partition(), m.offset()) for m in read_to_end(settings, RAW)}
    order: dict[tuple, list[int]] = defaultdict(list)
    for message, found in zip(there, seen, strict=True):
        partition, offset = came[message.value() or b""]
        order[found["card"], partition].append(offset)
    assert all(offsets == sorted(offsets) for offsets in order.values())
    places = {(found["card"], message.partition()) for message, found in zip(there, seen, strict=True)}
    assert len(places) == len({card for card, _ in places})


def test_rekey_writes_every_record_once_and_in_order_though_a_worker_is_killed(
    raw: Settings, tmp_path: Path, wait_until: Wait
) -> None:
    killed_before_a_commit(raw, tmp_path, wait_until)
    with rekeying(raw, tmp_path) as last:
        wait_until(lambda: written(raw) >= 300, 90)
        last.terminate()
        assert last.wait(20) == 0, (tmp_path / "rekey.log").read_text()
    once_and_in_order(raw, 300)


@pytest.mark.faults
def test_rekey_writes_every_record_once_and_in_order_though_workers_are_killed_and_share_the_work(
    raw: Settings, tmp_path: Path, wait_until: Wait
) -> None:
    killed_before_a_commit(raw, tmp_path, wait_until)
    send(raw, 300, 600)
    with rekeying(raw, tmp_path) as second:
        wait_until(lambda: written(raw) >= 600, 90)
        send(raw, 600, 900)
        second.kill()
    with rekeying(raw, tmp_path) as third, rekeying(raw, tmp_path) as fourth:
        send(raw, 900, 1200)
        wait_until(lambda: written(raw) >= 1200, 90)
        for process in (third, fourth):
            process.terminate()
        assert [process.wait(20) for process in (third, fourth)] == [0, 0], (tmp_path / "rekey.log").read_text()
    once_and_in_order(raw, 1200)
