"""Records and a clock for the tests of the operations room."""

from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
from prometheus_client import CollectorRegistry

from schemas.drift import DriftAlert, DriftSeverity, SignalShift, StatisticKind
from schemas.rollout import Activate, Command, ModelStatus, PartitionProgress, Phase, Stage, WorkerVitals
from schemas.scoring import Anomaly, Label, ModelRef, Reason, Severity, Source, Usual
from stream_app.metrics import Metrics
from stream_app.ops.board import Board
from stream_app.ops.feed import Feed
from stream_app.pipeline.progress import Snapshot
from stream_app.rollout.statuses import Statuses
from stream_app.rollout.swap_log import SwapLog
from stream_app.settings import Settings
from stream_app.testing.memory_cluster import MemoryMessage

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
MODEL = ModelRef("card-fraud", "7", "a" * 64)
NEXT_MODEL = ModelRef("card-fraud", "8", "b" * 64)


class Clock:
    """Wall and monotonic time that move when told to."""

    def __init__(self) -> None:
        self.seconds = 1000.0

    def monotonic(self) -> float:
        return self.seconds

    def now(self) -> datetime:
        return NOON + timedelta(seconds=self.seconds - 1000)

    def advance(self, seconds: float) -> None:
        self.seconds += seconds


def after(seconds: float) -> datetime:
    return NOON + timedelta(seconds=seconds)


def running(clock: Clock, lag: int = 0, moved_ago: float = 0.0, **changes: Any) -> Snapshot:
    """A pipeline in good health on partitions 0 and 1."""
    given: dict[str, Any] = {
        "state": "running",
        "ready": True,
        "model": MODEL,
        "partitions": (PartitionProgress(0, 500, lag), PartitionProgress(1, 700, 0)),
        "moved_at": clock.seconds - moved_ago,
        "looped_at": clock.seconds,
    }
    return Snapshot(**{**given, **changes})


def vitals(partitions: dict[int, int] | None = None, **changes: Any) -> WorkerVitals:
    """Figures of a worker; partitions maps each to its lag."""
    given: dict[str, Any] = {
        "started_at": NOON,
        "web_url": "http://127.0.0.1:6066/",
        "ready": True,
        "events_per_second": 100.0,
        "scored": 1000,
        "anomalies": 10,
        "dead_lettered": 1,
        "latency_p50_ms": 20.0,
        "latency_p99_ms": 60.0,
        "partitions": [PartitionProgress(p, 10, lag) for p, lag in (partitions or {}).items()],
    }
    return WorkerVitals(**{**given, **changes})


def heartbeat(worker: str, at: datetime = NOON, phase: Phase = Phase.HEARTBEAT, **changes: Any) -> ModelStatus:
    serving = changes.pop("serving", MODEL)
    return ModelStatus(worker=worker, phase=phase, at=at, serving=serving, vitals=vitals(**changes))


class Topics:
    """A board, and what fills it: statuses and commands as records, the rest as they are."""

    def __init__(self, clock: Clock, ids_shown: int | None = None) -> None:
        self.swaps = SwapLog()
        self.statuses = Statuses(clock.monotonic, lambda: clock.now().timestamp())
        self.board = Board(self.swaps, self.statuses, 5.0, ids_shown)
        self._feed = Feed(Settings(), self.board, self.statuses, Metrics(CollectorRegistry()))

    def post(self, *records: ModelStatus | Anomaly | DriftAlert | Label, at: datetime = NOON) -> None:
        for record in records:
            if isinstance(record, ModelStatus):
                self._feed.read_statuses([MemoryMessage(msgspec.json.encode(record), at=at)], False)
            else:
                self.board.post(record, at)

    def command(self, command: Command, at: datetime) -> None:
        self.swaps.read(MemoryMessage(msgspec.json.encode(command), at=at))

    def deploy(self, name: str, model: ModelRef, at: datetime) -> None:
        """Stage and activate it."""
        stage = Stage(command_id=f"stage-{name}", issuer="ana", issued_at=NOON, uri="x", model=model)
        self.command(stage, at)
        activate = Activate(command_id=f"go-{name}", issuer="controller", issued_at=NOON, stage_id=stage.command_id)
        self.command(activate, at)


def anomaly(number: int, **changes: Any) -> Anomaly:
    made = Anomaly(
        anomaly_id=f"transactions:0:{number}",
        event_id=f"tx{number}",
        entity="596",
        event_time=NOON,
        scored_at=NOON,
        score=41.7,
        threshold=12.9,
        p_value=0.0007,
        severity=Severity.HIGH,
        explanation=[Reason("amount", 912.4, 54.1, 0.8, "EUR", Usual(40.0, 77.0, "30d"))],
        model=MODEL,
        source=Source("transactions", 0, number),
        fields={"amount": 912.4, "currency": "EUR", "terminal_id": "3156", "lane": 31},
    )
    return msgspec.structs.replace(made, **changes)


def label(number: int, fraud: bool) -> Label:
    return Label(f"tx{number}", fraud, NOON)


def alert(name: str = "a1", severity: DriftSeverity = DriftSeverity.WARNING) -> DriftAlert:
    return DriftAlert(
        alert_id=name,
        raised_at=NOON,
        since=NOON,
        since_offsets={"0": 1},
        severity=severity,
        signals=[SignalShift("input:amount", StatisticKind.MEAN, 0.6, 0.0, 0.6, 0.2)],
        cause="Customers spend more.",
        action="Retrain.",
        retraining_helps=True,
        alert_rate_before=0.001,
        alert_rate_now=0.003,
        events_observed=1000,
        model=MODEL,
    )
