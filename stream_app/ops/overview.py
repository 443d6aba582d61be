"""The system in one document for the page: this worker's own figures, what the topics hold, and a headline.

The headline is one sentence, a pure function of the rest: the worst thing first, and what to do about it.
"""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from textwrap import shorten

from msgspec import Struct

from schemas.drift import DriftPhase, DriftSeverity
from schemas.rollout import ModelStatus, Phase, WorkerVitals
from schemas.topics import DRIFT_SUMMARIES
from schemas.transactions import ModelRef
from stream_app.ops import input_words
from stream_app.ops.anomalies import ShownAnomaly
from stream_app.ops.board import Board, RaisedAlert, Reading
from stream_app.ops.health import Health, Liveness, readiness
from stream_app.ops.series import Point, group_point
from stream_app.ops.vitals import vitals
from stream_app.pipeline.progress import Progress, Snapshot
from stream_app.rollout.statuses import WorkerState
from stream_app.rollout.trial import TrialView
from stream_app.settings import Settings

ALERT_IS_NEWS = timedelta(minutes=30)
BACKLOG_S = 5.0
QUIET_PER_S = 0.05
HEADLINE_CHARACTERS = 120


class Level(StrEnum):
    """How the sentence is meant: fine, fine but nothing to do, look at it, act."""

    GOOD = "good"
    IDLE = "idle"
    ATTENTION = "attention"
    BAD = "bad"


class Headline(Struct, frozen=True):
    """The status line of the page."""

    level: Level
    sentence: str


class Presence(StrEnum):
    """Whether a worker counts."""

    LIVE = "live"
    LOST = "lost"
    STOPPED = "stopped"


class WorkerRow(Struct, frozen=True):
    """One row of the workers table."""

    id: str
    here: bool
    presence: Presence
    heard_at: datetime
    serving: ModelRef | None
    vitals: WorkerVitals


class GroupTotals(Struct, frozen=True):
    """The live workers together. Latencies are those of the slowest, from broker timestamp to commit."""

    events_per_second: float
    lag: int
    behind_open_transaction: int
    latency_p50_ms: float | None
    latency_p99_ms: float | None
    scored: int
    anomalies: int
    dead_lettered: int


class ServedModel(Struct, frozen=True):
    """What decides now. `since` is the time of the command, None when it was given before the log begins."""

    model: ModelRef | None
    previous: ModelRef | None
    since: datetime | None
    mixed: bool


class Document(Struct, frozen=True):
    """What `/api/state` answers."""

    at: datetime
    worker: str
    state: str
    live: Health
    ready: Health
    verdict: Headline
    totals: GroupTotals
    model: ServedModel
    workers: list[WorkerRow]
    trial: TrialView | None
    rollout: list[ModelStatus]
    series: list[Point]
    anomalies: list[ShownAnomaly]
    alerts: list[RaisedAlert]
    precision: float | None
    labelled: int
    frauds: int


class StatusPage:
    """Puts the document together.

    Args:
        settings: Name of this worker, and how long a silent one counts.
        progress: Written by the pipeline of this worker.
        liveness: Of this worker.
        board: What the topics say.
        now: Wall clock.
    """

    def __init__(
        self,
        settings: Settings,
        progress: Progress,
        liveness: Liveness,
        board: Board,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self.liveness = liveness
        self._settings = settings
        self._progress = progress
        self.board = board
        self._now = now
        self._started_at = now()

    @property
    def ready(self) -> Health:
        """Readiness of this worker."""
        return readiness(self._progress.latest)

    def document(self) -> Document:
        """The system now."""
        at, snapshot, reading = self._now(), self._progress.latest, self.board.read()
        workers = self._workers(reading, snapshot, at)
        live, ready = self.liveness.check(), readiness(snapshot)
        model = ServedModel(snapshot.model, snapshot.previous, reading.serving_since, mixed=len(_served(workers)) > 1)
        totals = _totals(at, workers)
        return Document(
            at=at,
            worker=self._settings.worker_name,
            state=snapshot.state,
            live=live,
            ready=ready,
            verdict=_headline(at, live, ready, workers, totals, _drift(reading.alerts, snapshot.model, at)),
            totals=totals,
            model=model,
            workers=workers,
            trial=reading.trial,
            rollout=reading.rollout,
            series=reading.series,
            anomalies=reading.anomalies,
            alerts=reading.alerts,
            precision=reading.precision,
            labelled=reading.labelled,
            frauds=reading.frauds,
        )

    def _workers(self, reading: Reading, snapshot: Snapshot, at: datetime) -> list[WorkerRow]:
        """Others by their heartbeats; this one by its own figures, which hold even while the broker is away."""
        here = self._settings.worker_name
        others = [_row(name, worker, name in reading.alive) for name, worker in reading.workers.items() if name != here]
        own = vitals(self._settings, snapshot, snapshot.ready, self._started_at)
        rows = [WorkerRow(here, True, Presence.LIVE, at, snapshot.model, own), *(w for w in others if w is not None)]
        return sorted(rows, key=lambda worker: worker.id)


def _row(name: str, worker: WorkerState, alive: bool) -> WorkerRow | None:
    pulse = worker.pulse
    if pulse is None or pulse.vitals is None:
        return None
    presence = Presence.STOPPED if pulse.phase is Phase.STOPPED else Presence.LIVE if alive else Presence.LOST
    return WorkerRow(name, False, presence, worker.at, pulse.serving, pulse.vitals)


def _live(workers: list[WorkerRow]) -> list[WorkerRow]:
    return [worker for worker in workers if worker.presence is Presence.LIVE]


def _served(workers: list[WorkerRow]) -> set[str]:
    return {w.serving.sha256 for w in _live(workers) if w.serving is not None and w.vitals.partitions}


def _totals(at: datetime, workers: list[WorkerRow]) -> GroupTotals:
    live = [worker.vitals for worker in _live(workers)]
    now: Point = group_point(at.timestamp(), live)
    return GroupTotals(
        events_per_second=now.events_per_second,
        lag=now.lag,
        behind_open_transaction=sum(p.behind_open_transaction for v in live for p in v.partitions),
        latency_p50_ms=now.latency_p50_ms,
        latency_p99_ms=now.latency_p99_ms,
        scored=sum(v.scored for v in live),
        anomalies=sum(v.anomalies for v in live),
        dead_lettered=sum(v.dead_lettered for v in live),
    )


def _drift(alerts: list[RaisedAlert], serving: ModelRef | None, at: datetime) -> RaisedAlert | None:
    """The worst incident that is not over, the newest of such."""
    lasting = [a for a in alerts if _lasts(a, serving, at) and a.alert.severity is not DriftSeverity.INFO]
    return max(lasting, key=lambda a: list(DriftSeverity).index(a.alert.severity), default=None)


def _lasts(raised: RaisedAlert, serving: ModelRef | None, at: datetime) -> bool:
    """Whether an incident is not over. Of a model that serves no longer, nobody says that it is: then time does."""
    forgotten = ALERT_IS_NEWS if raised.alert.model != serving else DRIFT_SUMMARIES.retention
    return raised.alert.phase is not DriftPhase.OVER and at - raised.at < forgotten


def _headline(
    at: datetime, live: Health, ready: Health, workers: list[WorkerRow], totals: GroupTotals, drift: RaisedAlert | None
) -> Headline:
    """The worst first: what needs a hand, what needs an eye, and otherwise that all is well."""
    if not live.ok:
        return Headline(Level.BAD, live.sentence)
    if orphaned := _orphaned(workers):
        return Headline(Level.BAD, orphaned)
    figures = [worker.vitals for worker in _live(workers)]
    if urgent := input_words.lost(figures, at) or input_words.expiring(figures):
        return Headline(Level.BAD, urgent)
    held_up, changed = input_words.held_up(figures), input_words.changed(figures, at)
    if concern := held_up or _concern(ready, workers, totals, drift) or changed:
        return Headline(Level.ATTENTION, concern)
    if totals.events_per_second < QUIET_PER_S:
        return Headline(Level.IDLE, "All is well, and quiet: every transaction is scored and no new one comes in.")
    return Headline(Level.GOOD, _all_is_well(workers, totals))


def _concern(ready: Health, workers: list[WorkerRow], totals: GroupTotals, drift: RaisedAlert | None) -> str:
    if not ready.ok:
        return ready.sentence
    if len(_served(workers)) > 1:
        return "Workers serve different models: normal for a moment during a swap, not longer."
    if totals.lag > max(totals.events_per_second, 1) * BACKLOG_S:
        return _backlog(totals)
    return f"The stream has drifted: {_first_sentence(drift.alert.cause)}." if drift else ""


def _first_sentence(cause: str) -> str:
    """The first sentence, as short as a headline; the whole stands with the alert."""
    return shorten(cause.partition(". ")[0].rstrip("."), HEADLINE_CHARACTERS, placeholder=" …")


def _orphaned(workers: list[WorkerRow]) -> str:
    """About partitions that a lost worker held and no live one holds."""
    lost = [worker for worker in workers if worker.presence is Presence.LOST]
    held = {entry.partition for worker in _live(workers) for entry in worker.vitals.partitions}
    gone = sorted({entry.partition for worker in lost for entry in worker.vitals.partitions} - held)
    if not gone:
        return ""
    who, which = ", ".join(worker.id for worker in lost), ", ".join(map(str, gone))
    return f"{who} is silent, and nobody has taken over partition {which} yet: see whether it still runs."


def _backlog(totals: GroupTotals) -> str:
    if totals.events_per_second < 1:
        return f"{totals.lag:,} transactions wait and none is being scored: see the workers below."
    seconds = totals.lag / totals.events_per_second
    span = input_words.span(seconds)
    return f"Working off a backlog of {totals.lag:,} transactions: about {span} at the present rate."


def _all_is_well(workers: list[WorkerRow], totals: GroupTotals) -> str:
    count = len(_live(workers))
    who = "One worker scores" if count == 1 else f"{count} workers score"
    latency = "" if totals.latency_p99_ms is None else f", 99 % of them within {totals.latency_p99_ms:,.0f} ms"
    return f"All is well. {who} {totals.events_per_second:,.0f} transactions a second{latency}."
