"""A drift report with everything that one can hold, without a model or a topic."""

from datetime import timedelta
from typing import Any

from msgspec.structs import replace

from schemas.scoring import ModelRef
from stream_app.report.comparison import Column, ReferenceComparison
from stream_app.report.report import DriftReport, Figures, IncidentFigures, LevelFigure, SignalFigure
from stream_app.report.view import Distribution, Trace, View
from stream_app.report.window import ReportWindow
from tests.unit.stream_app.report.alerts_for_tests import SINCE, an_alert

HOURS = [SINCE + timedelta(hours=hour) for hour in range(-3, 5)]
FRAME = "<html><body><div id=root></div><script>var a = '<div>';</script>\n<script>draw(a)</script></body></html>"


def a_view() -> View:
    """Amounts that rise at `SINCE`, and refused records that come and go."""
    return View(
        times=HOURS,
        traces=[
            Trace("amount", "mean, in reference sd", "+1.80 sd", [0.0, 0.1, 0.0, 1.7, 1.8, 1.9, 1.8, 1.8], 0.0),
            Trace("refused records", "share of records", "", [0.0, float("nan"), 0.0, 0.3, 0.3, 0.2, 0.0, 0.0], 0.0),
        ],
        distributions=[Distribution("amount", [-1.0, 0.0, 1.0], [0.25] * 4, [0.05, 0.15, 0.3, 0.5], 0.71)],
        events=4800,
    )


def a_report(**changed: Any) -> DriftReport:
    """One incident of the whole stream, one in a segment whose model is gone, Evidently's page."""
    alert = an_alert()
    told = {
        "figures": Figures(
            made_at=HOURS[-1],
            window=ReportWindow(HOURS[0], HOURS[-1]),
            model=ModelRef("card-fraud", "1", "a" * 64),
            events=9600,
            alert_rate=0.02,
            incidents=[
                IncidentFigures(replace(alert, segment="country=CH"), [LevelFigure("amount", "EUR", 55.0, 99.0)]),
                IncidentFigures(replace(alert, alert_id="drift:bbbbbbbbbbbb:9"), []),
            ],
            signals=[
                SignalFigure("score", 0.1, 0.02, 0.001),
                SignalFigure("input:amount", -1.8, 0.7, 0.1),
                SignalFigure("dead_letters", 0.0, 0.0, 0.0),
            ],
            reference="history.parquet, the model's training window 2026-01-01 to 2026-01-02",
            reference_rows=5000,
            current="every transaction of the window, from the input topic",
            current_rows=9600,
            columns=[
                Column("amount", "K-S p_value", 0.001, 0.05, True),
                Column("score", "K-S p_value", 0.4, 0.05, False),
            ],
        ),
        "views": [a_view(), None],
        "overview": a_view(),
        "comparison": ReferenceComparison([], FRAME),
    }
    return DriftReport(**{**told, **changed})
