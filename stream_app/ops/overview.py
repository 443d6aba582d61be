"""The system in one document for the page: this worker's own figures, what the topics hold, and a headline."""

from collections.abc import Callable
from datetime import UTC, datetime

from msgspec import Struct

from schemas.rollout import ModelStatus
from schemas.scoring import ModelRef
from stream_app.drift.published import RaisedAlert
from stream_app.ops.anomalies import ShownAnomaly
from stream_app.ops.board import Board
from stream_app.ops.facts import Facts, Presence, WorkerRow, gather
from stream_app.ops.headline import Headline, conditions, headline
from stream_app.ops.health import Health, Liveness, readiness
from stream_app.ops.series import Point, group_point
from stream_app.ops.vitals import vitals
from stream_app.pipeline.progress import Progress
from stream_app.rollout.trial import TrialView
from stream_app.settings import Settings


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
    """What `/api/state` answers.

    Attributes:
        verdict: The headline: the first of what is wrong, or that all is well.
        wrong: The rest of what is wrong, a sentence each, the worst first.
        silent_since: When Kafka was last heard of, while it does not answer: what others did is from then.
    """

    at: datetime
    worker: str
    state: str
    live: Health
    ready: Health
    verdict: Headline
    wrong: list[str]
    silent_since: datetime | None
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
        live = self.liveness.check()
        # Its own heartbeats come back to it from Kafka, once a second: where nothing comes, Kafka is away.
        silent = reading.silent_s > self._settings.worker_lost_after_s
        figures = vitals(self._settings, snapshot, live, self._started_at)
        own = WorkerRow(self._settings.worker_name, True, Presence.LIVE, at, snapshot.model, figures)
        facts = gather(self._settings, reading, at, silent, own)
        wrong = conditions(facts)
        since = reading.swap.at if reading.swap is not None else None
        return Document(
            at=at,
            worker=self._settings.worker_name,
            state=snapshot.state,
            live=live,
            ready=readiness(snapshot),
            verdict=headline(facts, wrong),
            wrong=[condition.sentence for condition in wrong[1:]],
            silent_since=facts.silent_since,
            totals=_totals(facts),
            model=ServedModel(snapshot.model, snapshot.previous, since, mixed=len(facts.served) > 1),
            workers=facts.workers,
            trial=reading.trial,
            rollout=reading.rollout,
            series=reading.series,
            anomalies=reading.anomalies,
            alerts=reading.alerts,
            precision=reading.precision,
            labelled=reading.labelled,
            frauds=reading.frauds,
        )


def _totals(facts: Facts) -> GroupTotals:
    now: Point = group_point(facts.at.timestamp(), facts.figures)
    return GroupTotals(
        events_per_second=now.events_per_second,
        lag=now.lag,
        behind_open_transaction=sum(p.behind_open_transaction for v in facts.figures for p in v.partitions),
        latency_p50_ms=now.latency_p50_ms,
        latency_p99_ms=now.latency_p99_ms,
        scored=sum(v.scored for v in facts.figures),
        anomalies=sum(v.anomalies for v in facts.figures),
        dead_lettered=sum(v.dead_lettered for v in facts.figures),
    )
