"""Memory, after a long day and under heavy records."""

import base64
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random

import psutil
import pytest

from stream_app.rollout import commands
from stream_app.rollout.client import Order
from stream_app.settings import Settings
from stream_app.testing.tiny_model import tiny_model
from tests.known_stream import Wait, proved, transactions
from tests.traffic import committed_offsets, publish
from tests.workers import Worker, running

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(1800)]

SWAPS = 1000
WARM = 50
GROWTH = 1.05
SEED = 20260711
MEBIBYTE = 1024 * 1024
HEAVY = 200
LIGHT = 20_000
NOTE = 990_000
BUFFER_MB = 16

Record = Callable[[str, object], None]


def resident(worker: Worker) -> int:
    """Bytes."""
    return psutil.Process(worker.process.pid).memory_info().rss


def is_whole(worker: Worker) -> bool:
    """Whether everything is imported: River comes after the first score, with seventy megabytes."""
    return "drift is watched here" in worker.said


@pytest.mark.faults
@pytest.mark.parametrize(("times", "each"), [(5, 100_000), (20, 1_000_000)])
def test_memory_after_many_events_is_that_after_the_first(
    stream: Settings,
    tmp_path: Path,
    wait_until: Wait,
    record_property: Record,
    times: int,
    each: int,
) -> None:
    batch = list(transactions(each))
    with running(stream, tmp_path) as worker:
        sizes = []
        for number in range(1, times + 1):
            publish(stream, batch)
            wait_until(lambda: committed_offsets(stream) == number * each and is_whole(worker), 120)
            sizes.append(resident(worker))
        record_property("resident_mb", [size // 1_000_000 for size in sizes])
        assert max(sizes) <= GROWTH * sizes[0], sizes
    assert proved(stream).scored == times * each


@pytest.mark.parametrize(
    ("random", "caps"), [(NOTE, 3), pytest.param(NOTE // 5, 8, marks=pytest.mark.faults)], ids=["dense", "packed"]
)
def test_a_backlog_of_records_of_a_megabyte(
    stream: Settings, tmp_path: Path, wait_until: Wait, random: int, caps: int
) -> None:
    """Beside the queue of `buffer_max_mb`: a micro-batch of a quarter of that, and an answer unpacked whole."""
    with running(stream, tmp_path, buffer_max_mb=BUFFER_MB) as worker:
        worker.await_ready()
        sent = publish(stream, transactions(LIGHT))
        wait_until(lambda: worker.committed() == sent and is_whole(worker), 60)
        before = resident(worker)
        worker.freeze()
        sent += publish(stream, heavy(random))
        worker.thaw()
        peak = before

        def done() -> bool:
            nonlocal peak
            peak = max(peak, resident(worker))
            return worker.committed() == sent

        wait_until(done, 120)
    assert proved(stream).scored == sent
    assert peak - before <= caps * BUFFER_MB * MEBIBYTE, [size // MEBIBYTE for size in (before, peak)]


def heavy(random: int) -> Iterator[tuple[bytes, bytes]]:
    """Transactions with a note of almost a megabyte, which no model reads; so many bytes of it do not compress."""
    note = (base64.b64encode(Random(SEED).randbytes(random))[:random]).ljust(NOTE, b"x")
    for key, value in transactions(HEAVY, first=LIGHT):
        yield key, value[:-1] + b',"note":"' + note + b'"}'


@pytest.mark.faults
def test_a_thousand_swaps(stream: Settings, tmp_path: Path, wait_until: Wait, record_property: Record) -> None:
    paths = [tmp_path / "one.pt", tmp_path / "other.pt"]
    for path in paths:
        tiny_model(path, path.stem)
    with running(stream, tmp_path) as worker:
        worker.await_ready()
        sizes = []
        for number in range(SWAPS):
            outcome = commands.deploy(stream, Order("test"), paths[number % 2])
            assert outcome.ok, outcome.sentence
            sizes.append(resident(worker))
        record_property("resident_mb", [size // 1_000_000 for size in (*sizes[WARM :: SWAPS // 20], sizes[-1])])
        assert sizes[-1] <= GROWTH * sizes[WARM], sizes[:: SWAPS // 20]
