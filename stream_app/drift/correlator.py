"""Merges alerts of the whole stream and of its segments, so that one change is published as one incident.

The monitor that finds a change first leads its incident. Alerts of other monitors about the same change are symptoms,
and are not published. If a segment led and the whole shows that the change is not confined to segments, the whole takes
over under the same id.

An incident in one segment ends by the measure of that segment: the whole, which hardly shows it, is calm too soon.
"""

from collections.abc import Callable, Collection, Mapping

from msgspec.structs import replace

from schemas.drift import DriftAlert, DriftPhase
from stream_app.drift.incident import LATE_EVENTS, OVER_EVENTS
from stream_app.drift.standardise import field_of

WHOLE = ""

Source = tuple[str, str]
"""An incident of one monitor: the segment, and the monitor's own id of it."""


class OpenIncident:
    """An incident that has been published and is not over.

    Attributes:
        source: The monitor's incident that leads: its alerts are published.
        alert_id: Id under which it is published.
        raised_at: When it was raised.
        seen: Monitor to the events that it had seen then.
        fields: Inputs that its alerts have named so far.
        segments: Segments that show it; empty for the whole.
        last_alert: The last alert published.
        phases: Phases published so far.
        rests_at: Events that its segment had seen when the whole was calm again; None: not yet.
    """

    def __init__(self, source: Source, alert: DriftAlert, seen: Mapping[str, int]) -> None:
        self.source = source
        self.alert_id = alert.alert_id
        self.raised_at = alert.raised_at
        self.seen = seen
        self.fields: set[str] = set()
        self.segments: set[str] = set()
        self.last_alert = alert
        self.phases: set[DriftPhase] = set()
        self.rests_at: int | None = None


class IncidentCorrelator:
    """The open incidents of one model.

    Args:
        within: Whether nearly all that the whole has more than usual since an alert is in these segments.

    Attributes:
        cooling_down: Incidents in one segment that are calm in the whole: over unless more comes of them.
    """

    def __init__(self, within: Callable[[DriftAlert, Collection[str]], bool]) -> None:
        self._within = within
        self._of: dict[Source, OpenIncident] = {}
        self.cooling_down: list[OpenIncident] = []

    def update(self, segment: str, alert: DriftAlert, seen: Mapping[str, int]) -> DriftAlert | None:
        """Take the next alert of a monitor, and return it under the incident's own id if it is to be published.

        Args:
            segment: The monitor's segment; empty: the whole.
            alert: Its alert.
            seen: Monitor to the events that it has seen.
        """
        source = (segment, alert.alert_id)
        incident = self._of.get(source)
        if incident is None:
            incident = self._of[source] = self._known(source, alert, seen) or OpenIncident(source, alert, seen)
        elif segment == WHOLE and incident.source != source and incident.source in self._of:
            self._take_over(incident, source, alert)
        incident.fields |= fields_of(alert)
        incident.segments.add(segment)
        if alert.phase is DriftPhase.OVER:
            del self._of[source]
        if incident.source != source:
            return None
        return (
            self._over(incident, alert, seen) if alert.phase is DriftPhase.OVER else self._phase_alert(incident, alert)
        )

    @property
    def open_alerts(self) -> list[DriftAlert]:
        """The latest published alert of each incident that is not over."""
        led = [incident for incident in dict.fromkeys(self._of.values()) if incident.source in self._of]
        return [incident.last_alert for incident in led + self.cooling_down]

    def closed_after_rest(self, seen: Mapping[str, int]) -> list[DriftAlert]:
        """The last alerts of incidents that have rested for long enough."""
        done = [
            incident
            for incident in self.cooling_down
            if seen[incident.last_alert.segment] - (incident.rests_at or 0) >= OVER_EVENTS
        ]
        self.cooling_down = [incident for incident in self.cooling_down if incident not in done]
        return [incident.last_alert for incident in done]

    def _phase_alert(self, incident: OpenIncident, alert: DriftAlert) -> DriftAlert | None:
        """The alert of the leading monitor, unless its phase was published already."""
        if alert.phase in incident.phases:
            return None
        incident.phases.add(alert.phase)
        incident.last_alert = replace(alert, alert_id=incident.alert_id)
        return incident.last_alert

    def _over(self, incident: OpenIncident, alert: DriftAlert, seen: Mapping[str, int]) -> DriftAlert | None:
        """The end of the incident, unless its segment still shows it."""
        place = incident.last_alert.segment
        heir = next((source for source, other in self._of.items() if other is incident and source[0] == place), None)
        if heir is not None:
            incident.source = heir
            return None
        last = (
            incident.last_alert
            if DriftPhase.CONFIRMED in incident.phases
            else replace(alert, alert_id=incident.alert_id)
        )
        incident.last_alert = replace(
            last, phase=alert.phase, segment=place, raised_at=alert.raised_at, events_observed=alert.events_observed
        )
        if incident.source[0] == WHOLE and place != WHOLE:
            incident.rests_at = seen[place]
            self.cooling_down.append(incident)
            return None
        return incident.last_alert

    def _known(self, source: Source, alert: DriftAlert, seen: Mapping[str, int]) -> OpenIncident | None:
        """The open incident that an alert is a symptom or the continuation of."""
        for incident in dict.fromkeys(self._of.values()):
            if incident.source in self._of and self._same(incident, source[0], alert, seen):
                return incident
        for incident in self.cooling_down:
            if alert.segment == incident.last_alert.segment and related(alert, incident):
                self.cooling_down.remove(incident)
                incident.source = source
                return incident
        return None

    def _same(self, incident: OpenIncident, segment: str, alert: DriftAlert, seen: Mapping[str, int]) -> bool:
        if alert.since <= incident.raised_at:
            return True
        if segment == WHOLE and self._within(alert, incident.segments):
            return True
        soon = seen[segment] - incident.seen[segment] <= LATE_EVENTS
        return related(alert, incident) and (soon or incident.source[0] == WHOLE)

    def _take_over(self, incident: OpenIncident, source: Source, alert: DriftAlert) -> None:
        """Let the whole lead once a confirmed alert shows that the change is not in these segments alone."""
        if alert.phase is DriftPhase.CONFIRMED and not self._within(alert, incident.segments):
            incident.source = source


def related(alert: DriftAlert, incident: OpenIncident) -> bool:
    """Whether an alert and an incident share an input; true if either names none."""
    fields = fields_of(alert)
    return not (fields and incident.fields) or not fields.isdisjoint(incident.fields)


def fields_of(alert: DriftAlert) -> set[str]:
    """The inputs that an alert is about, directly or by their residuals."""
    return {field for shift in alert.signals if (field := field_of(shift.signal)) is not None}
