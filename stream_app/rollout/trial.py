"""The trial that runs now, for people: a shadow, a canary, or a model on probation, and what the guard finds."""

from msgspec import Struct

from schemas.comparison import GuardReport
from schemas.transactions import ModelRef
from stream_app.rollout.state import Rollout


class TrialView(Struct, frozen=True):
    """A model on trial.

    Attributes:
        model: Which one: the candidate, or the one that serves and was put in service a short while ago.
        against: What it is compared with.
        mode: `shadow`, `canary` or `watch`.
        percent: Of the customers, for whom a candidate decides.
        frozen: The guard does nothing by itself.
        guard: Its latest report; None before its first on this trial.
    """

    model: ModelRef
    against: ModelRef
    mode: str
    percent: float
    frozen: bool
    guard: GuardReport | None


def trial_view(rollout: Rollout, report: GuardReport | None) -> TrialView | None:
    """The trial that runs by the log; None where there is none. `report` may be about another trial."""
    serving, previous, candidate = rollout.serving, rollout.previous, rollout.candidate
    if serving is None:
        return None
    if candidate is not None:
        mode = "canary" if candidate.percent else "shadow"
        guard = _about(report, candidate.stage_id)
        return TrialView(candidate.release.model, serving.model, mode, candidate.percent, rollout.frozen, guard)
    if rollout.probation is not None and previous is not None:
        report = _about(report, rollout.probation.command_id)
        return TrialView(serving.model, previous.model, "watch", 0.0, rollout.frozen, report) if report else None
    return None


def _about(report: GuardReport | None, trial_id: str) -> GuardReport | None:
    return report if report is not None and report.trial_id == trial_id else None
