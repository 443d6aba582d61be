"""What every peer shares: its arguments, the scoring of a batch of raw records, and the line that it prints.

A peer trusts its input (no validation, no dead letters), gives no reasons, keeps no drift sums: it does less than the
worker does, and is timed for what it does.
"""

import argparse
import resource
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import torch

from models import artefact

BATCH = 1024  # what stays in cache; the worker's own default
CONSUMER = {
    # The one setting without which every librdkafka consumer pauses for a second now and then (its default is 1000)
    "fetch.queue.backoff.ms": 5,
    "auto.offset.reset": "earliest",
}
PRODUCER = {"compression.type": "lz4", "linger.ms": 5}

Produced = tuple[bytes, bytes]


@dataclass(frozen=True, slots=True)
class Job:
    """What one run does.

    Attributes:
        bootstrap_servers: Where Kafka is.
        topic: The transactions.
        output: Where anomalies go.
        group: A consumer group that nobody used before.
        model: The artefact.
        records: Stop once so many are done.
    """

    bootstrap_servers: str
    topic: str
    output: str
    group: str
    model: Path
    records: int

    def arguments(self) -> list[str]:
        """The job as a command line."""
        return [self.bootstrap_servers, self.topic, self.output, self.group, str(self.model), str(self.records)]


def job() -> Job:
    """The job that the command line gives."""
    parser = argparse.ArgumentParser()
    for name, kind in Job.__annotations__.items():
        parser.add_argument(name, type=kind)
    return Job(**vars(parser.parse_args()))


class Scoring:
    """Raw records in, anomalies out: orjson, one matrix, one call of the model."""

    def __init__(self, model: Path) -> None:
        torch.set_num_threads(1)
        self._runtime = artefact.load(model)
        self.threshold = self._runtime.manifest.calibration.threshold
        self._read, self._order = _reader([entry.path for entry in self._runtime.manifest.inputs])

    def __call__(self, values: Sequence[bytes]) -> list[Produced]:
        """Key and value of each anomaly among the records."""
        return self.of_events([orjson.loads(value) for value in values])

    def of_events(self, events: Sequence[dict[str, Any]]) -> list[Produced]:
        """The same, of records that the library has decoded."""
        rows = np.array([self._read(event) for event in events], dtype=np.float32)
        scores = self._runtime.score(rows[:, self._order]).score
        return [self._anomaly(events[row], scores[row]) for row in np.flatnonzero(scores >= self.threshold).tolist()]

    def _anomaly(self, event: dict[str, Any], score: np.floating[Any]) -> Produced:
        record = {
            "event_id": event["transaction_id"],
            "entity": event["customer_id"],
            "event_time": event["event_time"],
            "score": float(score),
            "threshold": self.threshold,
        }
        return event["customer_id"].encode(), orjson.dumps(record)


class Stopwatch:
    """From the first record to the last commit: seconds, CPU of the whole process, peak of resident memory."""

    def __init__(self, records: int) -> None:
        self._records = records
        self._started: tuple[float, float] | None = None
        self.events = 0

    def arrived(self, count: int) -> None:
        """So many records have come."""
        if self._started is None and count:
            self._started = time.perf_counter(), time.process_time()
        self.events += count

    @property
    def done(self) -> bool:
        """Whether as many have come as the job wants."""
        return self.events >= self._records

    def finish(self) -> None:
        """Everything that came is committed: print the line."""
        wall, cpu = self._started or (time.perf_counter(), time.process_time())
        figures = {
            "events": self.events,
            "seconds": time.perf_counter() - wall,
            "cpu_seconds": time.process_time() - cpu,
            "peak_rss_bytes": _peak_rss_bytes(),
        }
        sys.stdout.write(orjson.dumps(figures).decode() + "\n")
        sys.stdout.flush()


def _peak_rss_bytes() -> int:
    """Linux hands `ru_maxrss` of the parent down to its children, so it is asked for the high-water mark instead."""
    if sys.platform == "darwin":
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    lines = Path("/proc/self/status").read_text().splitlines()
    return 1024 * int(next(line for line in lines if line.startswith("VmHWM")).split()[1])


def _reader(paths: list[str]) -> tuple[Callable[[dict[str, Any]], tuple[float, ...]], list[int]]:
    """A function from an event to its numbers, one lookup for each object in it, and the columns' order after that."""
    placed = sorted(range(len(paths)), key=lambda column: paths[column].rpartition(".")[0])
    groups = [
        (group, _getter([paths[column].rpartition(".")[2] for column in columns]))
        for group, columns in groupby(placed, key=lambda column: paths[column].rpartition(".")[0])
    ]

    def read(event: dict[str, Any]) -> tuple[float, ...]:
        numbers: tuple[float, ...] = ()
        for group, getter in groups:
            numbers += getter(event[group] if group else event)
        return numbers

    return read, [placed.index(column) for column in range(len(paths))]


def _getter(names: list[str]) -> Callable[[dict[str, Any]], tuple[float, ...]]:
    getter = itemgetter(*names)
    return getter if len(names) > 1 else lambda found: (getter(found),)
