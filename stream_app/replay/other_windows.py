"""What is known of other entities where records are read again: hops before their events, and labels until then.

Of totals it is what all partitions have published of these hops by now, which is what a worker saw where none lagged.
"""

import math
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from time import monotonic

from models.windows.plan import WindowsError
from models.windows.totals import HopTotals
from schemas.topics import LABELS, WINDOW_TOTALS, Topic
from stream_app.kafka.log import Log, Record
from stream_app.kafka.records import milliseconds_of
from stream_app.pipeline.enrich import Windows
from stream_app.pipeline.totals_reader import Follow, TotalsReader
from stream_app.pipeline.window_records import CUT

POLL_S = 0.05
CHUNK = 1000
EVER = datetime(2002, 1, 1, tzinfo=UTC)  # before any record

Entry = tuple[int, Record]
"""From when on a record counts, and the record."""


class PublishedPast:
    """All that the logs of totals and labels hold, in the order in which it comes to count.

    Args:
        windows: Whose totals.
        follow: Opens the logs.

    Attributes:
        totals: Each from the time, microseconds, by which its hops were over.
        labels: Each from the time, milliseconds, at which it came.
    """

    def __init__(self, windows: Windows, follow: Follow) -> None:
        self._hops = [HopTotals(group.windows) for group in windows.meet_others().groups]
        self.totals: list[Entry] = []
        self.labels: list[Entry] = []
        log = follow([WINDOW_TOTALS, LABELS], EVER)
        while not log.caught_up:
            for record in log.poll(POLL_S, CHUNK):
                key = record.key() or b""
                if (record.topic() or "").endswith(LABELS.name):
                    self.labels.append((milliseconds_of(record) or 0, record))
                elif key.startswith(windows.fingerprint):
                    self.totals.append((self._over_us(key[-1], record.value() or b""), record))
        log.close()
        for part in (self.totals, self.labels):
            part.sort(key=lambda entry: entry[0])

    def _over_us(self, entity: int, value: bytes) -> int:
        try:
            ring, until = self._hops[entity].head(value[CUT.size :])
        except (WindowsError, IndexError):  # somebody else has written there
            return 0
        return until * int(self._hops[entity].layout.plan.rings[ring, 0])


class OtherWindows:
    """Moves the views of other entities on with the records of one partition.

    Args:
        windows: Of the model, for this partition alone.
        published: What there is.
        partitions: Of the input.
    """

    def __init__(self, windows: Windows, published: PublishedPast, partitions: int) -> None:
        others = windows.meet_others()
        others.expect(range(partitions))
        self._arrived = _ArrivedLog(published)
        self._reader = TotalsReader(windows, others, self._follow, EVER)

    def move(self, times: Iterable[datetime], labels_until_ms: int) -> None:
        """Take in what counts for events.

        Args:
            times: Of the events.
            labels_until_ms: When they were scored, or came: labels that arrived later count not yet.
        """
        newest = max(times, default=EVER)
        self._arrived.until = round(newest.timestamp() * 1e6), labels_until_ms
        self._reader.turn(math.inf, monotonic)

    def _follow(self, _topics: Sequence[Topic], _since: datetime) -> Log:
        return self._arrived


class _ArrivedLog:
    """What has come to count and was not handed out before."""

    caught_up = True

    def __init__(self, published: PublishedPast) -> None:
        self._parts = published.totals, published.labels
        self._at = [0, 0]
        self.until = (-1, -1)

    def poll(self, timeout_s: float, limit: int) -> Sequence[Record]:
        """All of it."""
        found = []
        for part, (entries, until) in enumerate(zip(self._parts, self.until, strict=True)):
            begin = end = self._at[part]
            while end < len(entries) and entries[end][0] <= until:
                end += 1
            found += [record for _, record in entries[begin:end]]
            self._at[part] = end
        return found

    def close(self) -> None:
        """Nothing is open."""
