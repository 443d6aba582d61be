"""The system at one moment, for `stream-app status`: which workers live, what they serve, how far behind they are."""

import time
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Self

from msgspec import Struct

from schemas.drift import DriftAlert
from schemas.rollout import Phase
from schemas.topics import DRIFT_ALERTS, MODEL_STATUS, MODEL_SWAP, Topic
from stream_app.kafka.dispatch import QUIET_S, Dispatch, Reader
from stream_app.kafka.log import Record, Tail
from stream_app.kafka.records import RecordDecoder
from stream_app.ops.input_words import input_lines
from stream_app.rollout.statuses import Statuses, WorkerState, recent
from stream_app.rollout.swap_log import Swap, SwapLog
from stream_app.rollout.trial import TrialView, trial_view
from stream_app.rollout.trust import trust
from stream_app.settings import Settings

LATEST_ALERTS = 5


class WorkerNow(Struct, frozen=True):
    """One live worker, by its last heartbeat."""

    id: str
    ready: bool
    partitions: list[int]
    lag: int
    model_sha256: str | None
    events_per_second: float
    latency_p50_ms: float | None
    latency_p99_ms: float | None
    scored: int
    anomalies: int
    dead_lettered: int
    started_at: datetime
    seen_at: datetime
    web_url: str


class ModelNow(Struct, frozen=True):
    """What serves, since when and by whom, and what a rollback would serve."""

    name: str
    version: str
    sha256: str
    previous_sha256: str | None
    swap: Swap | None = None


class DriftNow(Struct, frozen=True):
    """The latest alerts, newest first, and how many there are in all."""

    alerts: list[DriftAlert]
    total: int


class Overview(Struct, frozen=True):
    """The whole system at one moment.

    Attributes:
        trial: A shadow, a canary or a fresh activation, and what the guard finds.
        input: What is wrong with the input, a sentence each: losses, records about to expire, what holds it up.
    """

    at: datetime
    workers: list[WorkerNow]
    model: ModelNow | None
    trial: TrialView | None
    drift: DriftNow
    input: list[str]


class Observer:
    """Follows the logs that an overview is made of, each record read once.

    Raises:
        BrokerError: a topic cannot be read.
    """

    def __init__(self, settings: Settings) -> None:
        self._lost_after_s = settings.worker_lost_after_s
        self._swaps = SwapLog(trust(settings))
        self._states = Statuses()
        self._alerts: dict[str, DriftAlert] = {}
        self._decoder = RecordDecoder[DriftAlert](DriftAlert)
        committed = Tail(settings, [MODEL_SWAP, DRIFT_ALERTS])
        readers: list[tuple[Topic, Reader]] = [(MODEL_SWAP, self._read_swaps), (DRIFT_ALERTS, self._read_alerts)]
        self._committed = Dispatch(settings, committed, readers)
        statuses = Tail(settings, [MODEL_STATUS], recent(settings), committed=False)
        self._statuses = Dispatch(settings, statuses, [(MODEL_STATUS, self._read_statuses)])
        self._committed.catch_up()
        self._statuses.catch_up()

    def __enter__(self) -> Self:
        """Itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Let the connections go."""
        self._committed.close()
        self._statuses.close()

    def follow(self, seconds: float) -> None:
        """Take in what comes meanwhile."""
        until = time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0:
            self._statuses.step(min(left, QUIET_S))
            self._committed.step(0.0)

    @property
    def lost(self) -> list[str]:
        """Workers that have fallen silent without a word of their end, within what statuses are read for."""
        alive = self._states.alive(self._lost_after_s)
        pulses = {name: worker.pulse for name, worker in self._states.workers.items() if name not in alive}
        return sorted(name for name, pulse in pulses.items() if pulse is not None and pulse.phase is not Phase.STOPPED)

    def overview(self) -> Overview:
        """What there is now."""
        alive = self._states.alive(self._lost_after_s).values()
        pulses = [worker.pulse for worker in alive if worker.pulse is not None]
        now = datetime.now(UTC)
        return Overview(
            at=now,
            workers=[row for row in map(worker_now, alive) if row is not None],
            model=model_now(self._swaps),
            trial=trial_view(self._swaps.rollout, self._states.guard),
            drift=drift_now(list(self._alerts.values())),
            input=input_lines([pulse.vitals for pulse in pulses if pulse.vitals is not None], now),
        )

    def _read_swaps(self, records: Sequence[Record], _: bool) -> None:
        for record in records:
            self._swaps.read(record)

    def _read_statuses(self, records: Sequence[Record], caught_up: bool) -> None:
        for record in records:
            self._states.read(record, caught_up)

    def _read_alerts(self, records: Sequence[Record], _: bool) -> None:
        """An alert that was published again (same id) counts once, with its newest content."""
        self._alerts |= {alert.alert_id: alert for _, alert in self._decoder.each(records)}


def worker_now(worker: WorkerState) -> WorkerNow | None:
    """A worker by its heartbeat; None where that carries no vitals. Seen by the broker's clock, not its own."""
    status = worker.pulse
    if status is None or status.vitals is None:
        return None
    vitals = status.vitals
    return WorkerNow(
        id=status.worker,
        ready=vitals.ready,
        partitions=sorted(p.partition for p in vitals.partitions),
        lag=sum(p.lag for p in vitals.partitions),
        model_sha256=status.serving.sha256 if status.serving else None,
        events_per_second=vitals.events_per_second,
        latency_p50_ms=vitals.latency_p50_ms,
        latency_p99_ms=vitals.latency_p99_ms,
        scored=vitals.scored,
        anomalies=vitals.anomalies,
        dead_lettered=vitals.dead_lettered,
        started_at=vitals.started_at,
        seen_at=worker.at,
        web_url=vitals.web_url,
    )


def model_now(log: SwapLog) -> ModelNow | None:
    """What serves by the swap log."""
    rollout = log.rollout
    if rollout.serving is None:
        return None
    model, previous = rollout.serving.model, rollout.before
    return ModelNow(model.name, model.version, model.sha256, previous.model.sha256 if previous else None, log.swaps[-1])


def drift_now(alerts: Sequence[DriftAlert]) -> DriftNow:
    """The newest alerts first; `alerts` are distinct, oldest first."""
    return DriftNow(list(reversed(alerts[-LATEST_ALERTS:])), len(alerts))
