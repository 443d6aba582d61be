"""Anomalies and drift alerts as a read-committed consumer sees them, collected by a thread."""

import threading
import time
from dataclasses import dataclass
from datetime import datetime
from types import TracebackType
from typing import Self

from schemas.drift import DriftAlert
from schemas.scoring import Anomaly
from schemas.topics import ANOMALIES, DRIFT_ALERTS
from stream_app.cli.demo.output import StoryError
from stream_app.kafka import topics
from stream_app.kafka.log import Tail
from stream_app.kafka.records import RecordDecoder
from stream_app.settings import Settings

POLL_S = 0.2
CHECK_S = 0.05


@dataclass(frozen=True, slots=True)
class Seen:
    """An anomaly, and when it was received, in seconds since the epoch."""

    anomaly: Anomaly
    at: float


class OutputTap:
    """Collects the anomalies and drift alerts of events of this time and later."""

    def __init__(self, settings: Settings, since: datetime) -> None:
        self._since = since
        self.anomalies: list[Seen] = []
        self.alerts: list[DriftAlert] = []
        self._decode_anomaly = RecordDecoder[Anomaly](Anomaly).read
        self._decode_alert = RecordDecoder[DriftAlert](DriftAlert).read
        self._alerts_topic = topics.name(settings, DRIFT_ALERTS)
        self._tail = Tail(settings, [ANOMALIES, DRIFT_ALERTS])
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="output-tap", daemon=True)
        self._thread.start()

    def wait_for_alert(self, since: datetime, timeout_s: float) -> DriftAlert:
        """The first alert of a drift that began at this event time or later.

        Raises:
            StoryError: there is none in time.
        """
        deadline = time.monotonic() + timeout_s
        while not (found := [alert for alert in self.alerts if alert.raised_at >= since]):
            if time.monotonic() > deadline:
                raise StoryError(f"no drift alert within {timeout_s:.0f} s of the injected drift")
            time.sleep(CHECK_S)
        return found[0]

    def __enter__(self) -> Self:
        """It listens from its construction on."""
        return self

    def __exit__(self, _k: type[BaseException] | None, _e: BaseException | None, _t: TracebackType | None) -> None:
        """Stop listening."""
        self._stop.set()
        self._thread.join()
        self._tail.close()

    def _run(self) -> None:
        while not self._stop.is_set():
            for message in self._tail.poll(POLL_S, limit=1):  # one by one: a batch would be as late as its last
                if message.topic() == self._alerts_topic:
                    if (alert := self._decode_alert(message)) is not None and alert.raised_at >= self._since:
                        self.alerts.append(alert)
                elif (anomaly := self._decode_anomaly(message)) is not None and anomaly.event_time >= self._since:
                    self.anomalies.append(Seen(anomaly, time.time()))
