"""The candidate's number of alerts relative to the champion's on recent rows, each at its own threshold."""

from models.gates.comparison import GateComparison
from models.gates.limits import Limits
from models.gates.report import Gate, Measure, judged, not_measured

NAME = "alert volume"
WHY = "each alert is an analyst's time: a better model that gives a third more of them floods those who read them"


def gate(comparison: GateComparison, limits: Limits) -> Gate:
    """The ratio must lie within the limits. With too few alerts for a ratio, the candidate does not pass."""
    candidate, champion = comparison.candidate, comparison.champion
    alerts, usual = int(candidate.alerts.sum()), int(champion.alerts.sum())
    if usual < limits.volume.fewest_alerts:
        because = f"the champion gives {usual} alerts on these rows, {limits.volume.fewest_alerts} are needed"
        return not_measured(NAME, WHY, f"{because}: compare on more days", passes=False)
    ratio = Measure(
        "candidate's alerts to champion's",
        alerts / usual,
        least=limits.volume.ratio_least,
        most=limits.volume.ratio_most,
    )
    budgets = [side.runtime.manifest.calibration.budget for side in (candidate, champion)]
    remark = f"{alerts:,} for {usual:,}"
    if budgets[0] != budgets[1]:
        remark += f", with a budget of {budgets[0]:.2%} for {budgets[1]:.2%}"
    return judged(NAME, WHY, [ratio], remark)
