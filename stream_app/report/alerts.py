"""The choice of one incident among those published, by its id."""

from collections.abc import Sequence

from schemas.errors import UserError
from stream_app.drift.published import RaisedAlert

SHOWN_IDS = 8


class ReportError(UserError):
    """The report or explanation cannot be made; the message says why, and what to do."""


def choose(raised: Sequence[RaisedAlert], alert_id: str | None) -> RaisedAlert:
    """The incident with this id, or the newest.

    Raises:
        ReportError: there is none; the message lists the newest ids.
    """
    if not raised:
        raise ReportError("there is no drift alert: nothing has left the model's reference so far")
    if alert_id is None:
        return raised[-1]
    for incident in raised:
        if incident.alert.alert_id == alert_id:
            return incident
    newest = [incident.alert.alert_id for incident in reversed(raised[-SHOWN_IDS:])]
    more = f" and {len(raised) - len(newest)} older ones" if len(raised) > len(newest) else ""
    raise ReportError(f"there is no drift alert {alert_id}: there are {', '.join(newest)}{more}")
