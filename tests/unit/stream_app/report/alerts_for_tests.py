"""An alert as the aggregator would raise it: amounts in another unit."""

from datetime import UTC, datetime, timedelta

from schemas.drift import DriftAlert, DriftSeverity, SignalShift, StatisticKind
from schemas.scoring import ModelRef

SINCE = datetime(2026, 1, 3, 14, tzinfo=UTC)


def an_alert(alert_id: str = "drift:aaaaaaaaaaaa:482", **changed: object) -> DriftAlert:
    """Amounts twice as high; 1 % of the traffic alerted before, 4 % now."""
    told = {
        "raised_at": SINCE + timedelta(hours=4, minutes=20),
        "since": SINCE,
        "since_offsets": {"0": 1200, "1": 1207},
        "severity": DriftSeverity.CRITICAL,
        "signals": [
            SignalShift("input:amount", StatisticKind.MEAN, 1.8, 0.0, 1.8, 2.11),
            SignalShift("residual:amount", StatisticKind.SPREAD, 0.9, 0.0, 0.1, 0.42),
            SignalShift("input:terminal_risk_7d", StatisticKind.SHARE, 0.2, 0.0, 0.1, 0.05),
        ],
        "cause": "Broken, or in another unit: amount; no other input moved.",
        "action": "Check amount at its producer (unit, currency, default value), and repair it there.",
        "retraining_helps": False,
        "alert_rate_before": 0.01,
        "alert_rate_now": 0.04,
        "events_observed": 12_000,
        "model": ModelRef("card-fraud", "1", "a" * 64),
    }
    return DriftAlert(alert_id, **{**told, **changed})
