"""What is told: an entity's anomalies of a while as one, a drift incident's phase as one; each under one key."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import msgspec
from msgspec import Struct

from models.words import quantity
from schemas.drift import DriftAlert
from schemas.scoring import Anomaly, Reason
from stream_app.notify.destinations import RANKS

WHOLE = 20  # anomalies of a message whose whole detail stands in it; of the others their ids


class Notification(Struct, frozen=True):
    """One message.

    Attributes:
        key: The same for the same message, however often it is sent: receivers drop what they have.
        kind: `anomaly.raised`, or `drift.` and the phase.
        at: When what it tells was published.
        severity: The highest of what it tells.
        sentence: For people.
        detail: Everything, as JSON.
    """

    key: str
    kind: str
    at: datetime
    severity: str
    sentence: str
    detail: dict[str, Any]


def of_anomalies(anomalies: Sequence[Anomaly]) -> Notification:
    """Of one entity, at least one, in the order of their log."""
    first, count = anomalies[0], len(anomalies)
    worst = max(anomalies, key=lambda anomaly: (RANKS[anomaly.severity.value], anomaly.score))
    head = f"{worst.severity}: {worst.model.name} finds"
    events = f"event {worst.event_id}" if count == 1 else f"{count} events, {worst.event_id} the strangest,"
    why = "; ".join(map(reason, worst.explanation))
    return Notification(
        key=first.anomaly_id,
        kind="anomaly.raised",
        at=first.scored_at,
        severity=worst.severity.value,
        sentence=f"{head} {events} of {worst.entity} anomalous: {why}",
        detail={
            "entity": first.entity,
            "count": count,
            "strangest": worst.anomaly_id,
            "anomalies": [msgspec.to_builtins(anomaly) for anomaly in anomalies[:WHOLE]],
            "more": [anomaly.anomaly_id for anomaly in anomalies[WHOLE:]],
        },
    )


def of_drift(alert: DriftAlert, at: datetime) -> Notification:
    """Of one phase of an incident."""
    return Notification(
        key=f"{alert.alert_id}:{alert.phase.value}",
        kind=f"drift.{alert.phase.value}",
        at=at,
        severity=alert.severity.value,
        sentence=f"{alert.severity}: drift under {alert.model.name} {alert.phase.value}: {alert.cause} {alert.action}",
        detail={"alert": msgspec.to_builtins(alert)},
    )


def of_a_test(name: str, at: datetime) -> Notification:
    """Tells a destination that it can be told."""
    sentence = f"info: a test of the destination {name} by `stream-app notify --test`: nothing has happened"
    return Notification(f"test:{name}:{at.timestamp():.6f}", "test", at, "info", sentence, {"destination": name})


def reason(reason: Reason) -> str:
    """One input's part, for people."""
    if reason.text:
        return f"{reason.feature} {reason.text}"
    value = "missing" if reason.value is None else quantity(reason.value, reason.unit)
    return f"{reason.feature} {value}, expected {quantity(reason.expected, reason.unit)}"
