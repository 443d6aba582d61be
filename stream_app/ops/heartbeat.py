"""This worker's heartbeat on `model-status`: its vitals once an interval, and STOPPED when it leaves.

From these any worker's page, and `stream-app status`, show every worker.
"""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Protocol

from schemas.rollout import ModelStatus, Phase
from stream_app.ops.health import Health, Liveness
from stream_app.ops.vitals import vitals
from stream_app.pipeline.progress import Progress
from stream_app.settings import Settings

FAREWELL_S = 2.0


class HeartbeatSink(Protocol):
    """Takes heartbeats."""

    def heartbeat(self, status: ModelStatus) -> None:
        """To `model-status`, or nowhere if that is not possible now."""

    def close(self, timeout_s: float) -> None:
        """Wait for what is on its way."""


class Heartbeat:
    """Runs in a thread of its own: a busy pipeline or web server must not make a live worker look lost.

    Args:
        settings: How often, and under which name.
        progress: Written by the pipeline.
        liveness: Checked with each beat, so that it notices when a stall begins; a worker that is not alive is not
            ready.
        sink: Where to.
        now: Wall clock.
    """

    def __init__(
        self,
        settings: Settings,
        progress: Progress,
        liveness: Liveness,
        sink: HeartbeatSink,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._settings = settings
        self._progress = progress
        self._liveness = liveness
        self._sink = sink
        self._now = now
        self._started_at = now()

    def step(self) -> None:
        """One beat, and the wait until the next is due: after the interval, or when there is news."""
        self._progress.news.clear()
        self._publish(Phase.HEARTBEAT)
        self._progress.news.wait(self._settings.heartbeat_interval_s)

    def wake(self) -> None:
        """End the wait."""
        self._progress.news.set()

    def stopped(self) -> None:
        """Publish STOPPED, within `FAREWELL_S` even if the broker is gone."""
        self._publish(Phase.STOPPED)
        self._sink.close(FAREWELL_S)

    def _publish(self, phase: Phase) -> None:
        snapshot = self._progress.latest
        live = self._liveness.check() if phase is not Phase.STOPPED else Health(False, "It has stopped.")
        self._sink.heartbeat(
            ModelStatus(
                worker=self._settings.worker_name,
                phase=phase,
                at=self._now(),
                serving=snapshot.model,
                previous=snapshot.previous,
                candidate=snapshot.candidate,
                percent=snapshot.percent,
                command_id=snapshot.command_id,
                vitals=vitals(self._settings, snapshot, live, self._started_at),
            )
        )
