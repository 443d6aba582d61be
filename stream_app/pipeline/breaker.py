"""Holds the input back while most of it is refused, so that a flood of bad records does not fill the dead letters.

Closed, it watches the share of refused records in a sliding window. Open, nothing is consumed for a while; the next
micro-batch is then a probe that closes it or opens it again, so it recovers by itself once the producer is repaired.
"""

from collections import deque
from collections.abc import Callable


class Breaker:
    """One worker's breaker.

    Args:
        share: Share of refused records above which it opens; 1 never opens it.
        window: Records over which the share is taken.
        hold_s: How long it stays open before a probe, seconds.
        monotonic: Clock for durations, seconds.
    """

    def __init__(self, share: float, window: int, hold_s: float, monotonic: Callable[[], float]) -> None:
        self._share = share
        self._window = window
        self._hold_s = hold_s
        self._monotonic = monotonic
        self._batches: deque[tuple[int, int]] = deque()
        self._records = self._refused = 0  # in these batches
        self._opened_at: float | None = None
        self.refused_share = 0.0

    @property
    def is_open(self) -> bool:
        """Whether the input must be held back now."""
        return self._opened_at is not None and self._monotonic() - self._opened_at < self._hold_s

    def count(self, records: int, refused: int) -> None:
        """Judge by one more micro-batch; a batch without records (transaction markers alone) changes nothing."""
        if not records:
            return
        if self._opened_at is not None:  # this was the probe
            self._batches.clear()
            self._records = self._refused = 0
            self._judge(refused / records, enough=True)
            return
        self._batches.append((records, refused))
        self._records += records
        self._refused += refused
        while self._records - self._batches[0][0] >= self._window:
            oldest = self._batches.popleft()
            self._records -= oldest[0]
            self._refused -= oldest[1]
        self._judge(self._refused / self._records, enough=self._records >= self._window)

    def _judge(self, share: float, enough: bool) -> None:
        self.refused_share = share
        self._opened_at = self._monotonic() if enough and share > self._share else None
