"""The alerts that were published, oldest first, each once; and one of them by its id."""

from collections.abc import Iterable, Sequence
from typing import Protocol

import msgspec

from schemas.drift import DriftAlert
from schemas.errors import UserError

SHOWN_IDS = 8


class ReportError(UserError):
    """What was asked for cannot be told; the message says why, and what to do."""


class Message(Protocol):
    """What is asked of a Kafka message."""

    def value(self) -> bytes | None:
        """The encoded record."""


def published(messages: Iterable[Message]) -> list[DriftAlert]:
    """The alerts of the topic. One that was published again (same id) counts once; what is none is passed over."""
    decode = msgspec.json.Decoder(DriftAlert).decode
    found: dict[str, DriftAlert] = {}
    for message in messages:
        try:
            alert = decode(message.value() or b"")
        except (msgspec.DecodeError, UnicodeDecodeError):
            continue
        found[alert.alert_id] = alert
    return list(found.values())


def choose(alerts: Sequence[DriftAlert], alert_id: str | None) -> DriftAlert:
    """The alert with this id; the newest without.

    Raises:
        ReportError: there is none, with the ids that there are.
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
