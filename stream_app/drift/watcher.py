"""Assignments and records of the summaries' partition in, a replica that is whole before it is fed out.

Nothing that goes wrong here stops the stream: it is said in the log, and the replica is built anew.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Sequence

from schemas.drift import DriftAlert, DriftPhase
from stream_app.drift.replica import Replica
from stream_app.kafka.clients import BrokerError
from stream_app.metrics import Metrics

RETRY_S = 5.0
SHOW_S = 1.0  # distances of forty signals cost a millisecond

log = logging.getLogger(__name__)


class Watcher:
    """Owns the replica of this worker while it owns the partition. All methods are called from one event loop.

    Args:
        replica: Makes an empty one.
        metrics: Where alerts are counted, and the distances shown.
        clock: Monotonic, in seconds.
    """

    def __init__(
        self, replica: Callable[[], Replica], metrics: Metrics, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._make = replica
        self._metrics = metrics
        self._clock = clock
        self._replica: Replica | None = None
        self._whole: asyncio.Task[None] | None = None
        self._shown_at = -SHOW_S
        self._shown: set[str] = set()

    def begin(self) -> None:
        """The partition is ours: build the replica, beside the event loop."""
        self.end()
        self._whole = asyncio.create_task(self._rebuild(), name="drift-rebuild")

    def end(self) -> None:
        """It is ours no longer."""
        if self._replica is not None:
            self._replica.abandon()
        if self._whole is not None:
            self._whole.cancel()
        self._replica = self._whole = None
        self._metrics.drift_psi.clear()
        self._metrics.drift_distance.clear()
        self._shown = set()

    async def take(self, offset: int, value: bytes) -> None:
        """A record of the partition; returns once its alerts are published."""
        while self._whole is not None and not self._whole.done():  # it may be another one after the wait
            await asyncio.wait([self._whole])
        replica = self._replica
        if replica is None:
            return
        try:
            if alerts := replica.take(offset, value):
                await asyncio.to_thread(replica.publish, alerts)
            self._show(alerts)
        except Exception:
            log.exception("drift is not watched for a moment: rebuilding from the log")
            if self._replica is replica:
                self.begin()

    async def _rebuild(self) -> None:
        while True:
            replica = self._replica = self._make()
            try:
                self._show(await asyncio.to_thread(replica.rebuild))
                log.info("drift is watched here")
                return
            except BrokerError as error:
                log.warning("drift is not watched yet: %s", error)
            except Exception:
                log.exception("drift is not watched yet")
            await asyncio.sleep(RETRY_S)

    def _show(self, alerts: Sequence[DriftAlert]) -> None:
        for alert in alerts:
            log.warning("drift %s: %s %s", alert.phase, alert.cause, alert.action)
            if alert.phase is DriftPhase.RAISED:
                self._metrics.drift_alerts[alert.severity].inc()
        now = self._clock()
        if self._replica is None or now - self._shown_at < SHOW_S:
            return
        self._shown_at = now
        distances = self._replica.distances
        if distances.keys() != self._shown:
            self._metrics.drift_psi.clear()
            self._metrics.drift_distance.clear()
            self._shown = set(distances)
        for signal, distance in distances.items():
            self._metrics.drift_psi.labels(signal).set(distance.psi)
            for name, value in distance._asdict().items():
                self._metrics.drift_distance.labels(name, signal).set(value)
