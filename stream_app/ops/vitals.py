"""The pipeline's snapshot as the figures that other workers' pages need."""

from datetime import datetime

from schemas.rollout import WorkerVitals
from stream_app.ops.health import Health
from stream_app.pipeline.progress import Snapshot
from stream_app.settings import Settings


def vitals(settings: Settings, snapshot: Snapshot, live: Health, started_at: datetime) -> WorkerVitals:
    """The figures of a snapshot. A worker that is not alive is not ready, and says why."""
    return WorkerVitals(
        started_at=started_at,
        web_url=f"http://{settings.web_host}:{settings.web_port}/",
        ready=snapshot.ready and live.ok,
        events_per_second=round(snapshot.events_per_second, 1),
        scored=snapshot.scored,
        anomalies=snapshot.anomalies,
        dead_lettered=snapshot.dead_lettered,
        latency_p50_ms=snapshot.latency_p50_ms,
        latency_p99_ms=snapshot.latency_p99_ms,
        partitions=list(snapshot.partitions),
        notices=list(snapshot.notices),
        state=snapshot.state if live.ok else live.sentence,
        alive=live.ok,
        refused_per_second=round(snapshot.refused_per_second, 1),
        volume=snapshot.volume,
        p_values=snapshot.p_values,
    )
