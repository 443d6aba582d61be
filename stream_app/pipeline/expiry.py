"""How long the broker keeps the oldest record that is not read yet: by its age, and by what arrives behind it."""

from collections import deque
from collections.abc import Iterable
from datetime import datetime
from typing import Any

from stream_app.kafka.records import moment_of
from stream_app.kafka.retention import SPENT, Retention
from stream_app.pipeline.clock import Clock

RATE_OVER_S = 60.0


class Expiry:
    """Follows the partitions of one session."""

    def __init__(self, kept: Retention, clock: Clock) -> None:
        self._kept = kept
        self._clock = clock
        self._read_at: dict[int, datetime] = {}  # timestamp of the newest record that was read
        self._ends: dict[int, deque[tuple[float, int]]] = {}  # the end of the log at two moments or fewer

    def read(self, newest: Iterable[tuple[int, Any]]) -> None:
        """Take in the newest record of partitions."""
        self._read_at |= {p: at for p, record in newest if (at := moment_of(record)) is not None}

    def forget(self, partition: int) -> None:
        """It is another worker's."""
        self._read_at.pop(partition, None)
        self._ends.pop(partition, None)

    def in_s(self, partition: int, low: int, position: int, high: int, record_bytes: float) -> float | None:
        """Until the broker deletes the record at `position`; None: it is not soon, or nothing is known to delete it.

        Args:
            partition: Which one.
            low: Offset of the oldest record that is there.
            position: The next offset to read.
            high: Offset of the next record that is written.
            record_bytes: Of one record.
        """
        arriving_per_s = self._arriving(partition, high)
        if high <= position:
            return None
        left = [
            self._by_age(partition),
            self._by_size(high - position, high - max(low, 0), record_bytes, arriving_per_s),
        ]
        known = [seconds for seconds in left if seconds is not None]
        return round(min(known), 1) if known else None

    def _by_age(self, partition: int) -> float | None:
        """The oldest unread record is no older than the newest one that was read."""
        kept, read_at = self._kept.age_s, self._read_at.get(partition)
        if kept is None or read_at is None:
            return None
        left = read_at.timestamp() + kept - self._clock.now().timestamp()
        return left if left < kept * SPENT else None

    def _by_size(self, unread: int, held: int, record_bytes: float, arriving_per_s: float) -> float | None:
        """What arrives fills the room that is left, and then the oldest goes."""
        room = self._kept.room(held, record_bytes)
        if room is None or unread < room * SPENT or arriving_per_s <= 0:
            return None
        return max(room - unread, 0.0) / arriving_per_s

    def _arriving(self, partition: int, high: int) -> float:
        """Records a second, over the last minute or two; 0 where it is not known yet."""
        now = self._clock.monotonic()
        ends = self._ends.setdefault(partition, deque([(now, high)], maxlen=2))
        if now - ends[-1][0] >= RATE_OVER_S:
            ends.append((now, high))
        began, end = ends[0]
        return (high - end) / (now - began) if now > began else 0.0
