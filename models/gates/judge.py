"""Runs all gates on one candidate, in order."""

from datetime import UTC, datetime

from models.gates import accuracy, agreement, cost, robustness, shift, stability, volume
from models.gates.comparison import GateComparison, Side
from models.gates.limits import Limits
from models.gates.report import Gate, GateReport
from models.runtime import Runtime
from schemas.scoring import ModelRef


def judge(comparison: GateComparison, limits: Limits, now: datetime | None = None) -> GateReport:
    """Whether the candidate may take the champion's place; `now` is the time of the report, by default the clock's."""
    gates = _of_calibration(comparison, limits) if comparison.is_recalibration else _of_models(comparison, limits)
    days = comparison.frame["event_time"]
    return GateReport(
        candidate=reference(comparison.candidate),
        champion=reference(comparison.champion),
        made_at=now or datetime.now(UTC),
        since=days[0].date(),
        until=days[-1].date(),
        rows=comparison.frame.height,
        frauds=None if comparison.fraud is None else int(comparison.fraud.sum()),
        gates=gates,
    )


def _of_models(comparison: GateComparison, limits: Limits) -> list[Gate]:
    return [
        accuracy.gate(comparison, limits),
        volume.gate(comparison, limits),
        agreement.gate(comparison, limits),
        stability.gate(comparison, limits),
        shift.gate(comparison, limits),
        robustness.gate(comparison, limits),
        cost.gate(comparison.candidate.runtime, comparison.champion.runtime, limits),
    ]


def _of_calibration(comparison: GateComparison, limits: Limits) -> list[Gate]:
    """Scores, latents and cost are the champion's own; that the alerts are others is what it is for."""
    return [volume.of_budget(comparison, limits), robustness.gate(comparison, limits)]


def without_data(candidate: Runtime, champion: Runtime | None, limits: Limits) -> list[str]:
    """Objections to a candidate without data to compare on, as in a worker that stages it; empty if there are none.

    Without a champion (none serves yet) only the golden rows are checked.
    """
    gates = [robustness.on_golden_rows(candidate, limits)]
    if champion is not None:
        gates.append(cost.gate(candidate, champion, limits))
    return [gate.sentence for gate in gates if not gate.passes]


def reference(side: Side) -> ModelRef:
    """The identity of a side's model."""
    manifest = side.runtime.manifest
    return ModelRef(manifest.name, manifest.version, side.runtime.sha256)
