"""One owner's copy of the fold over the real topics: rebuilt from the log, fed from then on, its alerts published once.

Everything here blocks; `agent` runs it beside the event loop. An owner that has lost the partition stops at the next
record and publishes nothing more.
"""

import logging
import threading
from collections.abc import Callable, Mapping, Sequence

import msgspec

from models.distances import Distances
from models.manifest import Manifest
from schemas.drift import DriftAlert, DriftPhase, DriftSummary
from schemas.topics import DRIFT_ALERTS, DRIFT_SUMMARIES
from stream_app.drift.aggregator import Aggregator
from stream_app.kafka import clients, topics
from stream_app.kafka.log import read_to_end
from stream_app.settings import Settings

PUBLISH_S = 10.0

log = logging.getLogger(__name__)


class _Published(msgspec.Struct):
    """What says which alert it is."""

    alert_id: str
    phase: DriftPhase = DriftPhase.RAISED


class Replica:
    """The state of one owner.

    Args:
        settings: Where the topics are, and of the detectors what `Aggregator` reads.
        reference: The manifest of a model by its digest, or None.
    """

    def __init__(self, settings: Settings, reference: Callable[[str], Manifest | None]) -> None:
        self._settings = settings
        self._aggregator = Aggregator(settings, reference)
        self._decode = msgspec.json.Decoder(DriftSummary).decode
        self._next = 0
        self._abandoned = threading.Event()

    def rebuild(self) -> list[DriftAlert]:
        """Fold the log as far as it goes, and publish what it raises and `drift-alerts` does not hold.

        Returns:
            What was published.

        Raises:
            BrokerError: the topics cannot be read, or do not take the alerts.
        """
        raised = []
        for message in read_to_end(self._settings, DRIFT_SUMMARIES):
            if self._abandoned.is_set():
                return []
            raised += self.take(message.offset() or 0, message.value() or b"")
        if not raised:
            return []
        known = self._published()
        missed = [alert for alert in raised if (alert.alert_id, alert.phase) not in known]
        self.publish(missed)
        return missed

    def take(self, offset: int, value: bytes) -> list[DriftAlert]:
        """Fold the next record of the log; one that was folded before, or is no summary, changes nothing.

        Returns:
            What is to be published.
        """
        if offset < self._next or self._abandoned.is_set():
            return []
        self._next = offset + 1
        try:
            summary = self._decode(value)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            log.warning("offset %d of %s is no summary: %s", offset, DRIFT_SUMMARIES.name, error)
            return []
        return self._aggregator.update(summary, offset)

    def publish(self, alerts: Sequence[DriftAlert]) -> None:
        """Write alerts, and wait until the broker has them.

        Raises:
            BrokerError: it has not taken them in time.
        """
        if not alerts or self._abandoned.is_set():
            return
        name = topics.name(self._settings, DRIFT_ALERTS)
        producer = clients.producer(self._settings, **{"linger.ms": 0, "message.timeout.ms": int(PUBLISH_S * 1000)})
        errors: list[str] = []
        for alert in alerts:
            producer.produce(
                name,
                key=alert.signals[0].signal.encode(),
                value=msgspec.json.encode(alert),
                on_delivery=lambda error, _: errors.append(error.str()) if error else None,
            )
        if producer.flush(PUBLISH_S + 1) or errors:
            raise clients.BrokerError(f"drift alerts were not written to {name}: {', '.join(errors) or 'no answer'}")

    def abandon(self) -> None:
        """The partition has gone to another owner."""
        self._abandoned.set()

    @property
    def distances(self) -> Mapping[str, Distances]:
        """Signal to its distance from the reference."""
        return self._aggregator.distances

    def _published(self) -> set[tuple[str, DriftPhase]]:
        decode = msgspec.json.Decoder(_Published).decode
        known = set()
        for message in read_to_end(self._settings, DRIFT_ALERTS):
            try:
                published = decode(message.value() or b"")
                known.add((published.alert_id, published.phase))
            except (msgspec.DecodeError, UnicodeDecodeError) as error:
                log.warning("offset %s of %s is no alert: %s", message.offset(), DRIFT_ALERTS.name, error)
        return known
