"""This worker's pulse on `model-status`: its vitals once an interval, and STOPPED when it leaves.

From these any worker's page, and `stream-app status`, show every worker.
"""

import threading
from collections.abc import Callable
from datetime import UTC, datetime

import msgspec

from schemas.rollout import ModelStatus, Phase
from schemas.topics import MODEL_STATUS
from stream_app.kafka import clients, topics
from stream_app.ops.health import Liveness
from stream_app.ops.vitals import vitals
from stream_app.pipeline.progress import Progress
from stream_app.settings import Settings

FAREWELL_S = 2.0


class Heartbeat:
    """Publishes from a thread of its own: a busy pipeline or web server must not make a live worker look lost.

    Nothing is lost with a heartbeat, so none is kept for long: one that cannot be delivered in time is dropped.

    Args:
        settings: Where to, how often, and under which name.
        progress: Written by the pipeline.
        liveness: Checked with each beat, so that it notices when a stall begins; who is not alive is not ready.
        now: Wall clock.
    """

    def __init__(
        self,
        settings: Settings,
        progress: Progress,
        liveness: Liveness,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._settings = settings
        self._progress = progress
        self._liveness = liveness
        self._now = now
        self._started_at = now()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="heartbeat", daemon=True)

    def start(self) -> None:
        """Begin; returns at once."""
        self._thread.start()

    def stop(self) -> None:
        """Say STOPPED and end, within about `FAREWELL_S` even if the broker is gone."""
        self._stopping.set()
        self._progress.news.set()
        if self._thread.is_alive():
            self._thread.join(FAREWELL_S + 1)

    def _run(self) -> None:
        # Not idempotent: that kind of producer can fail for good, and a beat that comes twice or late does no harm.
        patience_ms = int(self._settings.worker_lost_after_s * 1000)
        producer = clients.producer(
            self._settings, **{"message.timeout.ms": patience_ms, "enable.idempotence": False, "linger.ms": 0}
        )
        topic = topics.name(self._settings, MODEL_STATUS)
        key = self._settings.worker_name.encode()
        while not self._stopping.is_set():
            self._progress.news.clear()
            self._publish(producer.produce, topic, key, Phase.HEARTBEAT)
            producer.poll(0)
            self._progress.news.wait(self._settings.heartbeat_interval_s)
        self._publish(producer.produce, topic, key, Phase.STOPPED)
        producer.flush(FAREWELL_S)

    def _publish(self, produce: Callable[..., None], topic: str, key: bytes, phase: Phase) -> None:
        snapshot = self._progress.latest
        ready = snapshot.ready and self._liveness.check().ok and phase is not Phase.STOPPED
        status = ModelStatus(
            worker=self._settings.worker_name,
            phase=phase,
            at=self._now(),
            serving=snapshot.model,
            previous=snapshot.previous,
            candidate=snapshot.candidate,
            percent=snapshot.percent,
            command_id=snapshot.command_id,
            vitals=vitals(self._settings, snapshot, ready, self._started_at),
        )
        try:
            produce(topic, key=key, value=msgspec.json.encode(status))
        except BufferError:
            return  # the broker is away and the queue is full of beats that nobody needs any more
