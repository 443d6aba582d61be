"""The comparison of two latent spaces as one HTML page that loads nothing. Needs the extra `report`."""

from pathlib import Path

from models.gates.comparison import GateComparison
from models.latents.plots import plots, spaces
from models.latents.report import LatentsReport
from models.latents.words import sentences
from models.pages import markup

TEMPLATE = Path(__file__).with_name("page.html")


def page(report: LatentsReport, comparison: GateComparison) -> str:
    """The report for people, with plots of the comparison that it is about."""
    new, old = report.new, report.old
    return markup.page(
        TEMPLATE,
        title=f"Latents of {new.name} {new.version} beside {old.name} {old.version}",
        report=report,
        sentences=sentences(report),
        spaces=spaces(comparison),
        plots=plots(report, comparison),
    )
