"""The candidate's number of alerts on recent rows, relative to the champion's or to what its budget promises."""

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


def of_budget(comparison: GateComparison, limits: Limits) -> Gate:
    """Of a model that was calibrated anew: alerts relative to its own budget, by the limits of the ratio."""
    calibration = comparison.candidate.runtime.manifest.calibration
    expected, alerts = calibration.budget * len(comparison.candidate.score), int(comparison.candidate.alerts.sum())
    if expected < limits.volume.fewest_alerts:
        because = f"its budget is {expected:,.0f} alerts on these rows, {limits.volume.fewest_alerts} are needed"
        return not_measured(NAME, WHY, f"{because}: compare on more days", passes=False)
    ratio = Measure(
        "alerts to its budget", alerts / expected, least=limits.volume.ratio_least, most=limits.volume.ratio_most
    )
    then = int(comparison.champion.alerts.sum())
    return judged(NAME, WHY, [ratio], f"{alerts:,} where {then:,} were; the scores are the same")
