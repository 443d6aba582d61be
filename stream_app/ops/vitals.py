"""The pipeline's snapshot as the figures that other workers' pages need."""

from datetime import datetime

from schemas.rollout import WorkerVitals
from stream_app.pipeline.progress import Snapshot
from stream_app.settings import Settings


def vitals(settings: Settings, snapshot: Snapshot, ready: bool, started_at: datetime) -> WorkerVitals:
    """The figures of a snapshot, as other workers' pages need them."""
    return WorkerVitals(
        started_at=started_at,
        web_url=f"http://{settings.web_host}:{settings.web_port}/",
        ready=ready,
        events_per_second=round(snapshot.events_per_second, 1),
        scored=snapshot.scored,
        anomalies=snapshot.anomalies,
        dead_lettered=snapshot.dead_lettered,
        latency_p50_ms=snapshot.latency_p50_ms,
        latency_p99_ms=snapshot.latency_p99_ms,
        partitions=list(snapshot.partitions),
        notices=list(snapshot.notices),
    )
