"""All gates on one candidate, in their order: the comparison in, the report out."""

from datetime import UTC, datetime

from models.gates import accuracy, agreement, cost, robustness, shift, stability, volume
from models.gates.comparison import GateComparison, Side
from models.gates.limits import Limits
from models.gates.report import GateReport
from models.runtime import Runtime
from schemas.transactions import ModelRef


def judge(comparison: GateComparison, limits: Limits, now: datetime | None = None) -> GateReport:
    """May the candidate take the champion's place?

    Args:
        comparison: Both on the same rows.
        limits: How far it may differ.
        now: Moment of the report. None: the clock's.
    """
    candidate, champion = comparison.candidate.runtime, comparison.champion.runtime
    gates = [
        accuracy.gate(comparison, limits),
        volume.gate(comparison, limits),
        agreement.gate(comparison, limits),
        stability.gate(comparison, limits),
        shift.gate(comparison, limits),
        robustness.gate(comparison, limits),
        cost.gate(candidate, champion, limits),
    ]
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


def without_data(candidate: Runtime, champion: Runtime | None, limits: Limits) -> list[str]:
    """What speaks against a candidate where no data is at hand, as in a worker that stages it; empty: nothing.

    Args:
        candidate: Loaded.
        champion: What serves; None where nothing does, and so nothing can be compared.
        limits: How far it may differ.
    """
    gates = [robustness.on_golden_rows(candidate, limits)]
    if champion is not None:
        gates.append(cost.gate(candidate, champion, limits))
    return [gate.sentence for gate in gates if not gate.passes]


def reference(side: Side) -> ModelRef:
    """The identity of a side's model."""
    manifest = side.runtime.manifest
    return ModelRef(manifest.name, manifest.version, side.runtime.sha256)
