"""Heartbeats, commands and alerts in, what is so now out: who lives, what they serve, how far behind. Pure."""

from collections.abc import Iterable, Iterator
from contextlib import suppress
from datetime import datetime, timedelta
from typing import TypeVar

import msgspec
from msgspec import Struct

from schemas.drift import DriftAlert
from schemas.rollout import ModelStatus, Phase
from stream_app.kafka.log import Record
from stream_app.rollout.state import Rollout
from stream_app.rollout.trial import Trial

LATEST_ALERTS = 5

T = TypeVar("T")


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
    """What serves, and what a rollback would serve."""

    name: str
    version: str
    sha256: str
    previous_sha256: str | None


class DriftNow(Struct, frozen=True):
    """The latest alerts, newest first, and how many there are in all."""

    alerts: list[DriftAlert]
    total: int


class Overview(Struct, frozen=True):
    """The whole system at one moment. `trial`: a shadow, a canary or a fresh activation, and what the guard finds."""

    at: datetime
    workers: list[WorkerNow]
    model: ModelNow | None
    trial: Trial | None
    drift: DriftNow


def workers_now(statuses: Iterable[ModelStatus], now: datetime, lost_after: timedelta) -> list[WorkerNow]:
    """The workers that are alive: heard of lately, and not gone since.

    Args:
        statuses: Records of `model-status`, in order.
        now: The present.
        lost_after: After this silence a worker no longer counts.
    """
    last: dict[str, ModelStatus] = {}
    for status in statuses:
        if status.phase is Phase.HEARTBEAT:
            last[status.worker] = status
        elif status.phase is Phase.STOPPED:
            last.pop(status.worker, None)
    alive = (worker_now(status) for status in last.values() if now - status.at <= lost_after)
    return sorted((worker for worker in alive if worker is not None), key=lambda worker: worker.id)


def worker_now(status: ModelStatus) -> WorkerNow | None:
    """What one heartbeat says; None where it carries no vitals."""
    vitals = status.vitals
    if vitals is None:
        return None
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
        seen_at=status.at,
        web_url=vitals.web_url,
    )


def model_now(rollout: Rollout) -> ModelNow | None:
    """What the swap log prescribes."""
    if rollout.serving is None:
        return None
    model, previous = rollout.serving.model, rollout.previous
    return ModelNow(model.name, model.version, model.sha256, previous.model.sha256 if previous else None)


def drift_now(alerts: Iterable[DriftAlert]) -> DriftNow:
    """The newest alerts first. An alert that was published again (same id) counts once."""
    distinct = list({alert.alert_id: alert for alert in alerts}.values())
    return DriftNow(list(reversed(distinct[-LATEST_ALERTS:])), len(distinct))


def decoded(messages: Iterable[Record], record: type[T]) -> Iterator[T]:
    """The records of a topic in order; what is none is passed over."""
    decoder = msgspec.json.Decoder(record)
    for message in messages:
        with suppress(msgspec.DecodeError, UnicodeDecodeError):
            yield decoder.decode(message.value() or b"")
