"""A report and its comparison in, one HTML page out that needs nothing else. Needs the extra `report`."""

from html import escape
from pathlib import Path
from string import Template

from models.gates.comparison import Comparison
from models.gates.plots import plots
from models.gates.report import Gate, Report, Verdict

TEMPLATE = Path(__file__).with_name("page.html")


def page(report: Report, comparison: Comparison) -> str:
    """The report for people.

    Args:
        report: What the gates said.
        comparison: What they said it of, for the plots.
    """
    verdict = Verdict.PASSED if report.passed else Verdict.REFUSED
    figures = [
        f"<figure>{svg}<figcaption>{escape(caption)}</figcaption></figure>"
        for caption, svg in plots(report, comparison)
    ]
    labels = "no labels" if report.frauds is None else f"{report.frauds:,} of them frauds"
    candidate, champion = report.candidate, report.champion
    return Template(TEMPLATE.read_text("utf-8")).substitute(
        title=escape(f"{candidate.name} {candidate.version} against {champion.name} {champion.version}"),
        **{"class": verdict.value},
        verdict=verdict.value,
        conclusion=escape(report.conclusion),
        rows=escape(f"{report.rows:,} transactions from {report.since} to {report.until}, {labels}"),
        made_at=f"{report.made_at:%Y-%m-%d %H:%M} UTC",
        gates="\n".join(map(_gate, report.gates)),
        plots="\n".join(figures),
    )


def _gate(gate: Gate) -> str:
    marks = ("" if measure.holds else ' class="no"' for measure in gate.measures)
    measures = "".join(
        f"<li{mark}>{escape(str(measure))}</li>" for mark, measure in zip(marks, gate.measures, strict=True)
    )
    kind = gate.verdict.value.replace(" ", "-")
    verdict = f'<h3>{escape(gate.name)}</h3><span class="verdict {kind}">{gate.verdict.value}</span>'
    remark = f"<li>{escape(gate.remark)}</li>" if gate.remark else ""
    reason = f'<ul>{measures}{remark}</ul><p class="faint">Why it matters: {escape(gate.why)}.</p>'
    return f'<section class="gate"><div>{verdict}</div><div>{reason}</div></section>'
