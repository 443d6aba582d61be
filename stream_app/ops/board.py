"""The memory of the page, bounded: what the topics hold of anomalies, drift, labels and workers.

Knows nothing of Kafka or HTTP. Any thread may write and read; each record and each reading is whole.
"""

import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

from msgspec import Struct

from schemas.drift import DriftAlert, DriftPhase
from schemas.rollout import ModelStatus, Phase
from schemas.transactions import Anomaly, Label
from stream_app.ops.feedback import Feedback
from stream_app.ops.series import POINTS, STEP_S, Point, Series
from stream_app.rollout.statuses import Statuses, WorkerState
from stream_app.rollout.swap_log import SwapLog
from stream_app.rollout.trial import TrialView, trial_view

ANOMALIES_SHOWN = 20
ALERTS_SHOWN = 10
EVENTS_SHOWN = 8
# A worker that left is shown for as long as the charts still show what it did.
REMEMBER_WORKER = timedelta(seconds=POINTS * STEP_S)


class ShownAnomaly(Struct, frozen=True):
    """An anomaly, and what became of it where that is known."""

    anomaly: Anomaly
    fraud: bool | None


class RaisedAlert(Struct, frozen=True):
    """A drift alert, and when it reached the topic (its own times are event times)."""

    alert: DriftAlert
    at: datetime


class Reading(Struct, frozen=True):
    """All of the board at one moment."""

    workers: dict[str, WorkerState]
    alive: set[str]
    heard_at: datetime | None
    series: list[Point]
    anomalies: list[ShownAnomaly]
    alerts: list[RaisedAlert]
    rollout: list[ModelStatus]
    serving_since: datetime | None
    trial: TrialView | None
    precision: float | None
    labelled: int
    frauds: int


class Board:
    """The memory of the page.

    Args:
        swaps: The swap log, as the worker reads it.
        statuses: The workers' statuses, likewise.
        lost_after_s: Silence after which a worker's figures no longer count, in seconds.
        now: Wall clock, to forget workers that left.
    """

    def __init__(
        self,
        swaps: SwapLog,
        statuses: Statuses,
        lost_after_s: float,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self.feedback = Feedback()
        self._swaps = swaps
        self._statuses = statuses
        self._lost_after_s = lost_after_s
        self._now = now
        self._lock = threading.Lock()
        self._series = Series(lost_after_s)
        self._anomalies: dict[str, Anomaly] = {}  # by id: what is read twice is shown once
        self._alerts: dict[str, RaisedAlert] = {}
        self._events: dict[str, ModelStatus] = {}  # by worker, phase and command

    def post(self, record: ModelStatus | Anomaly | DriftAlert | Label, at: datetime) -> None:
        """Take in one record with its Kafka timestamp."""
        with self._lock:
            match record:
                case Label():
                    self.feedback.label(record)
                case Anomaly():
                    _keep(self._anomalies, record.anomaly_id, record, ANOMALIES_SHOWN)
                    self.feedback.anomaly(record.transaction_id)
                case ModelStatus():
                    self._status(record, at)
                case DriftAlert():
                    self._alert(record, at)

    def read(self) -> Reading:
        """What there is now, newest first; series oldest first."""
        with self._lock:
            horizon = self._now() - REMEMBER_WORKER
            return Reading(
                workers={name: w for name, w in sorted(self._statuses.workers.items()) if w.at > horizon},
                alive=set(self._statuses.alive(self._lost_after_s)),
                heard_at=self._statuses.heard_at,
                series=list(self._series.points),
                anomalies=[self._shown(anomaly) for anomaly in reversed(self._anomalies.values())],
                alerts=list(reversed(self._alerts.values())),
                rollout=list(reversed(self._events.values())),
                serving_since=self._swaps.serving_since,
                trial=trial_view(self._swaps.rollout, self._statuses.guard),
                precision=self.feedback.precision,
                labelled=self.feedback.labelled,
                frauds=self.feedback.frauds,
            )

    def _shown(self, anomaly: Anomaly) -> ShownAnomaly:
        return ShownAnomaly(anomaly, self.feedback.verdict(anomaly.transaction_id))

    def _status(self, status: ModelStatus, at: datetime) -> None:
        self._series.observe(status, at)
        if status.phase not in (Phase.HEARTBEAT, Phase.STOPPED, Phase.GUARD):
            # `applied` is published again when partitions come, and when the previous model is no longer compared
            _keep(self._events, f"{status.worker} {status.phase} {status.command_id}", status, EVENTS_SHOWN)

    def _alert(self, alert: DriftAlert, at: datetime) -> None:
        """An incident is one line: its newest phase counts, and its place is where it was raised."""
        known = self._alerts.get(alert.alert_id)
        if known is not None and list(DriftPhase).index(alert.phase) > list(DriftPhase).index(known.alert.phase):
            self._alerts[alert.alert_id] = RaisedAlert(alert, known.at)
        _keep(self._alerts, alert.alert_id, RaisedAlert(alert, at), ALERTS_SHOWN)


def _keep(records: dict[str, Any], key: str, record: object, limit: int) -> None:
    """Remember a record under its id, the oldest making room."""
    records.setdefault(key, record)
    if len(records) > limit:
        del records[next(iter(records))]
