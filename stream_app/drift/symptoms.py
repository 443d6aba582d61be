"""Alerts of the whole stream and of its segments in, those that people are told out: one incident for one change.

Whoever finds a change first tells it. What others find of the same change is a symptom, and silent; where the first was
a segment and the whole shows that it is not in there alone, the whole goes on with the incident under the same id.
"""

from collections.abc import Callable, Collection, Mapping

from msgspec.structs import replace

from schemas.drift import DriftAlert, DriftPhase
from stream_app.drift.incident import LATE_EVENTS
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
        confirmed: It has been.
    """

    def __init__(self, finding: Finding, alert: DriftAlert, seen: Mapping[str, int]) -> None:
        self.finding = finding
        self.alert_id = alert.alert_id
        self.raised_at = alert.raised_at
        self.seen = seen
        self.fields: set[str] = set()
        self.segments: set[str] = set()
        self.said = alert
        self.confirmed = False


class Symptoms:
    """The incidents of one model that are not over.

    Args:
        within: Whether nearly all that the whole has more than usual since an alert is in these segments.
    """

    def __init__(self, within: Callable[[DriftAlert, Collection[str]], bool]) -> None:
        self._within = within
        self._of: dict[Finding, Told] = {}

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
            told = self._of[finding] = self._known(segment, alert, seen) or Told(finding, alert, seen)
        elif segment == WHOLE and told.finding != finding and told.finding in self._of:
            self._take_over(told, finding, alert)
        told.fields |= fields_of(alert)
        told.segments.add(segment)
        if alert.phase is DriftPhase.OVER:
            del self._of[finding]
        return self._say(told, alert) if told.finding == finding else None

    def _say(self, told: Told, alert: DriftAlert) -> DriftAlert | None:
        """What the one who tells says, unless people know it already, or it lasts where it is."""
        if alert.phase is DriftPhase.OVER:
            heir = next((f for f, other in self._of.items() if other is told and f[0] == told.said.segment), None)
            told.finding = heir or told.finding
            last = told.said if told.confirmed else alert
            over = replace(last, phase=alert.phase, raised_at=alert.raised_at, events_observed=alert.events_observed)
            return replace(over, alert_id=told.alert_id) if heir is None else None
        if told.confirmed and alert.phase is DriftPhase.CONFIRMED:
            return None
        told.confirmed |= alert.phase is DriftPhase.CONFIRMED
        told.said = replace(alert, alert_id=told.alert_id)
        return told.said

    def _known(self, segment: str, alert: DriftAlert, seen: Mapping[str, int]) -> Told | None:
        """The open incident that this is a symptom of."""
        for told in dict.fromkeys(self._of.values()):
            if told.finding in self._of and self._same(told, segment, alert, seen):
                return told
        return None

    def _same(self, told: Told, segment: str, alert: DriftAlert, seen: Mapping[str, int]) -> bool:
        if alert.since <= told.raised_at:
            return True
        if segment == WHOLE and self._within(alert, told.segments):
            return True
        fields = fields_of(alert)
        related = not (fields and told.fields) or not fields.isdisjoint(told.fields)
        soon = seen[segment] - told.seen[segment] <= LATE_EVENTS
        return related and (soon or told.finding[0] == WHOLE)

    def _take_over(self, told: Told, finding: Finding, alert: DriftAlert) -> None:
        """The whole shows it too, once enough has been seen to say whether it is in these segments alone."""
        if alert.phase is DriftPhase.CONFIRMED and not self._within(alert, told.segments):
            told.finding = finding


def fields_of(alert: DriftAlert) -> set[str]:
    """The inputs that an alert is about, by themselves or by their residuals."""
    return {field for shift in alert.signals if (field := field_of(shift.signal)) is not None}
