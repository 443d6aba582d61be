"""The system at one moment, for `stream-app status`: what is wrong, which workers live, what they serve."""

import time
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Self

from msgspec import Struct
from msgspec.structs import replace

from schemas.drift import DriftAlert
from schemas.scoring import ModelRef
from schemas.topics import DRIFT_ALERTS, MODEL_STATUS, MODEL_SWAP, Topic
from stream_app.drift.published import RaisedAlert
from stream_app.kafka.clients import BrokerError, BrokerUnavailable
from stream_app.kafka.dispatch import QUIET_S, Dispatch, Reader
from stream_app.kafka.log import Record, Tail
from stream_app.kafka.records import RecordDecoder, posted_at
from stream_app.kafka.unread import unread
from stream_app.ops.board import Board, Reading
from stream_app.ops.facts import Facts, Presence, WorkerRow, gather
from stream_app.ops.headline import Condition, Headline, conditions, headline
from stream_app.ops.input_words import EXPIRES_SOON
from stream_app.pipeline.recall import recall
from stream_app.rollout.statuses import FORGET_AFTER, Statuses, recent
from stream_app.rollout.swap_log import Swap, SwapLog
from stream_app.rollout.trial import TrialView
from stream_app.rollout.trust import trust
from stream_app.settings import Settings

LATEST_ALERTS = 5


class WorkerNow(Struct, frozen=True):
    """One worker, by its last heartbeat; of one that is lost, the partitions that it read and what waits there now."""

    id: str
    presence: Presence
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
    """The latest incidents, newest first, and how many there were in all."""

    alerts: list[RaisedAlert]
    total: int


class Overview(Struct, frozen=True):
    """The whole system at one moment.

    Attributes:
        verdict: The first of what is wrong, or that all is well: the sentence of the page.
        wrong: Everything that is wrong, the worst first.
        workers: Without those that stopped in order.
        trial: A shadow, a canary or a fresh activation, and what the guard finds.
    """

    at: datetime
    verdict: Headline
    wrong: list[Condition]
    workers: list[WorkerNow]
    model: ModelNow | None
    trial: TrialView | None
    drift: DriftNow

    @property
    def serving(self) -> ModelRef | None:
        """The model that serves by the swap log."""
        return None if self.model is None else ModelRef(self.model.name, self.model.version, self.model.sha256)


class Observer:
    """Follows the logs that an overview is made of, each record read once.

    Raises:
        BrokerError: a topic cannot be read.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._swaps = SwapLog(trust(settings))
        self._statuses = Statuses()
        self._board = Board(self._swaps, self._statuses, settings.worker_lost_after_s)
        self._alerts = RecordDecoder[DriftAlert](DriftAlert)
        readers: list[tuple[Topic, Reader]] = [(MODEL_SWAP, self._read_swaps), (DRIFT_ALERTS, self._read_alerts)]
        self._committed = Dispatch(settings, Tail(settings, [MODEL_SWAP, DRIFT_ALERTS]), readers)
        self._committed.catch_up()
        self._pulses = self._follow_statuses(recent(settings))
        if self._misses_something():
            self._pulses.close()
            self._pulses = self._follow_statuses(datetime.now(UTC) - FORGET_AFTER)

    def __enter__(self) -> Self:
        """Itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Let the connections go."""
        self._committed.close()
        self._pulses.close()

    def follow(self, seconds: float) -> None:
        """Take in what comes meanwhile."""
        until = time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0:
            self._pulses.step(min(left, QUIET_S))
            self._committed.step(0.0)

    def overview(self) -> Overview:
        """What there is now."""
        reading = self._board.read()
        facts = self._facts(reading)
        wrong = conditions(facts)
        return Overview(
            at=facts.at,
            verdict=headline(facts, wrong),
            wrong=wrong,
            workers=[worker_now(row, facts) for row in facts.workers if row.presence is not Presence.STOPPED],
            model=model_now(self._swaps),
            trial=facts.trial,
            drift=drift_now(reading),
        )

    def _facts(self, reading: Reading) -> Facts:
        """What the logs hold; where nobody reads, what waits there, by the broker."""
        now = datetime.now(UTC)
        facts = gather(self._settings, reading, now, silent=False)
        held = {place for row in facts.live for place in row.partitions}
        if not facts.unread and (held or facts.serving is None):
            return facts
        try:
            found = unread(self._settings, held, EXPIRES_SOON, lambda among: recall(self._settings, among))
            return replace(facts, unread=found)
        except BrokerUnavailable:  # in `--watch`: all workers fall silent at once
            return gather(self._settings, reading, now, silent=True)
        except BrokerError:  # no right to look there, or no input any more
            return facts

    def _misses_something(self) -> bool:
        """Who was lost, or what the guard has found, is further back than what the living have to say."""
        reading, now = self._board.read(), datetime.now(UTC)
        facts = gather(self._settings, reading, now, silent=False)
        if facts.serving is not None and not facts.live and not facts.lost:
            return True
        probation = self._swaps.rollout.probation
        began = facts.trial.since if facts.trial is not None else probation.since if probation is not None else None
        is_unjudged = facts.trial is None or facts.trial.guard is None
        return is_unjudged and began is not None and now - began < FORGET_AFTER

    def _follow_statuses(self, since: datetime) -> Dispatch:
        tail = Tail(self._settings, [MODEL_STATUS], since, committed=False)
        followed = Dispatch(self._settings, tail, [(MODEL_STATUS, self._read_statuses)])
        followed.catch_up()
        return followed

    def _read_swaps(self, records: Sequence[Record], _: bool) -> None:
        for record in records:
            self._swaps.read(record)

    def _read_statuses(self, records: Sequence[Record], caught_up: bool) -> None:
        for record in records:
            self._statuses.read(record, caught_up)

    def _read_alerts(self, records: Sequence[Record], _: bool) -> None:
        for record, alert in self._alerts.each(records):
            self._board.post(alert, posted_at(record))


def worker_now(row: WorkerRow, facts: Facts) -> WorkerNow:
    """A worker by its heartbeat, seen by the broker's clock, not its own. Of a lost one, what waits for it counts."""
    lost, vitals = row.presence is Presence.LOST, row.vitals
    missed = {place: facts.unread[place].lag for place in row.partitions if place in facts.unread}
    return WorkerNow(
        id=row.id,
        presence=row.presence,
        ready=vitals.ready and not lost,
        partitions=list(missed) if lost else row.partitions,
        lag=sum(missed.values()) if lost else row.lag,
        model_sha256=row.serving.sha256 if row.serving else None,
        events_per_second=0.0 if lost else vitals.events_per_second,
        latency_p50_ms=None if lost else vitals.latency_p50_ms,
        latency_p99_ms=None if lost else vitals.latency_p99_ms,
        scored=vitals.scored,
        anomalies=vitals.anomalies,
        dead_lettered=vitals.dead_lettered,
        started_at=vitals.started_at,
        seen_at=row.heard_at,
        web_url=vitals.web_url,
    )


def model_now(log: SwapLog) -> ModelNow | None:
    """What serves by the swap log."""
    rollout = log.rollout
    if rollout.serving is None:
        return None
    model, previous = rollout.serving.model, rollout.before
    return ModelNow(model.name, model.version, model.sha256, previous.model.sha256 if previous else None, log.swaps[-1])


def drift_now(reading: Reading) -> DriftNow:
    """The newest first."""
    return DriftNow(reading.alerts[:LATEST_ALERTS], reading.alerts_raised)
