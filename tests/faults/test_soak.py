"""Memory, after a long day and under heavy records."""

import base64
import random
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from schemas import topics as declared
from stream_app.kafka import topics
from stream_app.rollout import commands
from stream_app.settings import Settings
from tests.known_stream import Wait, proved, transactions
from tests.tiny_model import tiny_model
from tests.traffic import committed_offsets, publish
from tests.workers import Worker, running

pytestmark = [pytest.mark.kafka, pytest.mark.faults, pytest.mark.timeout(1800)]

SWAPS = 1000
GROWTH = 1.05
SEED = 20260711
MEBIBYTE = 1024 * 1024
HEAVY = 600
BUFFER_MB = 16
BOUND = 0


def resident(worker: Worker) -> int:
    """Bytes."""
    return psutil.Process(worker.process.pid).memory_info().rss


@pytest.mark.parametrize(("times", "each"), [(5, 100_000), (20, 1_000_000)])
def test_memory_after_many_events_is_that_after_the_first(
    stream: Settings, tmp_path: Path, wait_until: Wait, times: int, each: int
) -> None:
    batch = list(transactions(each))
    with running(stream, tmp_path) as worker:
        sizes = []
        for number in range(1, times + 1):
            publish(stream, batch)
            wait_until(lambda: committed_offsets(stream) == number * each, 120)
            sizes.append(resident(worker))
        assert max(sizes) <= GROWTH * sizes[0], sizes
    assert proved(stream).scored == times * each


@pytest.mark.parametrize("kind", ["that compress well", "that do not compress"])
def test_a_backlog_of_records_of_a_megabyte(settings: Settings, tmp_path: Path, wait_until: Wait, kind: str) -> None:
    """`buffer_max_mb` bounds what the clients hold; what one micro-batch takes out of it is added to that."""
    topics.ensure(settings, declared.ALL)
    tiny_model(tmp_path / "1.pt", "1")
    peaks = [0]
    with running(settings, tmp_path, buffer_max_mb=BUFFER_MB) as worker:
        before = resident(worker)
        sent = publish(settings, heavy(HEAVY, "well" in kind))
        commands.deploy(settings, tmp_path / "1.pt", "test", timeout_s=0)

        def done() -> bool:
            peaks.append(resident(worker))
            return worker.committed() == sent

        wait_until(done, 240)
    assert proved(settings).scored == sent
    assert max(peaks) - before <= BOUND * BUFFER_MB * MEBIBYTE, [peak // MEBIBYTE for peak in (before, max(peaks))]


def heavy(count: int, compressible: bool) -> Iterator[tuple[bytes, bytes]]:
    """Transactions with a note of almost a megabyte, which no model reads."""
    dice, size = random.Random(SEED), 990_000
    note = b"x" * size if compressible else base64.b64encode(dice.randbytes(size))[:size]
    for key, value in transactions(count):
        yield key, value[:-1] + b',"note":"' + note + b'"}'


def test_a_thousand_swaps(stream: Settings, tmp_path: Path, wait_until: Wait) -> None:
    paths = [tmp_path / "one.pt", tmp_path / "other.pt"]
    for path in paths:
        tiny_model(path, path.stem)
    with running(stream, tmp_path) as worker:
        worker.await_ready()
        sizes = []
        for number in range(SWAPS):
            outcome = commands.deploy(stream, paths[number % 2], "test")
            assert outcome.ok, outcome.sentence
            sizes.append(resident(worker))
        assert sizes[-1] <= GROWTH * sizes[SWAPS // 10], sizes[:: SWAPS // 20]
