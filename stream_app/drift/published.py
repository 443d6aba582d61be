"""The alerts on their topic: each incident by its newest phase, and when it was raised by the clock on the wall.

This is the only interpretation of `drift-alerts`: used by the page, the command line and the reports.
"""

from collections.abc import Iterable
from datetime import datetime

from msgspec import Struct

from schemas.drift import DriftAlert, DriftPhase
from schemas.scoring import ModelRef
from stream_app.kafka.log import Record
from stream_app.kafka.records import EARLIEST, RecordDecoder, is_plausible, moment_of

SERVES_NO_LONGER = "the model no longer serves"
_ORDER = list(DriftPhase)


class RaisedAlert(Struct, frozen=True):
    """An incident, and when it was raised: its alert's own times are event times.

    Attributes:
        alert: Its newest phase.
        at: When the first one reached the topic.
    """

    alert: DriftAlert
    at: datetime


class PublishedAlerts:
    """The incidents of the topic, as far as it has been read.

    Args:
        most: So many are remembered, the latest; None: all.
    """

    def __init__(self, most: int | None = None) -> None:
        self._most = most
        self._ids: set[str] = set()
        self._incidents: dict[str, RaisedAlert] = {}

    def post(self, alert: DriftAlert, at: datetime) -> None:
        """Take in the next alert with its Kafka timestamp. One that was published again counts once."""
        known = self._incidents.get(alert.alert_id)
        if known is None and alert.alert_id in self._ids:
            return  # one that has been forgotten
        self._ids.add(alert.alert_id)
        if known is None or _ORDER.index(alert.phase) >= _ORDER.index(known.alert.phase):
            self._incidents[alert.alert_id] = RaisedAlert(alert, at if known is None else known.at)
        if self._most is not None and len(self._incidents) > self._most:
            del self._incidents[next(iter(self._incidents))]

    @property
    def total(self) -> int:
        """How many incidents there were, those forgotten among them."""
        return len(self._ids)

    @property
    def incidents(self) -> list[RaisedAlert]:
        """In the order in which they were raised."""
        return list(self._incidents.values())


def published(records: Iterable[Record]) -> list[RaisedAlert]:
    """The incidents of these records; those that are no alerts, or of times that cannot be, are passed over."""
    decoder, found = RecordDecoder[DriftAlert](DriftAlert), PublishedAlerts()
    for record, alert in decoder.each(records):
        if is_plausible(alert.since) and is_plausible(alert.raised_at):
            found.post(alert, moment_of(record) or EARLIEST)
        else:
            decoder.refuse(record, f"a change from {alert.since} to {alert.raised_at} cannot be")
    return found.incidents


def ended(alert: DriftAlert, serving: ModelRef | None) -> str:
    """Why an incident is over; empty while it lasts.

    Args:
        alert: Its newest phase.
        serving: The model that serves; None where that is not known. What another one raised is over, though the
            aggregator closes it only when it sees that other one score nothing more.
    """
    if alert.phase is DriftPhase.OVER:
        return alert.over_because or "every signal is back where it was"
    return SERVES_NO_LONGER if serving is not None and alert.model.sha256 != serving.sha256 else ""
