"""One realistic record of every struct; records that a part of the product computes are computed by it."""

from datetime import UTC, datetime

import msgspec
import numpy as np

from schemas.comparison import TAIL, Comparison, GuardReport, Pairs
from schemas.drift import DriftAlert, DriftSummary, IncidentSwap
from schemas.rollout import (
    Abort,
    Activate,
    AuditRecord,
    Canary,
    Freeze,
    ModelStatus,
    PartitionProgress,
    Phase,
    Promote,
    Rollback,
    Shadow,
    Stage,
    StagePurpose,
    Unfreeze,
    WorkerVitals,
)
from schemas.scoring import (
    Anomaly,
    DeadLetter,
    Label,
    Latent,
    ModelRef,
    Reason,
    Redelivered,
    Score,
    Severity,
    Source,
    Usual,
)
from stream_app.pipeline.comparison_counter import LEVELS
from stream_app.pipeline.decode import Decoder
from stream_app.rollout.guard.guard import Guard
from stream_app.settings import Settings
from tests.unit.stream_app.drift.streams import doubled, fold, stream, summaries, world
from tests.unit.stream_app.pipeline.rows import DEFINITION, raw

AT = datetime(2018, 7, 25, 0, 0, 31, tzinfo=UTC)
MODEL = ModelRef("card-fraud", "7", "ab" * 32)
SOURCE = Source("transactions", 3, 118204)
COMMAND = {"command_id": "c-1", "issuer": "ada", "issued_at": AT, "expires_at": AT, "reason": "weekly retraining"}

COMPARISON = Comparison(
    trial_id="c-1",
    worker="host-6066",
    champion=MODEL.sha256,
    candidate="cd" * 32,
    rows=1000,
    errors=1,
    skipped=0,
    decided=50,
    alerts=Pairs(10, 1, 3),
    levels=list(LEVELS),
    exceedances=[Pairs(90, 5, 7)] * len(LEVELS),
    tail_shift=[0] * len(TAIL),
    similarities=[0.91],
    champion_seconds=0.001,
    candidate_seconds=0.002,
)


def guard_report() -> GuardReport:
    """What the guard makes of the comparison."""
    guard = Guard(Settings())
    guard.read(COMPARISON)
    report = guard.report(COMPARISON.trial_id)
    assert report is not None
    return report


def drift_records() -> tuple[DriftSummary, DriftAlert]:
    """The last summary of a stream in which amounts change their unit, and the alert that it raises."""
    log = stream(4096, 1024, doubled)
    began = IncidentSwap(AT, "ada@host", MODEL)
    alert = msgspec.structs.replace(fold(log)[0], swap=began, over_because="the model no longer serves")
    segmented = summaries(world(64), segment_of=np.array(["currency=USD", ""] * 32))
    summary = msgspec.structs.replace(
        next(segmented), candidate_sha256="cd" * 32, candidate_decided=10, candidate_anomalies=1
    )
    return summary, alert


DRIFT_SUMMARY, DRIFT_ALERT = drift_records()
REFUSED = Decoder(DEFINITION, record_max_bytes=1024)(raw(b"\xff")).refused[0]

EXAMPLES = [
    Anomaly(
        anomaly_id=str(SOURCE),
        event_id="4782313",
        entity="596",
        event_time=AT,
        scored_at=AT,
        score=41.7,
        threshold=12.9,
        p_value=0.0007,
        severity=Severity.HIGH,
        explanation=[
            Reason("terminal_risk_7d", 0.62, 0.01, 0.71, "share", Usual(0.0, 0.02, "30d")),
            Reason("customer_avg_amount_7d", None, 51.2, 0.1),
        ],
        model=MODEL,
        source=SOURCE,
        fields={"amount": 57.16, "terminal.id": 3156, "currency": "EUR", "online": False},
    ),
    Score("4782313", "596", AT, 1.25, MODEL.sha256, SOURCE),
    Latent("4782313", "596", AT, [0.5, -1.25], MODEL.sha256, SOURCE),
    DeadLetter(
        dead_letter_id=str(SOURCE),
        code=REFUSED.code,
        reason=REFUSED.sentence,
        source=SOURCE,
        produced_at=AT,
        refused_at=AT,
        key=None,
        value=b"\xff",
        value_size=1,
        headers=[("trace", b"\x01")],
    ),
    Redelivered(AT, "ann@ops-1", "the amount is there by now", {"transactions:0": "5-120,130"}),
    Label("4782313", True, AT, 2, "case tool", entity="596", event_time=AT, entities={"terminal_id": "3156"}),
    DRIFT_SUMMARY,
    DRIFT_ALERT,
    Stage(uri="models/card-fraud-7.pt", model=MODEL, **COMMAND),
    Activate(stage_id="c-1", **COMMAND),
    Abort(stage_id="c-1", **COMMAND),
    Stage(uri="models/card-fraud-8.pt", model=MODEL, role=StagePurpose.CANARY, percent=5.0, **COMMAND),
    Shadow(stage_id="c-1", **COMMAND),
    Canary(stage_id="c-1", percent=12.5, **COMMAND),
    Promote(stage_id="c-1", automatic=True, **COMMAND),
    Rollback(**COMMAND),
    Rollback(to=MODEL.sha256, automatic=True, **COMMAND),
    Freeze(**COMMAND),
    Unfreeze(**COMMAND),
    COMPARISON,
    ModelStatus(worker="host-6066", phase=Phase.GUARD, at=AT, guard=guard_report()),
    ModelStatus(
        worker="host-6066",
        phase=Phase.APPLIED,
        at=AT,
        serving=MODEL,
        candidate=MODEL,
        percent=5.0,
        command_id="c-1",
        barriers={"3": 118_204},
        vitals=WorkerVitals(
            started_at=AT,
            web_url="http://127.0.0.1:6066",
            ready=True,
            events_per_second=60_000.0,
            scored=118_203,
            anomalies=120,
            dead_lettered=1,
            latency_p50_ms=61.0,
            latency_p99_ms=None,
            partitions=[PartitionProgress(3, 118_204, 12)],
        ),
    ),
    AuditRecord("c-1:1", AT, "ada", "stage", "card-fraud 7", "weekly retraining", "staged on 2 workers", "c-1"),
]
