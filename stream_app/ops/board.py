"""What the topics say, in bounded memory: statuses, commands, anomalies, drift alerts and labels go in, the page reads.

Knows nothing of Kafka or HTTP. One thread writes, others read; each record and each reading is whole.
"""

import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

from msgspec import Struct

from schemas.comparison import GuardReport
from schemas.drift import DriftAlert, DriftPhase
from schemas.rollout import Command, ModelStatus, Phase
from schemas.transactions import Anomaly, Label
from stream_app.ops.feedback import Feedback
from stream_app.ops.series import POINTS, STEP_S, Point, Series
from stream_app.rollout.state import Rollout, apply
from stream_app.rollout.trial import Trial, trial

ANOMALIES_SHOWN = 20
ALERTS_SHOWN = 10
EVENTS_SHOWN = 8
# A worker that left is shown for as long as the charts still show what it did.
REMEMBER_WORKER = timedelta(seconds=POINTS * STEP_S)


class Heard(Struct, frozen=True):
    """The newest word of one worker, and when it came."""

    status: ModelStatus
    at: datetime


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

    workers: list[Heard]
    heard_at: datetime | None
    series: list[Point]
    anomalies: list[ShownAnomaly]
    alerts: list[RaisedAlert]
    rollout: list[ModelStatus]
    serving_since: datetime | None
    trial: Trial | None
    precision: float | None
    labelled: int
    frauds: int


class Board:
    """The memory of the page.

    Args:
        lost_after_s: Silence after which a worker's figures no longer count, in seconds.
        now: Wall clock, to forget workers that left.
    """

    def __init__(self, lost_after_s: float, now: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self.lost_after_s = lost_after_s
        self.feedback = Feedback()
        self._now = now
        self._lock = threading.Lock()
        self._workers: dict[str, Heard] = {}
        self._heard_at: datetime | None = None
        self._series = Series(lost_after_s)
        self._anomalies: dict[str, Anomaly] = {}  # by id: what is read twice is shown once
        self._alerts: dict[str, RaisedAlert] = {}
        self._events: dict[str, ModelStatus] = {}  # by worker, phase and command
        self._rollout = Rollout()
        self._serving_since: datetime | None = None
        self._guard: GuardReport | None = None

    def post(self, record: ModelStatus | Command | Anomaly | DriftAlert | Label, at: datetime) -> None:
        """Take in one record.

        Args:
            record: From any of the five topics.
            at: When it reached the topic, by the broker's timestamp.
        """
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
                case _:
                    self._command(record, at)

    def read(self) -> Reading:
        """What there is now, newest first; series oldest first."""
        with self._lock:
            horizon = self._now() - REMEMBER_WORKER
            self._workers = {name: heard for name, heard in self._workers.items() if heard.at > horizon}
            return Reading(
                workers=[self._workers[name] for name in sorted(self._workers)],
                heard_at=self._heard_at,
                series=list(self._series.points),
                anomalies=[self._shown(anomaly) for anomaly in reversed(self._anomalies.values())],
                alerts=list(reversed(self._alerts.values())),
                rollout=list(reversed(self._events.values())),
                serving_since=self._serving_since,
                trial=trial(self._rollout, self._guard),
                precision=self.feedback.precision,
                labelled=self.feedback.labelled,
                frauds=self.feedback.frauds,
            )

    def _shown(self, anomaly: Anomaly) -> ShownAnomaly:
        return ShownAnomaly(anomaly, self.feedback.verdict(anomaly.transaction_id))

    def _status(self, status: ModelStatus, at: datetime) -> None:
        self._heard_at = at
        self._series.observe(status, at)
        if status.phase in (Phase.HEARTBEAT, Phase.STOPPED):
            self._workers[status.worker] = Heard(status, at)
        elif status.phase is Phase.GUARD:
            self._guard = status.guard
        else:  # `applied` is said again when partitions come, and when the model before is no longer compared
            _keep(self._events, f"{status.worker} {status.phase} {status.command_id}", status, EVENTS_SHOWN)

    def _alert(self, alert: DriftAlert, at: datetime) -> None:
        """An incident is one line: its newest phase counts, and its place is where it was raised."""
        known = self._alerts.get(alert.alert_id)
        if known is not None and list(DriftPhase).index(alert.phase) > list(DriftPhase).index(known.alert.phase):
            self._alerts[alert.alert_id] = RaisedAlert(alert, known.at)
        _keep(self._alerts, alert.alert_id, RaisedAlert(alert, at), ALERTS_SHOWN)

    def _command(self, command: Command, at: datetime) -> None:
        after, _ = apply(self._rollout, command, at)
        if after.serving != self._rollout.serving:
            self._serving_since = at
        self._rollout = after


def _keep(records: dict[str, Any], key: str, record: object, limit: int) -> None:
    """Remember a record under its id, the oldest making room."""
    records.setdefault(key, record)
    if len(records) > limit:
        del records[next(iter(records))]
