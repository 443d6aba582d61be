"""Alerts of the whole stream and of its segments in, those that people are told out: one incident for one change.

Whoever finds a change first tells it. What others find of the same change is a symptom, and silent; where the first was
a segment and the whole shows that it is not in there alone, the whole goes on with the incident under the same id.

What is in one segment is over by the measure of that segment: the whole, which has hardly shown it, is calm too soon.
"""

from collections.abc import Callable, Collection, Mapping

from msgspec.structs import replace

from schemas.drift import DriftAlert, DriftPhase
from stream_app.drift.incident import LATE_EVENTS, OVER_EVENTS
from stream_app.drift.standardise import field_of

WHOLE = ""

Finding = tuple[str, str]
"""An incident of one watch: the segment, and the watch's own id of it."""


class Told:
    """An incident that people know of.

    Args:
        finding: Whose alerts are told.
        alert: The first.
        seen: Watch to the transactions that it had seen then.

    Attributes:
        alert_id: Under which it is told.
        raised_at: When it was.
        fields: The inputs that it is about, as far as anybody has said.
        segments: Those that show it; empty for the whole.
        said: The last that was told.
        phases: Those that were.
        rests_at: How many transactions its segment had seen when the whole was calm; None: nobody was.
    """

    def __init__(self, finding: Finding, alert: DriftAlert, seen: Mapping[str, int]) -> None:
        self.finding = finding
        self.alert_id = alert.alert_id
        self.raised_at = alert.raised_at
        self.seen = seen
        self.fields: set[str] = set()
        self.segments: set[str] = set()
        self.said = alert
        self.phases: set[DriftPhase] = set()
        self.rests_at: int | None = None


class Symptoms:
    """The incidents of one model that are not over.

    Args:
        within: Whether nearly all that the whole has more than usual since an alert is in these segments.

    Attributes:
        resting: In one segment, and the whole is calm again: over if nothing more comes of it.
    """

    def __init__(self, within: Callable[[DriftAlert, Collection[str]], bool]) -> None:
        self._within = within
        self._of: dict[Finding, Told] = {}
        self.resting: list[Told] = []

    def update(self, segment: str, alert: DriftAlert, seen: Mapping[str, int]) -> DriftAlert | None:
        """Take the next alert of a watch.

        Args:
            segment: Its segment; empty: the whole.
            alert: What it says.
            seen: Watch to the transactions that it has seen.

        Returns:
            What people are told: the same under the incident's own id, or nothing.
        """
        finding = (segment, alert.alert_id)
        told = self._of.get(finding)
        if told is None:
            told = self._of[finding] = self._known(finding, alert, seen) or Told(finding, alert, seen)
        elif segment == WHOLE and told.finding != finding and told.finding in self._of:
            self._take_over(told, finding, alert)
        told.fields |= fields_of(alert)
        told.segments.add(segment)
        if alert.phase is DriftPhase.OVER:
            del self._of[finding]
        if told.finding != finding:
            return None
        return self._over(told, alert, seen) if alert.phase is DriftPhase.OVER else self._say(told, alert)

    def rested(self, seen: Mapping[str, int]) -> list[DriftAlert]:
        """The end of those of which nothing more has come."""
        done = [told for told in self.resting if seen[told.said.segment] - (told.rests_at or 0) >= OVER_EVENTS]
        self.resting = [told for told in self.resting if told not in done]
        return [told.said for told in done]

    def _say(self, told: Told, alert: DriftAlert) -> DriftAlert | None:
        """What the one who tells says, unless people know it already."""
        if alert.phase in told.phases:
            return None
        told.phases.add(alert.phase)
        told.said = replace(alert, alert_id=told.alert_id)
        return told.said

    def _over(self, told: Told, alert: DriftAlert, seen: Mapping[str, int]) -> DriftAlert | None:
        """The same of the end, unless it lasts where it is."""
        place = told.said.segment
        heir = next((finding for finding, other in self._of.items() if other is told and finding[0] == place), None)
        if heir is not None:
            told.finding = heir
            return None
        last = told.said if DriftPhase.CONFIRMED in told.phases else replace(alert, alert_id=told.alert_id)
        told.said = replace(
            last, phase=alert.phase, segment=place, raised_at=alert.raised_at, events_observed=alert.events_observed
        )
        if told.finding[0] == WHOLE and place != WHOLE:
            told.rests_at = seen[place]
            self.resting.append(told)
            return None
        return told.said

    def _known(self, finding: Finding, alert: DriftAlert, seen: Mapping[str, int]) -> Told | None:
        """The incident that this is a symptom of, or that it goes on with."""
        for told in dict.fromkeys(self._of.values()):
            if told.finding in self._of and self._same(told, finding[0], alert, seen):
                return told
        for told in self.resting:
            if alert.segment == told.said.segment and related(alert, told):
                self.resting.remove(told)
                told.finding = finding
                return told
        return None

    def _same(self, told: Told, segment: str, alert: DriftAlert, seen: Mapping[str, int]) -> bool:
        if alert.since <= told.raised_at:
            return True
        if segment == WHOLE and self._within(alert, told.segments):
            return True
        soon = seen[segment] - told.seen[segment] <= LATE_EVENTS
        return related(alert, told) and (soon or told.finding[0] == WHOLE)

    def _take_over(self, told: Told, finding: Finding, alert: DriftAlert) -> None:
        """The whole shows it too, once enough has been seen to say whether it is in these segments alone."""
        if alert.phase is DriftPhase.CONFIRMED and not self._within(alert, told.segments):
            told.finding = finding


def related(alert: DriftAlert, told: Told) -> bool:
    """Whether both are about the same inputs, as far as they are about any."""
    fields = fields_of(alert)
    return not (fields and told.fields) or not fields.isdisjoint(told.fields)


def fields_of(alert: DriftAlert) -> set[str]:
    """The inputs that an alert is about, by themselves or by their residuals."""
    return {field for shift in alert.signals if (field := field_of(shift.signal)) is not None}
