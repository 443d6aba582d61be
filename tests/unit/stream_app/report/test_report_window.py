"""Which transactions a window means, and what is told of one that means none."""

from datetime import UTC, datetime, timedelta

import pytest

from stream_app.report.alerts import ReportError
from stream_app.report.history import SummarySpan
from stream_app.report.window import resolve

START = datetime(2026, 1, 1, tzinfo=UTC)
HOUR = timedelta(hours=1)
# One summary an hour, for two days, in two partitions that take turns
SPANS = [
    SummarySpan(i % 2, i // 2 * 100, i // 2 * 100 + 100, 100, START + i * HOUR, START + (i + 1) * HOUR)
    for i in range(48)
]
END = SPANS[-1].last


@pytest.mark.parametrize(
    ("text", "since", "until"),
    [
        ("24h", END - 24 * HOUR, END),
        ("1d", END - 24 * HOUR, END),
        ("250", END - 3 * HOUR, END),
        ("999999", START, END),
        ("2026-01-01T06:00/2026-01-02", START + 6 * HOUR, START + 24 * HOUR),
        ("2026-01-01T07:00+01:00/", START + 6 * HOUR, END),
        ("/2026-01-02", START, START + 24 * HOUR),
    ],
)
def test_a_window_is_a_span_of_event_time(text, since, until):
    window = resolve(text, SPANS)
    assert (window.since, window.until) == (since, until)


@pytest.mark.parametrize("text", ["yesterday", "2026-13-01/", "", "-5h"])
def test_what_is_no_window_says_how_to_write_one(text):
    with pytest.raises(ReportError, match="write 24h, 7d, 20000"):
        resolve(text, SPANS)


def test_a_window_in_which_nothing_was_scored_says_what_there_is():
    with pytest.raises(ReportError, match="the summaries hold 2026-01-01T00:00 to 2026-01-03T00:00"):
        resolve("2027-01-01/", SPANS)


def test_one_clock_that_is_ahead_or_behind_does_not_decide_what_the_last_day_is():
    ahead, behind = END + 400 * 24 * HOUR, START - 5 * 24 * HOUR
    spoilt = [*SPANS[:40], SPANS[40]._replace(last=ahead), SPANS[41]._replace(first=behind), *SPANS[42:]]
    alone = [*SPANS, SummarySpan(0, 2400, 2401, 1, ahead, ahead), SummarySpan(0, 2401, 2402, 1, behind, behind)]
    for spans in (spoilt, alone):
        window = resolve("24h", spans)
        assert (window.since, window.until) == (END - 24 * HOUR, END)


def test_a_stream_that_goes_on_after_a_pause_is_the_newest():
    later = END + 100 * HOUR
    assert resolve("24h", [*SPANS, SummarySpan(0, 2400, 2410, 10, later, later + HOUR)]).until == later + HOUR
    few = [SummarySpan(0, i, i + 1, 1, START + i * 48 * HOUR, START + i * 48 * HOUR) for i in range(5)]
    assert resolve("24h", few).until == few[-1].last
