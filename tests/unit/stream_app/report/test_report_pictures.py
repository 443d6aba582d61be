"""The pictures of a report: every trace a row, the change and the alert marked, names as text."""

import re
from dataclasses import replace
from datetime import timedelta
from xml.etree import ElementTree

import pytest

from models.pages.pictures import COLOURS
from stream_app.report.pictures import NARROW, distribution, signals
from tests.markup import MARKUP, assert_no_markup_comes_of, filled
from tests.unit.stream_app.report.alerts_for_tests import SINCE
from tests.unit.stream_app.report.reports_for_tests import HOURS, a_view

pytestmark = pytest.mark.slow

RAISED = SINCE + timedelta(hours=2)


def texts(svg):
    return [element.text for element in ElementTree.fromstring(svg).iter("{http://www.w3.org/2000/svg}text")]


def width(svg):
    return float(re.search(r'width="([\d.]+)pt"', svg)[1])


def test_each_trace_is_a_row_with_its_name_and_how_far_it_moved():
    found = texts(signals(a_view(), SINCE, RAISED))
    assert {"amount", "+1.80 sd", "refused records"} <= set(found)


def test_the_change_and_the_alert_are_marked_with_their_times():
    found = texts(signals(a_view(), SINCE, RAISED))
    assert {"change 03 Jan 14:00", "alert 03 Jan 16:00"} <= set(found)


def test_what_is_outside_of_the_picture_or_did_not_happen_is_not_marked():
    found = " ".join(texts(signals(a_view(), None, HOURS[-1] + timedelta(days=1))))
    assert "change" not in found
    assert "alert" not in found


def test_what_comes_after_the_change_has_the_colour_of_what_moved():
    moved = "var(--moved)"
    assert COLOURS["--moved"] not in signals(a_view(), SINCE, RAISED)
    assert moved in signals(a_view(), SINCE, RAISED)
    assert moved not in signals(a_view(), None, None)


def test_a_telephone_gets_a_narrow_picture():
    assert width(signals(a_view(), SINCE, RAISED, NARROW)) < width(signals(a_view(), SINCE, RAISED)) / 2 + 20


def test_a_distribution_has_a_pair_of_bars_for_each_bin_and_ticks_at_the_edges():
    (drawn,) = a_view().distributions
    svg = distribution(drawn)
    assert {"-1", "0", "1"} <= set(texts(svg))
    assert svg.count("fill: var(--usual)") == svg.count("fill: var(--now)") == len(drawn.reference)


@pytest.mark.parametrize("edges", [40, 3])
def test_of_many_edges_a_few_are_written(edges):
    (drawn,) = a_view().distributions
    many = replace(
        drawn,
        edges=[float(i) for i in range(edges)],
        reference=[1 / (edges + 1)] * (edges + 1),
        current=[1 / (edges + 1)] * (edges + 1),
    )
    written = [text for text in texts(distribution(many)) if "%" not in text]
    assert 2 <= len(written) <= 5


def test_no_name_in_a_picture_becomes_markup():
    plain, hostile = (signals(view, SINCE, RAISED) for view in (a_view(), filled(a_view())))
    assert_no_markup_comes_of(hostile, plain)
    assert f"amount{MARKUP}" in texts(hostile)
