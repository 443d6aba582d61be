"""The memory of the page, bounded: what the topics hold of anomalies, drift, labels and workers.

Knows nothing of Kafka or HTTP. Any thread may write and read; each record and each reading is whole.
"""

import threading
from datetime import datetime
from typing import Any

from msgspec import Struct

from schemas.drift import DriftAlert
from schemas.rollout import ModelStatus, Phase
from schemas.scoring import Anomaly, Label, ModelRef
from stream_app.drift.published import PublishedAlerts, RaisedAlert
from stream_app.ops.anomalies import RecentAnomalies, ShownAnomaly
from stream_app.ops.feedback import Feedback
from stream_app.ops.series import Point, Series
from stream_app.rollout.statuses import Statuses, WorkerState
from stream_app.rollout.swap_log import GuardRollback, Swap, SwapLog
from stream_app.rollout.trial import TrialView, trial_view

ALERTS_SHOWN = 10
EVENTS_SHOWN = 8


class Reading(Struct, frozen=True):
    """All of the board at one moment.

    Attributes:
        alive: Names of the workers that were heard of lately.
        silent_s: Seconds since anything came on `model-status`.
        serving: By the swap log, as are `previous` (what a rollback returns to), `swap`, `trial` and `guarded`.
        alerts_raised: How many there were in all.
    """

    workers: dict[str, WorkerState]
    alive: set[str]
    silent_s: float
    series: list[Point]
    anomalies: list[ShownAnomaly]
    alerts: list[RaisedAlert]
    alerts_raised: int
    rollout: list[ModelStatus]
    serving: ModelRef | None
    previous: ModelRef | None
    swap: Swap | None
    trial: TrialView | None
    guarded: GuardRollback | None
    precision: float | None
    labelled: int
    frauds: int


class Board:
    """The memory of the page.

    Args:
        swaps: The swap log, as the worker reads it.
        statuses: The workers' statuses, likewise.
        lost_after_s: Silence after which a worker's figures no longer count, in seconds.
        ids_shown: As of `RecentAnomalies`.
    """

    def __init__(
        self,
        swaps: SwapLog,
        statuses: Statuses,
        lost_after_s: float,
        ids_shown: int | None = None,
    ) -> None:
        self.feedback = Feedback()
        self._swaps = swaps
        self._statuses = statuses
        self._lost_after_s = lost_after_s
        self._lock = threading.Lock()
        self._series = Series(lost_after_s)
        self._anomalies = RecentAnomalies(self.feedback.verdict, ids_shown)
        self._alerts = PublishedAlerts(ALERTS_SHOWN)
        self._events: dict[str, ModelStatus] = {}  # by worker, phase and command

    def post(self, record: ModelStatus | Anomaly | DriftAlert | Label, at: datetime) -> None:
        """Take in one record with its Kafka timestamp."""
        with self._lock:
            match record:
                case Label():
                    self.feedback.label(record)
                case Anomaly():
                    self._anomalies.post(record)
                    self.feedback.anomaly(record.event_id)
                case ModelStatus():
                    self._status(record, at)
                case DriftAlert():
                    self._alerts.post(record, at)

    def read(self) -> Reading:
        """What there is now, newest first; series oldest first."""
        with self._lock:
            log = self._swaps
            serving, before = log.rollout.serving, log.rollout.before
            return Reading(
                workers=self._statuses.workers,
                alive=set(self._statuses.alive(self._lost_after_s)),
                silent_s=self._statuses.silent_s,
                series=list(self._series.points),
                anomalies=self._anomalies.newest(),
                alerts=list(reversed(self._alerts.incidents)),
                alerts_raised=self._alerts.total,
                rollout=list(reversed(self._events.values())),
                serving=serving.model if serving is not None else None,
                previous=before.model if before is not None else None,
                swap=log.swaps[-1] if log.swaps else None,
                trial=trial_view(log, self._statuses.guard),
                guarded=log.guarded,
                precision=self.feedback.precision,
                labelled=self.feedback.labelled,
                frauds=self.feedback.frauds,
            )

    def anomalies(self, anomaly_id: str | None, entity: str | None) -> list[ShownAnomaly]:
        """The anomaly with this id, or those of this entity; otherwise the newest."""
        with self._lock:
            if anomaly_id is not None:
                return self._anomalies.by_id(anomaly_id)
            return self._anomalies.newest() if entity is None else self._anomalies.of(entity)

    def _status(self, status: ModelStatus, at: datetime) -> None:
        self._series.observe(status, at)
        if status.phase not in (Phase.HEARTBEAT, Phase.STOPPED, Phase.GUARD):
            # `applied` is published again when partitions come, and when the previous model is no longer compared
            _keep(self._events, f"{status.worker} {status.phase} {status.command_id}", status, EVENTS_SHOWN)


def _keep(records: dict[str, Any], key: str, record: object, limit: int) -> None:
    """Remember a record under its id, the oldest making room."""
    records.setdefault(key, record)
    if len(records) > limit:
        del records[next(iter(records))]
