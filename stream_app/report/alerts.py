"""Published drift alerts, oldest first, each once; and the choice of one by its id."""

from collections.abc import Iterable, Sequence

from schemas.drift import DriftAlert
from schemas.errors import UserError
from stream_app.kafka.log import Record
from stream_app.kafka.records import RecordDecoder, is_plausible

SHOWN_IDS = 8


class ReportError(UserError):
    """The report or explanation cannot be made; the message says why, and what to do."""


def published(records: Iterable[Record]) -> list[DriftAlert]:
    """The alerts of the topic. One that was published again (same id) counts once; foreign records are skipped."""
    decoder = RecordDecoder[DriftAlert](DriftAlert)
    found: dict[str, DriftAlert] = {}
    for record, alert in decoder.each(records):
        if is_plausible(alert.since) and is_plausible(alert.raised_at):
            found[alert.alert_id] = alert
        else:
            decoder.refuse(record, f"a change from {alert.since} to {alert.raised_at} cannot be")
    return list(found.values())


def choose(alerts: Sequence[DriftAlert], alert_id: str | None) -> DriftAlert:
    """The alert with this id, or the newest.

    Raises:
        ReportError: there is none; the message lists the newest ids.
    """
    if not alerts:
        raise ReportError("there is no drift alert: nothing has left the model's reference so far")
    if alert_id is None:
        return alerts[-1]
    for alert in alerts:
        if alert.alert_id == alert_id:
            return alert
    newest = [alert.alert_id for alert in reversed(alerts[-SHOWN_IDS:])]
    more = f" and {len(alerts) - len(newest)} older ones" if len(alerts) > len(newest) else ""
    raise ReportError(f"there is no drift alert {alert_id}: there are {', '.join(newest)}{more}")
