"""Which alert of which watch people are told: rule by rule, on alerts made by hand."""

from collections.abc import Collection
from datetime import timedelta

import pytest

from schemas.drift import DriftAlert, DriftPhase, DriftSeverity, SignalShift
from schemas.scoring import ModelRef
from stream_app.drift.correlator import WHOLE, IncidentCorrelator
from stream_app.drift.incident import LATE_EVENTS, OVER_EVENTS
from tests.unit.stream_app.drift.streams import SHA, START

RAISED, CONFIRMED, OVER = DriftPhase


def alert(
    name: str, phase: DriftPhase = RAISED, since: int = 0, field: str = "amount", segment: str = ""
) -> DriftAlert:
    """Raised an hour after it began, which was `since` hours after the beginning."""
    return DriftAlert(
        alert_id=name,
        raised_at=START + timedelta(hours=since + 1),
        since=START + timedelta(hours=since),
        since_offsets={"0": 0},
        severity=DriftSeverity.INFO,
        signals=[SignalShift(f"input:{field}", "mean", 0.5, 0.0, 0.5, 0.1)] if field else [],
        cause=f"{name} {phase}",
        action="",
        retraining_helps=False,
        alert_rate_before=0.01,
        alert_rate_now=0.01,
        events_observed=1,
        model=ModelRef("small", "1", SHA),
        phase=phase,
        segment=segment,
    )


class Teller:
    """What people are told, as id, phase and cause.

    Args:
        within: Segments in which nearly all of everything is.
    """

    def __init__(self, *within: str) -> None:
        self.correlator = IncidentCorrelator(lambda _, segments: bool(segments) and self.holds(segments))
        self.within = set(within)
        self.events = dict.fromkeys((WHOLE, "A", "B"), 0)

    def holds(self, segments: Collection[str]) -> bool:
        return bool(self.within & set(segments))

    def __call__(self, watch: str, said: DriftAlert) -> tuple[str, DriftPhase, str] | None:
        told = self.correlator.update(watch, said, dict(self.events))
        return None if told is None else (told.alert_id, told.phase, told.cause)

    def closed_after_rest(self) -> list[tuple[str, DriftPhase]]:
        return [(told.alert_id, told.phase) for told in self.correlator.closed_after_rest(self.events)]


def test_an_incident_is_told_by_whoever_found_it_to_its_end():
    tell = Teller()
    for phase in DriftPhase:
        expected = "a confirmed" if phase is OVER else f"a {phase}"
        assert tell("A", alert("a", phase, segment="A")) == ("a", phase, expected)


@pytest.mark.parametrize(("first", "second"), [(WHOLE, "A"), ("A", "B"), ("A", WHOLE)])
def test_what_began_before_an_incident_was_raised_is_its_symptom_whatever_it_is_about(first, second):
    tell = Teller()
    assert tell(first, alert("one")) is not None
    assert tell(second, alert("two", since=1, field="count")) is None
    assert tell(second, alert("two", OVER, since=1, field="count")) is None


@pytest.mark.parametrize(("first", "second"), [(WHOLE, "A"), ("A", "B"), ("A", WHOLE)])
def test_what_began_later_and_is_about_another_field_is_told(first, second):
    tell = Teller()
    tell(first, alert("one"))
    assert tell(second, alert("two", since=2, field="count")) is not None


@pytest.mark.parametrize("field", ["amount", ""])
def test_the_same_field_soon_after_is_a_symptom_and_later_only_of_what_is_everywhere(field):
    tell = Teller()
    tell("A", alert("one"))
    tell.events["B"] = LATE_EVENTS
    assert tell("B", alert("two", since=5, field=field)) is None
    tell.events["B"] = LATE_EVENTS + 1
    assert tell("B", alert("three", since=9, field=field)) is not None
    everywhere = Teller()
    everywhere(WHOLE, alert("one"))
    everywhere.events["B"] = 10 * LATE_EVENTS
    assert everywhere("B", alert("two", since=50, field=field)) is None


def test_what_the_whole_has_nearly_all_of_in_a_segment_is_that_segments_incident():
    tell = Teller("A")
    tell("A", alert("one", segment="A"))
    tell.events[WHOLE] = 10 * LATE_EVENTS
    assert tell(WHOLE, alert("two", since=5)) is None
    assert tell(WHOLE, alert("two", CONFIRMED, since=5)) is None
    assert tell("A", alert("one", CONFIRMED, segment="A")) == ("one", CONFIRMED, "one confirmed")


def test_an_incident_that_is_everywhere_goes_on_as_the_wholes_under_its_id():
    tell = Teller()
    tell("A", alert("one", segment="A"))
    assert tell(WHOLE, alert("two", since=1)) is None
    assert tell(WHOLE, alert("two", CONFIRMED, since=1)) == ("one", CONFIRMED, "two confirmed")
    assert tell("A", alert("one", CONFIRMED, segment="A")) is None
    assert tell("A", alert("one", OVER, segment="A")) is None
    assert tell(WHOLE, alert("two", OVER, since=1)) == ("one", OVER, "two confirmed")


def test_nothing_is_said_of_an_incident_after_its_end():
    tell = Teller()
    tell("A", alert("one", segment="A"))
    tell(WHOLE, alert("two", since=1))
    assert tell("A", alert("one", OVER, segment="A")) == ("one", OVER, "one over")
    assert tell(WHOLE, alert("two", CONFIRMED, since=1)) is None
    assert tell(WHOLE, alert("two", OVER, since=1)) is None


def test_what_the_whole_has_seen_in_a_segment_goes_on_with_the_segment():
    tell = Teller("A")
    tell(WHOLE, alert("one", segment="A"))
    assert tell("A", alert("two", segment="A")) is None
    assert tell(WHOLE, alert("one", OVER, segment="A")) is None
    assert tell("A", alert("two", CONFIRMED, segment="A")) == ("one", CONFIRMED, "two confirmed")
    assert tell("A", alert("two", OVER, segment="A")) == ("one", OVER, "two confirmed")


def test_while_the_whole_is_calm_an_incident_in_a_segment_rests_until_the_segment_has_shown_enough():
    tell = Teller("A")
    tell(WHOLE, alert("one", segment="A"))
    assert tell(WHOLE, alert("one", OVER, segment="A")) is None
    tell.events["A"] = OVER_EVENTS - 1
    assert tell.closed_after_rest() == []
    tell.events["A"] = OVER_EVENTS
    assert tell.closed_after_rest() == [("one", OVER)]
    assert tell.closed_after_rest() == []


@pytest.mark.parametrize(
    ("field", "where", "told"), [("amount", "A", None), ("count", "A", "two"), ("amount", "B", "two")]
)
def test_a_resting_incident_wakes_when_the_same_comes_back_where_it_was(field, where, told):
    tell = Teller("A", "B")
    tell(WHOLE, alert("one", segment="A"))
    tell(WHOLE, alert("one", OVER, segment="A"))
    said = tell(WHOLE, alert("two", since=5, field=field, segment=where))
    assert (said and said[0]) == told
    tell.events["A"] = OVER_EVENTS
    assert tell.closed_after_rest() == ([] if told is None else [("one", OVER)])
