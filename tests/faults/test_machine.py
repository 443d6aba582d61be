"""A machine whose clock jumps or whose disk is full: the stream goes on, and what cannot be done is said."""

import os
import signal
import subprocess
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from models import archive
from schemas.topics import ANOMALIES
from stream_app.rollout import commands
from stream_app.rollout.client import Order
from stream_app.settings import Settings
from stream_app.testing.tiny_model import tiny_model
from tests.known_stream import SMALL, Trickle, Wait, conclude, prepared, transactions
from tests.traffic import committed_offsets, committed_records, publish
from tests.workers import running

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(300)]

HOUR_S = 3600
DISK = "128k"
CLOCK = "from tests.faults import stepped_clock; stepped_clock.run({})"


@pytest.mark.parametrize("steps", [(HOUR_S, -HOUR_S), pytest.param((-HOUR_S, HOUR_S), marks=pytest.mark.faults)])
def test_a_clock_that_jumps_by_an_hour_and_back(
    stream: Settings, tmp_path: Path, wait_until: Wait, steps: tuple[int, int]
) -> None:
    program = CLOCK.format(", ".join(map(str, steps)))
    with running(stream, tmp_path, program, fresh=True, batch_max_events=SMALL) as worker:
        sent = publish(stream, transactions(2000))
        wait_until(lambda: committed_offsets(stream) == sent, 60)
        for number, _ in enumerate(steps, start=1):
            worker.process.send_signal(signal.SIGHUP)
            wait_until(lambda: worker.said.count("the clock is moved") == number)
            sent += publish(stream, transactions(2000, first=sent))
            wait_until(lambda: committed_offsets(stream) == sent, 60)
            assert worker.answers("health/live")
            assert worker.answers("health/ready")
            tiny_model(tmp_path / f"{number + 1}.pt", str(number + 1))
            outcome = commands.deploy(stream, Order("test"), tmp_path / f"{number + 1}.pt")
            # For a worker that is an hour ahead, a command that is valid for an hour is no more
            ahead = sum(steps[:number]) > 0
            assert outcome.ok != ahead, outcome.sentence
            assert ("by the clock of" in outcome.sentence) == ahead
        conclude(stream, sent, wait_until)
        assert "new session" not in worker.said
    times = [anomaly.scored_at for anomaly in committed_records(stream, ANOMALIES)]
    assert max(times) - min(times) > timedelta(minutes=59), "the clock did not move"


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system with room for a model or two."""
    path = tmp_path / "small"
    path.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={DISK}", "full", str(path)], capture_output=True, text=True, check=False
    )
    if mounted.returncode:
        pytest.skip(f"a full disk needs the right to mount one: {mounted.stderr.strip()}")
    yield path
    subprocess.run(["umount", "--lazy", str(path)], check=True)


def fill(path: Path) -> None:
    """Until not a byte more fits."""
    with path.open("wb", buffering=0) as file:
        while True:
            try:
                file.write(os.urandom(512))
            except OSError:
                return


def kept(cache: Path) -> list[str]:
    """Files of a model cache; the folder in it is Faust's."""
    return [entry.name for entry in cache.iterdir() if entry.is_file()]


def test_a_disk_that_is_full_takes_no_new_model_and_stops_nobody(
    settings: Settings, small_disk: Path, tmp_path: Path, wait_until: Wait
) -> None:
    stream = prepared(settings.model_copy(update={"model_cache": small_disk / "cache"}), tmp_path)
    first, second = archive.read(tmp_path / "1.pt").sha256, tmp_path / "2.pt"
    tiny_model(second, "2")
    trickle, filler = Trickle(stream), small_disk / "filler"
    with running(stream, tmp_path) as worker:
        wait_until(lambda: worker.model() == first, 60)
        fill(filler)
        outcome = commands.deploy(stream, Order("test"), second)
        assert not outcome.ok
        assert f"No space left on device ({small_disk / 'cache'})" in outcome.sentence
        assert kept(small_disk / "cache") == [f"{first}.pt"]
        wait_until(lambda: trickle() and committed_offsets(stream) >= 200, 60)
        assert worker.model() == first
        filler.unlink()
        assert commands.deploy(stream, Order("test"), second).ok
        assert worker.model() == archive.read(second).sha256
        conclude(stream, trickle.sent, wait_until)


@pytest.mark.faults
def test_a_worker_that_comes_back_to_a_full_disk_is_not_ready_until_there_is_room(
    settings: Settings, small_disk: Path, tmp_path: Path, wait_until: Wait
) -> None:
    cache, filler = small_disk / "cache", small_disk / "filler"
    stream = prepared(settings.model_copy(update={"model_cache": cache}), tmp_path)
    with running(stream, tmp_path) as worker:
        worker.await_ready()
    for name in kept(cache):
        (cache / name).unlink()
    sent = publish(stream, transactions(2000))
    fill(filler)
    with running(stream, tmp_path) as worker:
        wait_until(lambda: f"No space left on device ({cache})" in worker.said, 60)
        assert worker.answers("health/live")
        assert not worker.answers("health/ready")
        assert committed_offsets(stream) == 0
        filler.unlink()
        conclude(stream, sent, wait_until)
