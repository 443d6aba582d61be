"""The window of a report: `24h`, `7d`, `20000` or FROM/UNTIL, resolved to a span of event time."""

import re
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from itertools import pairwise

from msgspec import Struct

from stream_app.report.alerts import ReportError
from stream_app.report.history import SummarySpan

EXPECTED = "write 24h, 7d, 20000 (the last so many events) or FROM/UNTIL, as in 2018-04-22/2018-04-23T12:00"
LEAP = timedelta(days=1)
_BACK = re.compile(r"(\d+)([hd])")
_UNIT = {"h": timedelta(hours=1), "d": timedelta(days=1)}


class ReportWindow(Struct, frozen=True):
    """Event times from `since` on, up to `until`, both included."""

    since: datetime
    until: datetime

    def __contains__(self, at: datetime) -> bool:
        """Whether a moment is in it."""
        return self.since <= at <= self.until


def resolve(text: str, spans: Sequence[SummarySpan]) -> ReportWindow:
    """The window that a text means, counted back from the newest scored event.

    Args:
        text: See `EXPECTED`.
        spans: Of all summaries, in the order of the log, at least one.

    Raises:
        ReportError: the text is no window, or nothing was scored in it.
    """
    first, last = min(span.first for span in spans), newest(spans)
    if "/" in text:
        since, until = (_moment(part) for part in text.split("/", 1))
        window = ReportWindow(since or first, until or last)
    elif back := _BACK.fullmatch(text):
        window = ReportWindow(last - int(back[1]) * _UNIT[back[2]], last)
    elif text.isdecimal():
        window = ReportWindow(_nth_last(int(text), spans), last)
    else:
        raise ReportError(f"{text!r} is no window: {EXPECTED}")
    if not any(span.first <= window.until and span.last >= window.since for span in spans):
        raise ReportError(
            f"nothing was scored from {window.since:%Y-%m-%dT%H:%M} to {window.until:%Y-%m-%dT%H:%M} UTC (event time): "
            f"the summaries hold {first:%Y-%m-%dT%H:%M} to {last:%Y-%m-%dT%H:%M}"
        )
    return window


def newest(spans: Sequence[SummarySpan]) -> datetime:
    """Event time of the newest event, without the few that are far ahead of all others.

    What is more than a day after everything before it counts once there is enough of it: a stream that goes on after a
    pause, and not a clock that is wrong.
    """
    total = sum(span.scored for span in spans)
    enough = max(total / 1000, min(8.0, total / 20))
    times = sorted({span.last for span in spans}, reverse=True)
    found = times[0]
    for at, before in pairwise(times):
        if at - before > LEAP:
            if sum(span.scored for span in spans if before < span.first <= found) >= enough:
                return found
            found = before
    return found


def _moment(text: str) -> datetime | None:
    """None for an empty text, which leaves this side open. A time without a zone is UTC."""
    if not text:
        return None
    try:
        at = datetime.fromisoformat(text)
    except ValueError as error:
        raise ReportError(f"{text!r} is no time: {EXPECTED}") from error
    return at if at.tzinfo else at.replace(tzinfo=UTC)


def _nth_last(events: int, spans: Sequence[SummarySpan]) -> datetime:
    """Event time of the n-th last event, to the nearest summary."""
    left = events
    for span in sorted(spans, key=lambda span: span.last, reverse=True):
        left -= span.scored
        if left <= 0:
            return span.first
    return min(span.first for span in spans)
