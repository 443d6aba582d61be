"""Runs the guard: reports what it finds on `model-status` and, where it may act, writes a command.

Every worker reads the comparisons, so that the next owner knows what this one knew; only the owner reports and acts.
An action is taken once for each trial, under an id that is a function of the trial: two owners for a moment are
harmless, and what the log refuses (frozen, or an operator was faster) is not tried again.
"""

import logging
import threading
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Protocol

from schemas.comparison import Comparison, GuardDecision, GuardReport
from schemas.rollout import AuditRecord, Command, ModelStatus, Phase, Promote, Rollback
from stream_app.audit.record import audit_record
from stream_app.kafka.log import Record
from stream_app.kafka.records import RecordDecoder
from stream_app.metrics import Metrics
from stream_app.rollout.control_producer import NotPublished
from stream_app.rollout.guard.guard import Guard
from stream_app.rollout.state import Rollout
from stream_app.settings import GuardMode, Settings

logger = logging.getLogger(__name__)

HISTORY = timedelta(hours=1)  # what a new owner reads back: a trial is long decided by then, or hardly ever
REPORT_EVERY_S = 2.0
LOOK_EVERY_S = 0.2  # a look takes milliseconds once a trial has seen some 100,000 events


class GuardSink(Protocol):
    """Takes the guard's reports and commands."""

    def status(self, status: ModelStatus) -> None:
        """To `model-status`."""

    def command(self, command: Command) -> int:
        """To `model-swap`, acknowledged."""

    def audit(self, record: AuditRecord) -> None:
        """To `audit`."""


class GuardEnforcer:
    """Reads comparisons in one thread, and reports and acts in another, the controller's."""

    def __init__(
        self, settings: Settings, sink: GuardSink, metrics: Metrics, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self._settings = settings
        self._sink = sink
        self._metrics = metrics
        self._monotonic = monotonic
        self._guard = Guard(settings)
        self._decoder = RecordDecoder[Comparison](Comparison, metrics.skip)
        self._lock = threading.Lock()
        self._issuer = f"guard@{settings.worker_name}"
        self._reported: tuple[str, GuardDecision | None, float] = ("", None, 0.0)
        self._rows = 0
        self._acted = ""
        self._looked: tuple[str, float] = ("", 0.0)

    def read(self, records: Sequence[Record], caught_up: bool) -> None:
        """Take in comparisons."""
        for record, comparison in self._decoder.each(records):
            try:
                with self._lock:
                    self._guard.read(comparison)
            except ValueError as error:
                self._decoder.refuse(record, str(error))

    def act(self, rollout: Rollout) -> None:
        """Report on the trial that runs now, and act on what is found where that is allowed."""
        trial, now = trial_id(rollout), self._monotonic()
        if trial and trial == self._looked[0] and now - self._looked[1] < LOOK_EVERY_S:
            return
        self._looked = (trial, now)
        with self._lock:
            report = self._guard.report(trial)
        if report is None:
            self.rest()
            return
        is_bad, is_shadow = (
            report.finding is GuardDecision.ROLL_BACK,
            rollout.candidate and not rollout.candidate.percent,
        )
        self._metrics.guard_advises_rollback.set(is_bad and not is_shadow)
        before, finding, at = self._reported
        news = (before, finding) != (report.trial_id, report.finding)
        if news or (report.rows != self._rows and self._monotonic() - at >= REPORT_EVERY_S):
            self._report(report, news, rollout)
        if self._settings.guard is GuardMode.ACT and not rollout.frozen and self._acted != report.trial_id:
            self._command(rollout, report)

    def rest(self) -> None:
        """There is nothing to judge, or another worker judges: no figure stays behind."""
        self._metrics.guard_evidence.clear()
        self._metrics.guard_advises_rollback.set(0)

    def _report(self, report: GuardReport, news: bool, rollout: Rollout) -> None:
        self._reported = (report.trial_id, report.finding, self._monotonic())
        self._rows = report.rows
        for signal in report.evidence:
            self._metrics.guard_evidence.labels(signal.signal).set(signal.against)
        worker = self._settings.worker_name
        self._sink.status(ModelStatus(worker=worker, phase=Phase.GUARD, at=datetime.now(UTC), guard=report))
        if news and report.finding is not GuardDecision.WATCH:
            logger.warning("guard: %s", report.sentence)
            subject = f"{_named(rollout, report.candidate)} against {_named(rollout, report.champion)}"
            self._sink.audit(audit_record(self._issuer, "find", subject, reason=report.sentence, effect=report.finding))

    def _command(self, rollout: Rollout, report: GuardReport) -> None:
        command = self._wanted(rollout, report)
        if command is None:
            return
        try:
            self._sink.command(command)
        except NotPublished as error:
            logger.warning("%s; acting again", error)
            return
        self._acted = report.trial_id
        action = "promoted" if isinstance(command, Promote) else "rolled_back"
        self._metrics.guard_actions[action].inc()
        subject = _named(rollout, report.champion if isinstance(command, Rollback) else report.candidate)
        verb = type(command).__name__.lower()
        effect = "commanded by the guard"
        self._sink.audit(
            audit_record(
                self._issuer, verb, subject, reason=report.sentence, effect=effect, command_id=command.command_id
            )
        )

    def _wanted(self, rollout: Rollout, report: GuardReport) -> Promote | Rollback | None:
        now = datetime.now(UTC)
        if report.finding is GuardDecision.ROLL_BACK:
            return Rollback(
                command_id=f"guard-rollback-{report.trial_id}",
                issuer=self._issuer,
                issued_at=now,
                reason=report.sentence,
                to=report.champion,
                automatic=True,
            )
        if report.finding is GuardDecision.PROMOTE and self._settings.guard_promotes and rollout.candidate is not None:
            return Promote(
                command_id=f"guard-promote-{report.trial_id}",
                issuer=self._issuer,
                issued_at=now,
                reason=report.sentence,
                stage_id=rollout.candidate.stage_id,
                automatic=True,
            )
        return None


def _named(rollout: Rollout, sha256: str) -> str:
    """The model with this digest by its name and version, which a trial's two models have."""
    return next((str(r.model) for r in rollout.kept if r.model.sha256 == sha256), f"model {sha256[:12]}")


def trial_id(rollout: Rollout) -> str:
    """What comparisons of the trial that runs now are marked with; empty where there is none."""
    if rollout.candidate is not None:
        return rollout.candidate.stage_id
    return rollout.probation.command_id if rollout.probation is not None else ""
