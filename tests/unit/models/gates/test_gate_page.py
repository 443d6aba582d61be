"""The gates' page: what it says, and that no string of a report becomes markup."""

from datetime import UTC, datetime

import pytest
from msgspec.structs import replace

from models.gates import accuracy, shift, stability, volume
from models.gates.page import page
from models.gates.report import GateReport, Measure, judged, not_measured
from schemas.scoring import ModelRef
from tests.markup import Page, assert_no_markup_comes_of, filled
from tests.unit.models.gates.gate_sides import comparison, rows, scores, side

NOW = datetime(2026, 1, 3, 14, tzinfo=UTC)


@pytest.fixture(scope="module")
def compared():
    frame = rows().head(500)
    return comparison(side(scores(frame, 1)), side(scores(frame, 0)), frame)


@pytest.fixture(scope="module")
def report():
    gates = [
        judged(
            accuracy.NAME, accuracy.WHY, [Measure("loss of average precision", 0.1, most=0.05, interval=(0.0, 0.2))]
        ),
        judged(stability.NAME, stability.WHY, [Measure("CKA", 0.9, least=0.75)], "on 3 events"),
        judged(shift.NAME, shift.WHY, [Measure("PSI", None, most=0.25)]),
        not_measured(volume.NAME, volume.WHY, "too few alerts", passes=False),
    ]
    candidate, champion = (ModelRef("cards", version, version * 64) for version in "21")
    return GateReport(candidate, champion, NOW, NOW.date(), NOW.date(), 8000, 160, gates)


@pytest.fixture(scope="module")
def plain(report, compared):
    return page(report, compared)


def test_no_string_of_a_report_becomes_markup(report, compared, plain):
    assert_no_markup_comes_of(page(filled(report), compared), plain)


def test_no_name_of_a_measure_becomes_markup_in_the_plots(report, compared, plain):
    gates = [replace(gate, measures=filled(gate.measures)) for gate in report.gates]
    assert_no_markup_comes_of(page(replace(report, gates=gates), compared), plain)


def test_the_page_says_what_the_report_says(report, plain):
    text = Page(plain).text
    for gate in report.gates:
        assert all(str(measure) in text for measure in gate.measures)
        assert gate.why in text
    assert report.conclusion in text
    assert "8,000 events from 2026-01-03 to 2026-01-03" in text
    assert "160 of them frauds" in text
    assert "too few alerts; the limits refuse that" in text
    assert "Made 03 Jan 2026, 14:00 UTC" in text


def test_measures_that_break_their_limits_stand_out(plain):
    assert plain.count('<li class="far">') == 2  # the loss, and the PSI that could not be measured
