"""Anomalies, alerts and destinations to tell of and to."""

from datetime import UTC, datetime
from typing import Any

from schemas.drift import DriftAlert, DriftPhase, DriftSeverity, SignalShift, StatisticKind
from schemas.scoring import Anomaly, ModelRef, Reason, Severity, Source
from stream_app.notify.destinations import Destination

AT = datetime(2026, 11, 28, 12, tzinfo=UTC)
MODEL = ModelRef("card-fraud", "8", "8" * 64)


def anomaly(number: int = 0, entity: str = "596", severity: Severity = Severity.HIGH, **changes: Any) -> Anomaly:
    source = Source("transactions", 0, number, "id")
    reasons = [Reason("amount", 455.2, 158.0, 0.9, "EUR")]
    fields = {
        "anomaly_id": str(source),
        "event_id": f"e{number}",
        "entity": entity,
        "event_time": AT,
        "scored_at": AT,
        "score": 9.0 + number,
        "threshold": 5.0,
        "p_value": 0.001,
        "severity": severity,
        "explanation": reasons,
        "model": MODEL,
        "source": source,
    }
    return Anomaly(**{**fields, **changes})


def alert(severity: DriftSeverity = DriftSeverity.WARNING, signal: str = "input:amount") -> DriftAlert:
    shift = SignalShift(signal, StatisticKind.MEAN, 2.0, 0.0, 2.0, 0.3)
    texts = {"cause": "amount has doubled.", "action": "Ask the producer."}
    return DriftAlert(
        "drift:1", AT, AT, {"0": 7}, severity, [shift], **texts, retraining_helps=False, alert_rate_before=0.01,
        alert_rate_now=0.02, events_observed=9, model=MODEL, phase=DriftPhase.RAISED,
    )  # fmt: skip


def destination(**fields: Any) -> Destination:
    return Destination(**{"name": "case-tool", "url": "http://127.0.0.1:9/hook", **fields})
