"""A drift report as one HTML page that holds all it needs and forbids a browser to load anything else."""

import base64
import hashlib
import re
from pathlib import Path

from models.pages import markup
from stream_app.drift.published import ended
from stream_app.report import words
from stream_app.report.comparison import FEWEST_ROWS
from stream_app.report.pictures import NARROW, distribution, signals
from stream_app.report.report import DriftReport

TEMPLATE = Path(__file__).with_name("page.html")
PSI_MATTERS = 0.1
SHIFT_MATTERS = 0.15
_SCRIPT = re.compile(r"<script>(.*?)</script>", re.DOTALL)


def html(report: DriftReport) -> str:
    """The page."""
    figures = report.figures
    return markup.page(
        TEMPLATE,
        title=_headline(len(figures.incidents)),
        report=report,
        figures=figures,
        ranked=sorted(figures.signals, key=lambda s: -abs(s.shift_sd)),
        far=sum(abs(s.shift_sd) >= SHIFT_MATTERS for s in figures.signals),
        drifted=[column for column in figures.columns if column.drifted],
        scripts=script_digests(report.comparison.html) if report.comparison else [],
        words=words,
        ended=ended,
        signals=signals,
        distribution=distribution,
        NARROW=NARROW,
        FEWEST_ROWS=FEWEST_ROWS,
        PSI_MATTERS=PSI_MATTERS,
        SHIFT_MATTERS=SHIFT_MATTERS,
    )


def script_digests(frame: str) -> list[str]:
    """The sha256 in base64 of each inline script of a page, as its policy names them: no other script may run."""
    return [base64.b64encode(hashlib.sha256(script.encode()).digest()).decode() for script in _SCRIPT.findall(frame)]


def _headline(incidents: int) -> str:
    if not incidents:
        return "No drift incident in this window"
    return "One drift incident in this window" if incidents == 1 else f"{incidents} drift incidents in this window"
