"""A whole pipeline over a Kafka in memory, whose time passes when the test says so."""

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from threading import Event
from typing import Any

from prometheus_client import CollectorRegistry

from models import artefact
from models.runtime import Runtime
from schemas.comparison import Comparison
from schemas.drift import DriftSummary
from schemas.rollout import ModelStatus
from schemas.scoring import Anomaly, DeadLetter, ModelRef
from stream_app.metrics import Metrics
from stream_app.pipeline.clock import Clock
from stream_app.pipeline.progress import Progress
from stream_app.pipeline.recovery import Pipeline
from stream_app.pipeline.serving import SecondModel, Serving
from stream_app.settings import Settings
from stream_app.testing.memory_clients import MemoryConsumer, Step
from stream_app.testing.memory_kafka import MemoryKafka
from stream_app.testing.tiny_model import tiny_model
from tests.unit.stream_app.pipeline.rows import encoded

STRANGE = encoded(amount=4.0)
"""The tiny model finds it anomalous: its amount is so far from the centre."""
USUAL = encoded(amount=1.0)


def model(folder: Path, version: str, centre: float = 0.0) -> tuple[Runtime, ModelRef]:
    path = folder / f"{version}.pt"
    ref = tiny_model(path, version, centre)
    return artefact.load(path), ref


def served(found: tuple[Runtime, ModelRef], previous: ModelRef | None = None, second: SecondModel | None = None):
    return Serving(*found, previous, f"command-{found[1].version}", second)


class Rig:
    """One worker's pipeline. Steps of the script happen one in each poll; it stops after the last."""

    def __init__(self, serving: Serving | None, **settings: Any) -> None:
        self.kafka = MemoryKafka()
        self.serving = serving
        self.metrics = Metrics(CollectorRegistry())
        self.progress = Progress()
        self.at = 1000.0
        self.waits: list[float] = []
        self.clock = Clock(lambda: self.at, lambda: datetime.fromtimestamp(self.at, UTC), self._wait)
        self.settings = Settings(worker_id="w1", **settings)
        self.pipeline = Pipeline(
            self.settings,
            lambda: self.serving or "no model yet",
            self.metrics,
            self.progress,
            self.kafka,
            self.clock,
            self.kafka.recall,
        )

    def _wait(self, _stop: Event, seconds: float) -> None:
        self.waits.append(seconds)
        self.at += seconds

    def run(self, *script: Step) -> None:
        self.kafka.script.extend((*script, lambda _: self.pipeline.stop()))
        self.pipeline.run()

    def later(self, seconds: float) -> Step:
        """So much time passes."""

        def step(_: MemoryConsumer) -> None:
            self.at += seconds

        return step

    def publish(self, partition: int, *values: bytes | None) -> Step:
        """Records arrive; the next poll finds them."""
        return lambda _: self.kafka.publish(partition, *values)

    def swap(self, serving: Serving) -> Step:
        """The swap log prescribes other models."""

        def step(_: MemoryConsumer) -> None:
            self.serving = serving

        return step

    def look(self, what: Callable[[], Any], into: list[Any]) -> Step:
        """Keep what there is to see at this moment."""
        return lambda _: into.append(what())

    @property
    def ledger(self) -> dict[int, list[tuple[int, int, int, int]]]:
        """Partition to from, to, scored, dead-lettered of each visible summary."""
        found: dict[int, list[tuple[int, int, int, int]]] = {}
        for s in self.kafka.records("drift-summaries", DriftSummary):
            found.setdefault(s.partition, []).append((s.from_offset, s.to_offset, s.scored, s.dead_lettered))
        return found

    @property
    def anomalies(self) -> list[Anomaly]:
        return self.kafka.records("anomalies", Anomaly)

    @property
    def places(self) -> list[str]:
        """Partition and offset of every visible anomaly, ordered."""
        return sorted(f"{a.source.partition}@{a.source.offset}" for a in self.anomalies)

    @property
    def dead_letters(self) -> list[DeadLetter]:
        return self.kafka.records("dead-letters", DeadLetter)

    @property
    def statuses(self) -> list[ModelStatus]:
        return self.kafka.records("model-status", ModelStatus)

    @property
    def comparisons(self) -> list[Comparison]:
        return self.kafka.records("comparisons", Comparison)

    def sample(self, name: str, **labels: str) -> float | None:
        return self.metrics.registry.get_sample_value(f"stream_app_{name}", labels)


def idle(_: MemoryConsumer) -> None:
    """Nothing happens in this poll."""
