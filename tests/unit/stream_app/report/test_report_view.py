"""What is drawn of an incident: the summaries of a small world in, the numbers behind the pictures out."""

import numpy as np
import pytest
from msgspec.structs import replace

from models.segments import manifest_at
from schemas.drift import DriftPhase
from stream_app.report import view
from stream_app.report.history import History
from stream_app.report.words import signal_name
from tests.unit.stream_app.drift.streams import (
    MANIFEST,
    SHA,
    aggregator,
    confirmed,
    doubled,
    event_time,
    fold,
    segmented,
    stream,
    stuck,
    summaries,
    world,
)

BEFORE, AFTER = 8192, 6144
CHANGE = event_time(BEFORE)


def history_of(log, block_events=256) -> History:
    history = History(block_events)
    for summary in log:
        history.add(summary)
    return history


@pytest.fixture(scope="module")
def log():
    return stream(BEFORE, AFTER, doubled, anomalies_after=0.05)


@pytest.fixture(scope="module")
def history(log):
    return history_of(log)


@pytest.fixture(scope="module")
def drawn(log, history):
    (alert,) = confirmed(log)
    return view.of_incident(alert, MANIFEST, history.blocks(SHA, event_time(0), event_time(BEFORE + AFTER), 1000))


def parts(drawn, trace):
    values = np.array(trace.values)
    late = np.array([time >= CHANGE for time in drawn.times])
    return values[~late].mean(), values[late].mean()


def test_a_signal_is_at_its_reference_before_the_change_and_away_after_it(drawn):
    (amount,) = [trace for trace in drawn.traces if (trace.title, trace.usual) == ("amount", 0.0)]
    before, after = parts(drawn, amount)
    assert before == pytest.approx(0, abs=0.1)
    assert after == pytest.approx(2 / 2**0.5, abs=0.2)  # 2 more, of a gamma whose standard deviation is the root of 2


def test_the_alert_rate_is_drawn_last_beside_its_budget(drawn):
    rate = drawn.traces[-1]
    assert (rate.title, rate.usual) == ("alert rate", 0.01)
    assert parts(drawn, rate) == (pytest.approx(0.01, abs=0.002), pytest.approx(0.05, abs=0.002))


def test_distributions_compare_the_reference_with_what_came_after_the_change(drawn):
    (amount,) = [shape for shape in drawn.distributions if shape.title == "amount"]
    assert sum(amount.reference) == pytest.approx(1) == sum(amount.current)
    assert amount.current[0] < amount.reference[0] / 3
    assert amount.current[-1] > amount.reference[-1] * 3
    assert amount.psi > 0.5


def test_an_incident_in_a_segment_is_drawn_from_the_segment_alone():
    country = np.where(np.arange(14 * 4096) % 25 == 0, "CH", "DE")
    manifest, label = segmented(country), "country=CH"
    rows, here = world(BEFORE + AFTER), np.arange(BEFORE + AFTER) % 25 == 0
    struck = np.flatnonzero(here & (np.arange(len(rows)) >= BEFORE))
    faulty = rows[struck]
    doubled(faulty)
    rows[struck] = faulty
    log = list(summaries(rows, segment_of=np.where(here, label, "country=DE")))
    _, alert, *_ = fold(log, aggregator(**{SHA: manifest}))
    assert alert.segment == label
    blocks = history_of(log, 16).blocks(SHA, event_time(0), event_time(BEFORE + AFTER), 1000, label)
    drawn = view.of_incident(alert, manifest_at(manifest, label), blocks)
    (residual,) = [t for t in drawn.traces if (t.title, t.usual) == (signal_name("residual:amount"), 0.0)]
    before, after = parts(drawn, residual)
    assert before == pytest.approx(0, abs=0.25)  # a few hundred transactions
    assert after == pytest.approx(-1.5 / 0.3, abs=0.5)  # the whole has a twenty-fifth of it
    assert drawn.events <= len(struck) + 256


def test_the_spread_of_a_field_that_is_stuck_is_drawn_as_none():
    log = stream(BEFORE, AFTER, stuck)
    alert = next(alert for alert in fold(log) if alert.phase is DriftPhase.CONFIRMED)
    alert = replace(alert, signals=[replace(alert.signals[0], signal="input:count", detector="spread")])
    blocks = history_of(log).blocks(SHA, event_time(0), event_time(BEFORE + AFTER), 1000)
    before, after = parts(drawn := view.of_incident(alert, MANIFEST, blocks), drawn.traces[0])
    assert before == pytest.approx(1, abs=0.1)
    assert after == pytest.approx(0, abs=1e-6)


def test_a_window_without_an_incident_shows_what_is_furthest_away():
    blocks = history_of(stream(2048, 2048, stuck)).blocks(SHA, event_time(2048), event_time(4096), 1000)
    assert "count" in view.of_window(MANIFEST, blocks).traces[0].title
