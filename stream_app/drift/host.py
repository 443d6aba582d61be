"""Hosts the aggregator while this worker owns the summaries' partition: rebuilds it from the log, publishes its alerts.

The state is never stored. A new owner folds the whole log, publishes the alerts that an owner before it raised but did
not live to publish, and goes on with what Faust delivers. Errors here never stop the stream: they are logged, and the
state is built anew.
"""

import asyncio
import logging
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence

import msgspec

from models.distances import Distances
from models.manifest import Manifest
from schemas.drift import DriftAlert, DriftPhase, DriftSummary
from schemas.topics import DRIFT_ALERTS, DRIFT_SUMMARIES
from stream_app.drift.aggregator import Aggregator
from stream_app.drift.foreign import ForeignSummaryError
from stream_app.kafka import clients, topics
from stream_app.kafka.log import read_to_end
from stream_app.kafka.records import RecordDecoder, Unreadable
from stream_app.metrics import Metrics
from stream_app.rollout.swap_log import Swap
from stream_app.settings import Settings

PUBLISH_S = 10.0
RETRY_S = 5.0
LOOK_S = 0.05
SHOW_S = 1.0  # distances of forty signals cost a millisecond

log = logging.getLogger(__name__)


class Replica:
    """One owner's copy of the aggregator over the real topics. Its methods block: run them beside the event loop."""

    def __init__(
        self,
        settings: Settings,
        reference: Callable[[str], Manifest | None],
        skipped: Callable[[str], object] = lambda _: None,
        swap_to: Callable[[str], Swap | None] = lambda _: None,
    ) -> None:
        self._settings = settings
        self._aggregator = Aggregator(settings, reference, swap_to)
        self._summaries = RecordDecoder[DriftSummary](DriftSummary, skipped)
        self._alerts = RecordDecoder[DriftAlert](DriftAlert, skipped)
        self._next = 0
        self._abandoned = threading.Event()

    def rebuild(self) -> list[DriftAlert]:
        """Fold the log to its end, and publish the alerts that `drift-alerts` does not hold yet.

        Incidents there that the log does not reach back to are over: nothing else would end them.

        Returns:
            The alerts published.

        Raises:
            BrokerError: the topics cannot be read, or do not take the alerts.
        """
        # Read before the log: what an owner before this one raises meanwhile is not taken for one without a log
        published = {alert.alert_id: alert for alert in self._published()}
        raised: list[DriftAlert] = []
        for message in read_to_end(self._settings, DRIFT_SUMMARIES):
            if self._abandoned.is_set():
                return []
            raised += self.take(message.offset() or 0, message.value())
        lasting = (alert for alert in published.values() if alert.phase is not DriftPhase.OVER)
        raised += self._aggregator.orphans(lasting, raised)
        if not raised:
            return []
        known = {(alert.alert_id, alert.phase) for alert in self._published()}
        missed = [alert for alert in raised if (alert.alert_id, alert.phase) not in known]
        self.publish(missed)
        return missed

    def take(self, offset: int, value: bytes | None) -> list[DriftAlert]:
        """Fold the next record of the log, and return the alerts to publish.

        A record that was folded before, or is no summary, changes nothing.
        """
        if offset < self._next or self._abandoned.is_set():
            return []
        self._next = offset + 1
        summary = self._summaries.decoded(value)
        if isinstance(summary, Unreadable):
            return self._refuse(offset, summary.reason)
        try:
            return self._aggregator.update(summary, offset)
        except ForeignSummaryError as error:
            return self._refuse(offset, str(error))

    def _refuse(self, offset: int, reason: str) -> list[DriftAlert]:
        self._summaries.refuse_at(topics.name(self._settings, DRIFT_SUMMARIES), 0, offset, reason)
        return []

    def publish(self, alerts: Sequence[DriftAlert]) -> None:
        """Write alerts and wait for the broker's acknowledgement.

        Raises:
            BrokerError: not acknowledged in time.
        """
        if not alerts or self._abandoned.is_set():
            return
        name = topics.name(self._settings, DRIFT_ALERTS)
        properties = {"linger.ms": 0, "message.timeout.ms": int(PUBLISH_S * 1000)}
        producer = clients.producer(self._settings, **clients.small_writer(self._settings), **properties)
        errors: list[str] = []
        for alert in alerts:
            producer.produce(
                name,
                key=alert.signals[0].signal.encode() if alert.signals else None,
                value=msgspec.json.encode(alert),
                on_delivery=lambda error, _: errors.append(error.str()) if error else None,
            )
        if producer.flush(PUBLISH_S + 1) or errors:
            raise clients.BrokerError(f"drift alerts were not written to {name}: {', '.join(errors) or 'no answer'}")

    def abandon(self) -> None:
        """Fold and publish nothing more: the partition has gone to another owner."""
        self._abandoned.set()

    @property
    def distances(self) -> Mapping[str, Distances]:
        """Signal to its distance from the reference."""
        return self._aggregator.distances

    @property
    def unmatched(self) -> Sequence[str]:
        """Segments that no event is in."""
        return self._aggregator.unmatched

    def _published(self) -> Iterator[DriftAlert]:
        return (alert for _, alert in self._alerts.each(read_to_end(self._settings, DRIFT_ALERTS)))


class AggregatorHost:
    """Owns a replica while this worker owns the partition. All methods are called from one event loop.

    Args:
        replica: Makes an empty replica.
        is_ready: Whether models are known by their digests: before, the log would be read without any.
    """

    def __init__(
        self,
        replica: Callable[[], Replica],
        metrics: Metrics,
        is_ready: Callable[[], bool] = lambda: True,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._make = replica
        self._is_ready = is_ready
        self._metrics = metrics
        self._clock = clock
        self._replica: Replica | None = None
        self._rebuilding: asyncio.Task[None] | None = None
        self._shown_at = -SHOW_S
        self._shown: set[str] = set()
        self._unmatched: Sequence[str] = ()

    def begin(self) -> None:
        """The partition was assigned: build the replica, beside the event loop."""
        self.end()
        self._rebuilding = asyncio.create_task(self._rebuild(), name="drift-rebuild")

    def end(self) -> None:
        """The partition was revoked: give up the replica."""
        if self._replica is not None:
            self._replica.abandon()
        if self._rebuilding is not None:
            self._rebuilding.cancel()
        self._replica = self._rebuilding = None
        self._metrics.drift_psi.clear()
        self._metrics.drift_distance.clear()
        self._shown = set()

    async def take(self, offset: int, value: bytes | None) -> None:
        """Fold a record of the partition; returns once its alerts are published."""
        while self._rebuilding is not None and not self._rebuilding.done():  # another rebuild may have begun meanwhile
            await asyncio.wait([self._rebuilding])
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
        while not self._is_ready():
            await asyncio.sleep(LOOK_S)
        while True:
            replica = self._replica = self._make()
            try:
                self._show(await asyncio.to_thread(replica.rebuild))
                log.info("drift is watched here")
                return
            except clients.BrokerError as error:
                log.warning("drift is not watched yet: %s", error)
            except Exception:
                log.exception("drift is not watched yet")
            await asyncio.sleep(RETRY_S)

    def _show(self, alerts: Sequence[DriftAlert]) -> None:
        for alert in alerts:
            if alert.phase is DriftPhase.OVER:
                log.info("drift over: %s (%s)", alert.cause, alert.over_because or "every signal is back")
            else:
                log.warning("drift %s: %s %s", alert.phase, alert.cause, alert.action)
            if alert.phase is DriftPhase.RAISED:
                self._metrics.drift_alerts[alert.severity].inc()
        now = self._clock()
        if self._replica is None or now - self._shown_at < SHOW_S:
            return
        self._shown_at = now
        self._show_unmatched(self._replica.unmatched)
        distances = self._replica.distances
        if distances.keys() != self._shown:
            self._metrics.drift_psi.clear()
            self._metrics.drift_distance.clear()
            self._shown = set(distances)
        for signal, distance in distances.items():
            self._metrics.drift_psi.labels(signal).set(distance.psi)
            for name, value in distance._asdict().items():
                self._metrics.drift_distance.labels(name, signal).set(value)

    def _show_unmatched(self, segments: Sequence[str]) -> None:
        self._metrics.drift_segments_unmatched.set(len(segments))
        if segments != self._unmatched:
            self._unmatched = segments
            if segments:
                log.warning(
                    "no event is in %s, which the model watches: is the value written differently in events? "
                    "Compare with the data it was trained on",
                    ", ".join(segments),
                )
