"""What the swap log says and what the guard last reported in, the trial that runs now out, for people."""

from msgspec import Struct

from schemas.comparison import GuardReport
from schemas.transactions import ModelRef
from stream_app.rollout.state import Rollout


class Trial(Struct, frozen=True):
    """A model on trial.

    Attributes:
        model: Which one: the candidate, or the one that serves and was put in service a short while ago.
        against: What it is compared with.
        mode: `shadow`, `canary` or `watch`.
        percent: Of the customers, for whom a candidate decides.
        frozen: The guard does nothing by itself.
        guard: What the guard finds; None before its first word on this trial.
    """

    model: ModelRef
    against: ModelRef
    mode: str
    percent: float
    frozen: bool
    guard: GuardReport | None


def trial(rollout: Rollout, report: GuardReport | None) -> Trial | None:
    """The trial that runs; None where there is none.

    Args:
        rollout: What the log prescribes.
        report: The guard's latest, about whichever trial.
    """
    serving, previous, candidate = rollout.serving, rollout.previous, rollout.candidate
    if serving is None:
        return None
    if candidate is not None:
        mode = "canary" if candidate.percent else "shadow"
        guard = _about(report, candidate.stage_id)
        return Trial(candidate.release.model, serving.model, mode, candidate.percent, rollout.frozen, guard)
    if rollout.watch is not None and previous is not None:
        report = _about(report, rollout.watch.command_id)
        return Trial(serving.model, previous.model, "watch", 0.0, rollout.frozen, report) if report else None
    return None


def _about(report: GuardReport | None, trial_id: str) -> GuardReport | None:
    return report if report is not None and report.trial_id == trial_id else None
