"""A report in, one HTML page out. Everything is inside it, and its policy forbids a browser to load anything else."""

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from html import escape
from importlib.resources import files

from schemas.drift import DriftAlert
from stream_app.report.comparison import FEWEST_ROWS
from stream_app.report.pictures import NARROW, distribution, signals
from stream_app.report.report import Figures, LevelFigure, Report
from stream_app.report.view import View
from stream_app.report.words import alert_rate, duration, levels, retraining, shift_words, signal_name

# Evidently's own scripts are inline; nothing may come from outside, neither for this page nor for the frame in it.
POLICY = (
    "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline' 'unsafe-eval' blob: data:; "
    "img-src data: blob:; font-src data:; frame-src 'self'"
)
PSI_MATTERS = 0.1
SHIFT_MATTERS = 0.15


def html(report: Report) -> str:
    """The page."""
    figures = report.figures
    title = _headline(figures)
    style = files("stream_app.report").joinpath("page.css").read_text(encoding="utf-8")
    body = [f"<header><h1>{escape(title)}</h1><p class=quiet>{escape(_about(figures))}</p></header><main>"]
    for incident, view in zip(figures.incidents, report.views, strict=True):
        body += _incident(incident.alert, incident.levels, view)
    if report.overview is not None:
        body += [
            "<section><h2>The signals that are furthest from the reference</h2>",
            *_pictures(report.overview, None),
        ]
        body.append("</section>")
    body += [*_signals(figures), *_evidently(report)]
    return (
        "<!doctype html><html lang=en><meta charset=utf-8>"
        f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">'
        f'<meta name=viewport content="width=device-width, initial-scale=1"><title>{escape(title)}</title>'
        f"<style>{style}</style>{''.join(body)}</main>"
        f"<footer>Made {_moment(figures.made_at)} by stream-app drift-report. All times are UTC; "
        "those of the window and its incidents are event time.</footer>"
    )


def _headline(figures: Figures) -> str:
    count = len(figures.incidents)
    if not count:
        return "No drift incident in this window"
    return "One drift incident in this window" if count == 1 else f"{count} drift incidents in this window"


def _about(figures: Figures) -> str:
    window, model = figures.window, figures.model
    return (
        f"{_moment(window.since)} to {_moment(window.until)}, {figures.events:,} transactions, "
        f"{figures.alert_rate:.2%} of them alerts; model {model.name} {model.version} ({model.sha256[:12]})"
    )


def _incident(alert: DriftAlert, own: Sequence[LevelFigure], view: View | None) -> Iterator[str]:
    yield f'<section id="{escape(alert.alert_id)}">'
    yield f'<p class="severity {alert.severity}">{alert.severity.capitalize()}</p>'
    yield f"<h2>{escape(alert.cause)}</h2><dl>"
    for name, text in _facts(alert):
        yield f"<dt>{name}</dt><dd{' class=act' if name == 'To do' else ''}>{escape(text)}</dd>"
    yield "</dl>"
    if view is None:
        yield "<p class=quiet>Its model or its summaries are no longer there: there is nothing to draw.</p>"
    else:
        yield from _pictures(view, alert)
    yield "<h3>What moved</h3>"
    units = {f"input:{level.name}": _level(level) for level in own}
    yield _table(
        ("signal", "how far", "reference → now", "as the model sees it", "PSI when raised"),
        [
            (signal_name(s.signal), shift_words(s), units.get(s.signal, ""), levels(s), f"{s.psi:.2f}" if s.psi else "")
            for s in alert.signals
        ],
    )
    yield "</section>"


def _facts(alert: DriftAlert) -> Iterator[tuple[str, str]]:
    yield "To do", alert.action
    yield "Retraining", retraining(alert)
    yield "Since", f"{_moment(alert.since)}, seen {duration(alert.raised_at - alert.since)} later"
    yield "Alert rate", alert_rate(alert)
    yield "Model", f"{alert.model.name} {alert.model.version} ({alert.model.sha256[:12]})"
    yield "Offsets", ", ".join(f"partition {p} from {offset}" for p, offset in alert.since_offsets.items())
    yield "Id", alert.alert_id


def _pictures(view: View, alert: DriftAlert | None) -> Iterator[str]:
    change, raised = (alert.since, alert.raised_at) if alert else (None, None)
    where = f", in {alert.segment} alone" if alert and alert.segment else ""
    yield f"<h3>Over time{escape(where)}</h3>"
    yield f"<figure class=wide>{signals(view, change, raised)}</figure>"
    yield f"<figure class=narrow>{signals(view, change, raised, NARROW)}</figure>"
    when = "since the change" if alert else "in the window"
    yield f"<h3><span class='key usual'>reference</span><span class=key>{view.events:,} transactions {when}, "
    yield "as shares of the reference’s bins</span></h3><div class=shapes>"
    for drawn in view.distributions:
        caption = f"<figcaption>{escape(drawn.title)}<span>PSI {drawn.psi:.2f}</span></figcaption>"
        yield f"<figure>{caption}{distribution(drawn)}</figure>"
    yield "</div>"


def _signals(figures: Figures) -> Iterator[str]:
    yield "<section><h2>Every signal, over the whole window</h2><details><summary>"
    far = sum(abs(s.shift_sd) >= SHIFT_MATTERS for s in figures.signals)
    yield f"{far} of {len(figures.signals)} have a mean {SHIFT_MATTERS} sd or more from the reference</summary>"
    rows = [
        (signal_name(s.name), _far(f"{s.shift_sd:+.2f}", abs(s.shift_sd) >= SHIFT_MATTERS),
         _far(f"{s.psi:.3f}", s.psi >= PSI_MATTERS), f"{s.js:.4f}")
        for s in sorted(figures.signals, key=lambda s: -abs(s.shift_sd))
    ]  # fmt: skip
    yield _table(("signal", "mean, in reference sd", "PSI", "Jensen-Shannon"), rows, trusted=True)
    yield "<p class=quiet>What follows the calendar is far from its reference in a window of a few hours.</p>"
    yield "</details></section>"


def _evidently(report: Report) -> Iterator[str]:
    figures, comparison = report.figures, report.comparison
    drifted = [column for column in figures.columns if column.drifted]
    yield "<section><h2>"
    if comparison is None:
        yield "Evidently has too little to compare</h2>"
    else:
        yield f"Evidently finds drift in {len(drifted)} of {len(figures.columns)} columns</h2>"
    yield "<dl>"
    for name, source, rows in (
        ("Reference", figures.reference, figures.reference_rows),
        ("Current", figures.current, figures.current_rows),
    ):
        yield f"<dt>{name}</dt><dd>{rows:,} rows: {escape(source)}</dd>"
    yield "</dl>"
    if comparison is None:
        yield f"<p>Both need {FEWEST_ROWS} rows or more: give training data with --reference, or choose a later "
        yield "window.</p></section>"
        return
    if drifted:
        yield "<h3>The columns that drifted</h3>"
        verdicts = [(c.name, f"{c.value:.3g}", f"{c.threshold:g}", c.method) for c in drifted]
        yield _table(("column", "value", "threshold", "test"), verdicts)
    yield "<details><summary>Evidently’s own page</summary>"
    yield f'<iframe title="Evidently’s report" loading=lazy srcdoc="{escape(comparison.html)}"></iframe>'
    yield "</details></section>"


def _level(level: LevelFigure) -> str:
    return f"{level.reference:,.4g} → {level.current:,.4g} {level.unit}"


def _table(headings: Sequence[str], rows: Iterable[Sequence[str]], trusted: bool = False) -> str:
    """Rows of text; trusted ones may hold markup of this module."""
    head = "".join(f"<th>{heading}</th>" for heading in headings)
    body = "".join(
        "<tr>" + "".join(f"<td>{cell if trusted else escape(cell)}</td>" for cell in row) + "</tr>" for row in rows
    )
    return f"<div class=scroll><table><tr>{head}</tr>{body}</table></div>"


def _far(text: str, far: bool) -> str:
    return f"<span class=far>{text}</span>" if far else text


def _moment(at: datetime) -> str:
    return f"{at:%d %b %Y, %H:%M}"
