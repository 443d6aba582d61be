"""The guard at work: the comparisons' log in, its report on `model-status` and, where it may act, a command out.

Every worker with a controller listens, so that the next owner knows what this one knew; only the owner speaks and acts.
An action is taken once for each trial, under an id that is a function of the trial: two owners for a moment are
harmless, and what the log refuses (frozen, or an operator was faster) is not tried again.
"""

import logging
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Protocol

import msgspec

from schemas.comparison import Comparison, Finding, GuardReport
from schemas.rollout import AuditRecord, Command, ModelStatus, Phase, Promote, Rollback
from schemas.topics import COMPARISONS
from stream_app.audit.record import audit_record
from stream_app.kafka.log import Log, Tail
from stream_app.metrics import Metrics
from stream_app.rollout.guard import Guard
from stream_app.rollout.publish import NotPublished, Publisher
from stream_app.rollout.state import Rollout
from stream_app.settings import GuardMode, Settings

logger = logging.getLogger(__name__)

HISTORY = timedelta(hours=1)  # what a new owner reads back: a trial is long decided by then, or hardly ever
POLL_LIMIT = 500
REPORT_EVERY_S = 2.0
_DECODER: msgspec.json.Decoder[Comparison] = msgspec.json.Decoder(Comparison)


class Sink(Protocol):
    """Where the guard reports and acts."""

    def status(self, status: ModelStatus) -> None:
        """To `model-status`."""

    def command(self, command: Command) -> int:
        """To `model-swap`, acknowledged."""

    def audit(self, record: AuditRecord) -> None:
        """To `audit`."""


class Warden:
    """Runs the guard in the controller's thread."""

    def __init__(
        self,
        settings: Settings,
        log: Log,
        sink: Sink,
        metrics: Metrics,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._settings = settings
        self._log = log
        self._sink = sink
        self._metrics = metrics
        self._monotonic = monotonic
        self._guard = Guard(settings)
        self._issuer = f"guard@{settings.worker_name}"
        self._reported: tuple[str, Finding | None, float] = ("", None, 0.0)
        self._rows = 0
        self._acted = ""

    def listen(self) -> None:
        """Take in what has been compared."""
        for message in self._log.poll(0.0, POLL_LIMIT):
            try:
                self._guard.read(_DECODER.decode(message.value() or b""))
            except (msgspec.DecodeError, UnicodeError, ValueError) as error:
                logger.warning("a record of %s is no comparison: %s", COMPARISONS.name, error)

    def act(self, rollout: Rollout) -> None:
        """Report on the trial that runs now, and act on what is found where that is allowed."""
        report = self._guard.report(trial_id(rollout))
        if report is None:
            self._metrics.guard_evidence.clear()
            return
        before, finding, at = self._reported
        news = (before, finding) != (report.trial_id, report.finding)
        if news or (report.rows != self._rows and self._monotonic() - at >= REPORT_EVERY_S):
            self._report(report, news)
        if self._settings.guard is GuardMode.ACT and not rollout.frozen and self._acted != report.trial_id:
            self._command(rollout, report)

    def close(self) -> None:
        """Stop listening."""
        self._log.close()

    def _report(self, report: GuardReport, news: bool) -> None:
        self._reported = (report.trial_id, report.finding, self._monotonic())
        self._rows = report.rows
        for signal in report.evidence:
            self._metrics.guard_evidence.labels(signal.signal).set(signal.against)
        worker = self._settings.worker_name
        self._sink.status(ModelStatus(worker=worker, phase=Phase.GUARD, at=datetime.now(UTC), guard=report))
        if news and report.finding is not Finding.WATCH:
            logger.warning("guard: %s", report.sentence)
            subject = f"model {report.candidate[:12]} against {report.champion[:12]}"
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
        subject = f"model {report.candidate[:12]}"
        verb = type(command).__name__.lower()
        effect = "commanded by the guard"
        self._sink.audit(
            audit_record(
                self._issuer, verb, subject, reason=report.sentence, effect=effect, command_id=command.command_id
            )
        )

    def _wanted(self, rollout: Rollout, report: GuardReport) -> Promote | Rollback | None:
        now = datetime.now(UTC)
        if report.finding is Finding.ROLL_BACK:
            return Rollback(
                command_id=f"guard-rollback-{report.trial_id}",
                issuer=self._issuer,
                issued_at=now,
                reason=report.sentence,
                to=report.champion,
                automatic=True,
            )
        if report.finding is Finding.PROMOTE and self._settings.guard_promotes and rollout.candidate is not None:
            return Promote(
                command_id=f"guard-promote-{report.trial_id}",
                issuer=self._issuer,
                issued_at=now,
                reason=report.sentence,
                stage_id=rollout.candidate.stage_id,
                automatic=True,
            )
        return None


def trial_id(rollout: Rollout) -> str:
    """What comparisons of the trial that runs now are marked with; empty where there is none."""
    if rollout.candidate is not None:
        return rollout.candidate.stage_id
    return rollout.watch.command_id if rollout.watch is not None else ""


def connect(settings: Settings, publisher: Publisher, metrics: Metrics) -> Warden | None:
    """A guard on the real topics, or None where it is switched off.

    Args:
        settings: What the guard may do, and where Kafka is.
        publisher: Where it reports and commands.
        metrics: Where its evidence is shown.
    """
    if settings.guard is GuardMode.OFF:
        return None
    return Warden(settings, Tail(settings, [COMPARISONS], datetime.now(UTC) - HISTORY), publisher, metrics)
