"""What an alert says to a person, and which alert is meant."""

from datetime import timedelta

import msgspec
import pytest

from schemas.drift import DriftPhase, IncidentSwap, SignalShift, StatisticKind
from schemas.scoring import ModelRef
from stream_app.drift.published import SERVES_NO_LONGER, RaisedAlert, ended, published
from stream_app.report.alerts import ReportError, choose
from stream_app.report.words import alert_rate, bar, duration, levels, retraining, shift_words, signal_name, to_do
from stream_app.testing.memory_cluster import MemoryMessage
from tests.unit.stream_app.report.alerts_for_tests import SINCE, an_alert


def incident(alert_id):
    return RaisedAlert(an_alert(alert_id), SINCE)


@pytest.mark.parametrize(
    ("signal", "name"),
    [
        ("input:amount", "amount"),
        ("residual:amount", "residual of amount"),
        ("latent:3", "latent 3"),
        ("score", "score"),
        ("dead_letters", "refused records"),
    ],
)
def test_signals_are_called_as_people_call_them(signal, name):
    assert signal_name(signal) == name


@pytest.mark.parametrize(
    ("signal", "detector", "shift", "words", "before_and_now"),
    [
        ("input:amount", StatisticKind.MEAN, 1.834, "+1.83 sd", "0.5 → 2.33"),
        ("input:amount", StatisticKind.SPREAD, 0.9, "spread +0.90", "0.5 → 2.33"),
        ("input:amount", StatisticKind.SPREAD, -0.25, "spread -0.25", "0.5 → 2.33"),
        ("input:amount", StatisticKind.SHARE, 0.2, "20.0% missing", ""),
        ("dead_letters", StatisticKind.SHARE, 0.31, "31.0% refused", ""),
    ],
)
def test_how_far_is_told_in_the_unit_of_the_detector(signal, detector, shift, words, before_and_now):
    moved = SignalShift(signal, detector, shift, 0.5, 2.33, 1.0)
    assert (shift_words(moved), levels(moved)) == (words, before_and_now)


def test_bars_share_one_scale_and_are_never_empty():
    assert bar(2.0, 2.0) == "█" * 16
    assert bar(-1.0, 2.0) == "█" * 8
    assert bar(0.001, 2.0) == "▏"


@pytest.mark.parametrize(
    ("minutes", "words"), [(0, "less than a minute"), (59, "59 min"), (260, "4 h 20 min"), (3000, "2 d 2 h")]
)
def test_a_duration_has_its_two_largest_units(minutes, words):
    assert duration(timedelta(minutes=minutes)) == words


def test_the_alert_rate_says_by_what_factor_it_moved():
    assert alert_rate(an_alert()) == "1.00% → 4.00%, 4.0 times as many alerts"
    assert alert_rate(an_alert(alert_rate_now=0.0101)) == "1.00% → 1.01%"
    assert alert_rate(an_alert(alert_rate_before=0.0)) == "0.00% → 4.00%"


def test_retraining_is_advised_only_where_it_is_a_remedy():
    assert retraining(an_alert()).startswith("would not help")
    assert retraining(an_alert(retraining_helps=True)).startswith("would help")


def test_an_alert_that_was_published_twice_counts_once_and_foreign_records_do_not():
    values = [msgspec.json.encode(an_alert("drift:a:1")), b"{", msgspec.json.encode(an_alert("drift:a:2"))]
    found = published(map(MemoryMessage, [*values, values[0], None]))
    assert [incident.alert.alert_id for incident in found] == ["drift:a:1", "drift:a:2"]


def test_an_incident_is_its_newest_phase_and_stands_where_and_when_it_was_raised():
    raised, over = an_alert("drift:a:1"), an_alert("drift:a:1", phase=DriftPhase.OVER)
    records = [(raised, 0), (an_alert("drift:a:2"), 1), (over, 2), (raised, 3)]
    found = published(MemoryMessage(msgspec.json.encode(a), at=SINCE + timedelta(hours=hour)) for a, hour in records)
    assert found[0] == RaisedAlert(over, SINCE)
    assert [incident.alert.alert_id for incident in found] == ["drift:a:1", "drift:a:2"]


def test_an_incident_is_over_where_its_model_no_longer_serves_whoever_says_so():
    lasting, other = an_alert(), ModelRef("card-fraud", "2", "b" * 64)
    assert [ended(lasting, serving) for serving in (lasting.model, None, other)] == ["", "", SERVES_NO_LONGER]
    assert ended(an_alert(phase=DriftPhase.OVER), lasting.model) == "every signal is back where it was"
    assert ended(an_alert(phase=DriftPhase.OVER, over_because=SERVES_NO_LONGER), None) == SERVES_NO_LONGER


def test_what_a_swap_began_is_ended_by_a_rollback_and_by_nothing_once_it_is_over():
    alert = an_alert(swap=IncidentSwap(SINCE, "root@host", ModelRef("card-fraud", "2", "b" * 64)))
    assert retraining(alert).startswith("would not help: the model that served before fits")
    assert to_do(alert, "") == alert.action
    assert to_do(alert, SERVES_NO_LONGER) == f"nothing more: {SERVES_NO_LONGER}"
    assert to_do(an_alert(), SERVES_NO_LONGER) == an_alert().action


def test_without_an_id_the_newest_is_meant():
    alerts = [incident("drift:a:1"), incident("drift:a:2")]
    assert choose(alerts, None) is alerts[1]
    assert choose(alerts, "drift:a:1") is alerts[0]


def test_an_unknown_id_says_which_there_are():
    with pytest.raises(ReportError, match=r"no drift alert drift:b:9: there are drift:a:2, drift:a:1$"):
        choose([incident("drift:a:1"), incident("drift:a:2")], "drift:b:9")
    with pytest.raises(ReportError, match=r"there are drift:a:9, .* and 2 older ones$"):
        choose([incident(f"drift:a:{i}") for i in range(10)], "drift:b:9")


def test_where_there_are_no_alerts_that_is_said():
    with pytest.raises(ReportError, match="there is no drift alert"):
        choose([], None)
