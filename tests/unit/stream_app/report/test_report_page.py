"""The page of a drift report: what it says, what its policy lets run, and that no string becomes markup."""

import base64
import hashlib
from dataclasses import replace

import msgspec
import pytest

from stream_app.report.page import html
from tests.markup import MARKUP, Page, assert_no_markup_comes_of, filled
from tests.unit.stream_app.report.reports_for_tests import FRAME, a_report

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def plain():
    return html(a_report())


def digest(script):
    return f"'sha256-{base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()}'"


def test_no_string_of_a_report_becomes_markup(plain):
    report = filled(a_report())
    hostile = html(replace(report, comparison=a_report().comparison))
    assert_no_markup_comes_of(hostile, plain)
    assert Page(hostile).text.count(MARKUP) > 30


def test_the_frame_is_one_attribute_whatever_is_in_it(plain):
    report = a_report()
    hostile = html(replace(report, comparison=replace(report.comparison, html=FRAME + MARKUP)))
    assert Page(hostile).kinds == Page(plain).kinds
    assert FRAME + MARKUP in Page(hostile).links


def test_only_the_scripts_of_evidentlys_page_may_run(plain):
    page, frame = Page(plain), Page(FRAME)
    assert page.scripts == []
    (allowed,) = [rule for rule in page.policy.split("; ") if rule.startswith("script-src")]
    assert allowed.split()[1:] == [digest(script) for script in frame.scripts]
    assert len(frame.scripts) == 2
    assert "'unsafe-eval'" not in page.policy


def test_without_evidentlys_page_nothing_may_run():
    page = Page(html(a_report(comparison=None)))
    assert page.policy.startswith("default-src 'none'")
    assert "script-src" not in page.policy
    assert "Both need 100 rows or more" in page.text


def test_a_script_that_came_in_with_a_name_is_not_among_those_that_may_run():
    hostile = Page(html(replace(filled(a_report()), comparison=a_report().comparison)))
    assert digest("alert(1)") not in hostile.policy


def test_an_incident_says_what_moved_how_far_and_what_to_do(plain):
    text = Page(plain).text
    for words in (
        "2 drift incidents in this window",
        "9,600 events, 2.00% of them alerts; model card-fraud 1 (aaaaaaaaaaaa)",
        "Check amount at its producer",
        "would not help",
        "03 Jan 2026, 14:00, seen 4 h 20 min later",
        "partition 0 from 1200, partition 1 from 1207",
        "55 → 99 EUR",
        "Over time, in country=CH alone",
        "Its model or its summaries are no longer there",
        "1 of 3 have a mean 0.15 sd or more",
        "Evidently finds drift in 1 of 2 columns",
        "5,000 rows: history.parquet",
    ):
        assert words in text


def test_the_signal_that_is_furthest_stands_first_and_out(plain):
    table = plain[plain.index("Every signal") :]
    assert table.index("amount") < table.index("score") < table.index("refused records")
    assert table.count('class="far"') == 2  # its mean and its PSI


@pytest.mark.parametrize(("incidents", "title"), [(0, "No drift incident"), (1, "One drift incident")])
def test_the_title_counts_the_incidents(incidents, title):
    report = a_report()
    figures = msgspec.structs.replace(report.figures, incidents=report.figures.incidents[:incidents])
    page = html(a_report(figures=figures, views=report.views[:incidents], overview=None))
    assert f"<title>{title} in this window</title>" in page
