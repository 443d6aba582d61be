"""The timeline as one HTML page that holds all it needs, to hand in."""

from collections import Counter
from collections.abc import Sequence
from datetime import date, datetime
from itertools import groupby
from pathlib import Path

from models.pages import markup
from stream_app.report.timeline import AROUND, LineKind, TimelineLine, alerts_around

TEMPLATE = Path(__file__).with_name("timeline.html")
NAMES = {
    LineKind.COMMAND: ("command", "commands"),
    LineKind.DRIFT: ("drift alert", "drift alerts"),
    LineKind.LOST: ("lost worker", "lost workers"),
    LineKind.RECORD: ("other record", "other records"),
}


def html(lines: Sequence[TimelineLine], known_from: datetime, now: datetime) -> str:
    """The page.

    Args:
        lines: In the order of time.
        known_from: Since when heartbeats were read.
        now: When it is made.
    """
    days = [(day, list(of_day)) for day, of_day in groupby(lines, key=lambda line: line.at.date())]
    counts = Counter(line.kind for line in lines)
    summary = [f"{counts[kind]} {NAMES[kind][counts[kind] != 1]}" for kind in NAMES if counts[kind]]
    return markup.page(
        TEMPLATE,
        title=_title(days[0][0], days[-1][0]) if days else "Nothing is on record",
        days=days,
        summary=", ".join(summary),
        alerts_around=alerts_around,
        largest=max((v.share for line in lines for v in (line.before, line.after) if v), default=0.0) or 1.0,
        around=round(AROUND.total_seconds() / 60),
        known_from=known_from,
        now=now,
    )


def _title(first: date, last: date) -> str:
    return f"What happened on {first:%d %b %Y}" if first == last else f"What happened, {first:%d %b} to {last:%d %b %Y}"
