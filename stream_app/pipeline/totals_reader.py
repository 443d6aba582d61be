"""Reads what all workers publish of other entities, and labels, into the views of one definition.

Both logs are read from where the reach of the windows begins, and then followed. What is read is committed; how far it
is behind shows in the views.
"""

import logging
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from models.windows.plan import WindowsError
from schemas.scoring import Label
from schemas.topics import LABELS, WINDOW_TOTALS, Topic
from stream_app.kafka.clients import BrokerError
from stream_app.kafka.log import Log, Record
from stream_app.kafka.records import RecordDecoder
from stream_app.pipeline.enrich import Windows
from stream_app.pipeline.faults import SessionLost
from stream_app.pipeline.window_records import CUT, FINGERPRINT_BYTES, PARTITION

if TYPE_CHECKING:
    from stream_app.pipeline.other_entities import OtherEntities

CHUNK = 1000
# Events may be so much older than what is written about them: as long as a worker may have been away
SLACK = timedelta(days=7)

Follow = Callable[[Sequence[Topic], datetime], Log]
"""Follows topics from a time on."""

log = logging.getLogger(__name__)


class TotalsReader:
    """Follows the topics for one definition.

    Args:
        windows: Of that definition.
        others: Its other entities, of which nothing is known yet.
        follow: Opens the logs.
        now: The time.

    Raises:
        SessionLost: they cannot be read.
    """

    def __init__(self, windows: Windows, others: "OtherEntities", follow: Follow, now: datetime) -> None:
        self._fingerprint = windows.fingerprint
        self._labels = RecordDecoder[Label](Label)
        self._others = others
        topics = [WINDOW_TOTALS, LABELS] if others.labels is not None else [WINDOW_TOTALS]
        try:
            self._log = follow(topics, now - timedelta(seconds=windows.reach_s) - SLACK)
        except BrokerError as error:
            raise SessionLost("windows", f"reading totals of other entities: {error}") from error
        self.caught_up = False

    def turn(self, deadline: float, monotonic: Callable[[], float]) -> None:
        """Read what has come, until a time.

        Raises:
            SessionLost: the topics cannot be read.
        """
        records: Sequence[Record] = [*self._poll()]
        while records:
            for record in records:
                self._take(record)
            records = self._poll() if monotonic() < deadline else []
        if self._others.labels is not None:
            self._others.labels.count()
        self.caught_up = self._log.caught_up

    def close(self) -> None:
        """Let the connections go."""
        self._log.close()

    def _poll(self) -> Sequence[Record]:
        try:
            return self._log.poll(0, CHUNK)
        except BrokerError as error:
            raise SessionLost("windows", f"reading totals of other entities: {error}") from error

    def _take(self, record: Record) -> None:
        key, value = record.key() or b"", record.value() or b""
        if (record.topic() or "").endswith(LABELS.name):
            label = self._labels.read(record)
            if label is not None and self._others.labels is not None:
                self._others.labels.hear(label)
        elif key.startswith(self._fingerprint) and len(key) == FINGERPRINT_BYTES + PARTITION.size + 1:
            self._add(key, value)

    def _add(self, key: bytes, value: bytes) -> None:
        (partition,), entity = PARTITION.unpack_from(key, FINGERPRINT_BYTES), key[-1]
        try:
            if entity < len(self._others.views):
                self._others.views[entity].add(partition, value[CUT.size :])
        except WindowsError as error:
            log.warning("a record on %s is passed over: %s", WINDOW_TOTALS.name, error)
