"""The trial that runs now, for people: a shadow, a canary, or a model on probation, and what the guard finds."""

from datetime import datetime

from msgspec import Struct

from schemas.comparison import GuardReport
from schemas.scoring import ModelRef
from stream_app.rollout.swap_log import SwapLog


class TrialView(Struct, frozen=True):
    """A model on trial.

    Attributes:
        model: Which one: the candidate, or the one that serves and was put in service a short while ago.
        against: What it is compared with.
        mode: `shadow`, `canary` or `watch`.
        percent: Of the customers, for whom a candidate decides.
        frozen: The guard does nothing by itself.
        since: When it was staged or put in service.
        issuer: Who commanded that.
        guard: The guard's latest report; None before its first on this trial.
    """

    model: ModelRef
    against: ModelRef
    mode: str
    percent: float
    frozen: bool
    since: datetime
    issuer: str
    guard: GuardReport | None


def trial_view(log: SwapLog, report: GuardReport | None) -> TrialView | None:
    """The trial that runs by the log; None where there is none. `report` may be about another trial."""
    rollout = log.rollout
    serving, previous, candidate = rollout.serving, rollout.previous, rollout.candidate
    if serving is None:
        return None
    if candidate is not None:
        staged = log.find(candidate.stage_id)
        if staged is None or staged.command is None:
            return None
        mode = "canary" if candidate.percent else "shadow"
        of, issuer = candidate.release.model, staged.command.issuer
        guard = _about(report, candidate.stage_id)
        return TrialView(of, serving.model, mode, candidate.percent, rollout.frozen, staged.at, issuer, guard)
    if rollout.probation is not None and previous is not None and log.swaps:
        swap, guard = log.swaps[-1], _about(report, rollout.probation.command_id)
        watched = TrialView(serving.model, previous.model, "watch", 0.0, rollout.frozen, swap.at, swap.issuer, guard)
        return watched if guard is not None else None
    return None


def _about(report: GuardReport | None, trial_id: str) -> GuardReport | None:
    return report if report is not None and report.trial_id == trial_id else None
