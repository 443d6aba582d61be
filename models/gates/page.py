"""The gates' report as one HTML page that loads nothing. Needs the extra `report`."""

from pathlib import Path

from models.gates.comparison import GateComparison
from models.gates.plots import plots
from models.gates.report import GateReport, GateResult
from models.pages import markup

TEMPLATE = Path(__file__).with_name("page.html")


def page(report: GateReport, comparison: GateComparison) -> str:
    """The report for people, with plots of the comparison that it is about."""
    candidate, champion = report.candidate, report.champion
    return markup.page(
        TEMPLATE,
        title=f"{candidate.name} {candidate.version} against {champion.name} {champion.version}",
        report=report,
        verdict=GateResult.PASSED if report.passed else GateResult.REFUSED,
        plots=plots(report, comparison),
    )
