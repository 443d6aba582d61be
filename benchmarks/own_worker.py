"""This worker, as a process of its own with everything on, measured from outside.

What it commits is read from its summaries as any consumer reads them: each says how many records its transaction
accounts for, and its timestamp says when. CPU and memory are sampled from the operating system.
"""

import bisect
import threading
import time
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import psutil
from confluent_kafka import TopicPartition

from schemas.drift import DriftSummary
from schemas.topics import DRIFT_SUMMARIES, TRANSACTIONS
from stream_app.embedded.node import free_port
from stream_app.kafka import clients, topics
from stream_app.kafka.log import Tail
from stream_app.kafka.offsets import partitions
from stream_app.settings import Settings
from stream_app.testing.worker_process import WorkerProcess

SAMPLE_S = 0.05
PATIENCE_S = 180.0
ONE_COMMIT_S = 0.01  # the summaries of one commit are produced within this


class Samples:
    """CPU seconds and resident memory of a process, from its first moment on."""

    def __init__(self, worker: WorkerProcess) -> None:
        self._worker = worker
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._times: list[float] = []
        self._cpu: list[float] = []
        self._rss: list[int] = []

    @property
    def peak_rss_bytes(self) -> int:
        """The most memory that it held."""
        return max(self._rss)

    def cpu_at(self, moment: float) -> float:
        """CPU seconds that it had used at a moment, as near as the samples know."""
        return self._cpu[min(bisect.bisect(self._times, moment), len(self._cpu) - 1)]

    def rss_at(self, moment: float) -> int:
        """Resident bytes at a moment, likewise."""
        return self._rss[min(bisect.bisect(self._times, moment), len(self._rss) - 1)]

    def __enter__(self) -> "Samples":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stop.wait(SAMPLE_S):
            if self._worker.pid is None:
                continue
            try:
                process = psutil.Process(self._worker.pid)
                times, memory = process.cpu_times(), process.memory_info().rss
            except psutil.NoSuchProcess:
                return
            self._times.append(time.time())
            self._cpu.append(times.user + times.system)
            self._rss.append(memory)


@dataclass(frozen=True, slots=True)
class Commit:
    """What became permanent at a moment (seconds since the epoch), and who made it so."""

    at: float
    events: int
    worker: str


@contextmanager
def running(settings: Settings, name: str, **overrides: object) -> Iterator[WorkerProcess]:
    """A live worker with a group, a name and a port of its own, before the whole input."""
    own = settings.model_copy(update={"app_id": name, "worker_id": name, "web_port": free_port(), **overrides})
    _from_the_beginning(own)
    worker = WorkerProcess(own, Path(settings.model_cache).parent / "workers.log")
    try:
        yield worker
    finally:
        worker.stop()


def _from_the_beginning(settings: Settings) -> None:
    """Commit the beginning for the group: one without offsets goes on where the ledger says that others have been."""
    topic = topics.name(settings, TRANSACTIONS)
    client = clients.consumer(settings, settings.group)
    try:
        places = [TopicPartition(topic, partition, 0) for partition in partitions(client, settings, topic)]
        client.commit(offsets=places, asynchronous=False)
    finally:
        client.close()


def work_off(settings: Settings, name: str, total: int, **overrides: object) -> dict[str, float]:
    """Start a worker before a topic that is full, and wait until it has committed all of it.

    Returns:
        What a peer prints (`events` and `seconds` from its first commit to its last), and `startup_seconds` from the
        start of the process to its first commit.
    """
    with running(settings, name, **overrides) as worker, Samples(worker) as samples:
        started = datetime.now(UTC)
        launching = threading.Thread(target=worker.start, daemon=True)
        launching.start()
        commits = await_commits(settings, started, {name}, total)
        launching.join()
    first, last = commits[0].at, commits[-1].at
    return {
        "events": sum(commit.events for commit in commits if commit.at > first + ONE_COMMIT_S),
        "seconds": last - first,
        "cpu_seconds": samples.cpu_at(last) - samples.cpu_at(first),
        "peak_rss_bytes": samples.peak_rss_bytes,
        "startup_seconds": first - started.timestamp(),
    }


def await_commits(settings: Settings, since: datetime, workers: Collection[str], total: int) -> list[Commit]:
    """What these workers commit, in the order of time, once they have committed so many records.

    Raises:
        RuntimeError: they did not, in time.
    """
    decode = msgspec.json.Decoder(DriftSummary).decode
    commits: list[Commit] = []
    counted, deadline = 0, time.monotonic() + PATIENCE_S
    with Tail(settings, [DRIFT_SUMMARIES], since) as summaries:
        while counted < total:
            if time.monotonic() > deadline:
                raise RuntimeError(f"{', '.join(workers)} committed {counted:,} of {total:,} within {PATIENCE_S:.0f} s")
            for message in summaries.poll(0.1):
                summary = decode(message.value() or b"")
                if summary.worker in workers:
                    events = summary.scored + summary.dead_lettered
                    commits.append(Commit(message.timestamp()[1] / 1000, events, summary.worker))
                    counted += commits[-1].events
    return sorted(commits, key=lambda commit: commit.at)
