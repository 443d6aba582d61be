"""Heartbeats of all workers become what a chart can draw: throughput, lag and latency of the group, over minutes."""

from collections import deque
from datetime import datetime

from msgspec import Struct

from schemas.rollout import ModelStatus, Phase, WorkerVitals

STEP_S = 2.0
POINTS = 300


class Point(Struct, frozen=True, array_like=True):
    """The group at one moment.

    Attributes:
        at: Unix seconds.
        events_per_second: Sum over the live workers.
        lag: Sum over their partitions, records.
        latency_p50_ms: Of the slowest worker; None when all are quiet.
        latency_p99_ms: Likewise.
    """

    at: float
    events_per_second: float
    lag: int
    latency_p50_ms: float | None
    latency_p99_ms: float | None


class Series:
    """One point each `STEP_S`, made of each worker's newest heartbeat unless that is older than `lost_after_s`.

    Steps in which nobody was heard have no point: the chart shows a gap, never a straight line through an outage.
    """

    def __init__(self, lost_after_s: float) -> None:
        self._lost_after = lost_after_s
        self._newest: dict[str, tuple[float, WorkerVitals]] = {}
        self._step: int | None = None
        self.points: deque[Point] = deque(maxlen=POINTS)

    def observe(self, status: ModelStatus, heard_at: datetime) -> None:
        """Take in a status record; others than heartbeats and farewells carry no figures and are passed over."""
        step = int(heard_at.timestamp() // STEP_S)
        if self._step is not None and step > self._step:
            self._close((self._step + 1) * STEP_S)
        self._step = step if self._step is None else max(step, self._step)
        if status.phase is Phase.STOPPED:
            self._newest.pop(status.worker, None)
        elif status.vitals is not None:
            self._newest[status.worker] = (heard_at.timestamp(), status.vitals)

    def _close(self, end: float) -> None:
        self._newest = {w: seen for w, seen in self._newest.items() if seen[0] > end - self._lost_after}
        if self._newest:
            self.points.append(group_point(end, [vitals for _, vitals in self._newest.values()]))


def group_point(at: float, vitals: list[WorkerVitals]) -> Point:
    """Sum what adds up, and take latencies from the slowest worker."""
    return Point(
        at=at,
        events_per_second=round(sum(v.events_per_second for v in vitals), 1),
        lag=sum(entry.lag for v in vitals for entry in v.partitions),
        latency_p50_ms=max((v.latency_p50_ms for v in vitals if v.latency_p50_ms is not None), default=None),
        latency_p99_ms=max((v.latency_p99_ms for v in vitals if v.latency_p99_ms is not None), default=None),
    )
