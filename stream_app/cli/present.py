"""What `doctor` finds wrong with what runs at this moment: workers, the guard's finding, alert volume, drift, lag."""

from collections.abc import Iterator

from schemas.comparison import GuardDecision
from schemas.drift import DriftPhase, DriftSeverity
from schemas.errors import UserError
from stream_app.cli.diagnosis import Diagnosis
from stream_app.cli.overview import Observer, Overview, WorkerNow
from stream_app.rollout import artefacts, commands
from stream_app.settings import Settings

SCORED_LEAST = 1000  # before that, the share of alerts says little
TIMES_THE_BUDGET = 3.0
BACKLOG_S = 5.0


def at_present(settings: Settings) -> Iterator[Diagnosis]:
    """What is wrong with what runs: workers, the guard's finding, alert volume, drift, lag."""
    with Observer(settings) as observer:
        observer.follow(settings.heartbeat_interval_s)
        seen, lost = observer.overview(), observer.lost
    problems = [
        *(
            Diagnosis("workers", False, f"{name} is lost", "see whether it still runs, or start it again")
            for name in lost
        ),
        *(_not_ready(worker) for worker in seen.workers if not worker.ready),
        *_guarded(seen),
        *_volume(settings, seen),
        *_drifting(seen),
        *_behind(seen),
    ]
    if seen.model is not None and not seen.workers:
        problems.append(Diagnosis("workers", False, "none is alive: nobody scores", "start one: stream-app worker"))
    yield from problems
    if not problems:
        says = f"{len(seen.workers)} worker(s) score, without lag, drift or a finding of the guard"
        yield Diagnosis("now", True, says if seen.workers else "no worker runs, and no model is in service")


def _not_ready(worker: WorkerNow) -> Diagnosis:
    return Diagnosis("workers", False, f"{worker.id} takes no part", f"{worker.web_url}health/ready says why")


def _guarded(seen: Overview) -> Iterator[Diagnosis]:
    report = seen.trial.guard if seen.trial is not None else None
    if report is not None and report.finding is GuardDecision.ROLL_BACK:
        yield Diagnosis("guard", False, report.sentence, "stream-app rollback")


def _volume(settings: Settings, seen: Overview) -> Iterator[Diagnosis]:
    """Alerts beside the budget that the model in service was calibrated to."""
    scored, alerts = sum(w.scored for w in seen.workers), sum(w.anomalies for w in seen.workers)
    serving = commands.models(settings).rollout.serving
    if serving is None or scored < SCORED_LEAST:
        return
    try:
        budget = artefacts.read(serving.uri).manifest.calibration.budget
    except UserError:
        return  # it has a line of its own
    if alerts / scored > budget * TIMES_THE_BUDGET:
        says = f"{alerts / scored:.1%} of the transactions alert, the model's budget is {budget:.1%}"
        yield Diagnosis(
            "budget", False, says, "stream-app drift explain; or stream-app rollback, where the model is new"
        )


def _drifting(seen: Overview) -> Iterator[Diagnosis]:
    for alert in seen.drift.alerts:
        if alert.phase is not DriftPhase.OVER and alert.severity is not DriftSeverity.INFO:
            yield Diagnosis("drift", False, alert.cause, f"stream-app drift explain {alert.alert_id}")


def _behind(seen: Overview) -> Iterator[Diagnosis]:
    lag, rate = sum(w.lag for w in seen.workers), sum(w.events_per_second for w in seen.workers)
    if lag > max(rate, 1.0) * BACKLOG_S:
        yield Diagnosis("lag", False, f"{lag:,} transactions wait", "start another worker, or see `stream-app status`")
