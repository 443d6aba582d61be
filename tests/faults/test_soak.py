"""Memory, after a long day."""

from pathlib import Path

import psutil
import pytest

from stream_app.rollout import commands
from stream_app.settings import Settings
from tests.known_stream import Wait, proved, transactions
from tests.tiny_model import tiny_model
from tests.traffic import committed_offsets, publish
from tests.workers import Worker, running

pytestmark = [pytest.mark.kafka, pytest.mark.faults, pytest.mark.timeout(1800)]

MILLION = 1_000_000
MILLIONS = 20
SWAPS = 1000
GROWTH = 1.05


def resident(worker: Worker) -> int:
    """Bytes."""
    return psutil.Process(worker.process.pid).memory_info().rss


def test_twenty_million_events(stream: Settings, tmp_path: Path, wait_until: Wait) -> None:
    batch = list(transactions(MILLION))
    with running(stream, tmp_path) as worker:
        sizes = []
        for number in range(1, MILLIONS + 1):
            publish(stream, batch)
            wait_until(lambda: committed_offsets(stream) == number * MILLION, 120)
            sizes.append(resident(worker))
        assert max(sizes) <= GROWTH * sizes[0], sizes
    assert proved(stream).scored == MILLIONS * MILLION


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
