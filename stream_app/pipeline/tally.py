"""What the open commit interval holds, counted.

Once it is committed, the metrics and the snapshot say so, and not a moment earlier.
"""

import math
from collections import Counter, deque
from collections.abc import Callable, Iterable
from dataclasses import replace
from datetime import datetime
from typing import Any

import numpy as np

from schemas.comparison import Comparison
from schemas.rollout import PartitionProgress
from schemas.transactions import RefusalCode, Severity
from stream_app.metrics import Metrics
from stream_app.pipeline.batch import Decoded, Raw, Reasoned
from stream_app.pipeline.progress import Progress
from stream_app.pipeline.serving import Serving

WINDOW_S = 5.0
RATES_EVERY_S = 0.25
LATENCY_SAMPLE = 32  # the latency of one record in so many is measured


class Tally:
    """Counts of one pipeline.

    Args:
        metrics: Counters, by committed outcome.
        progress: Where the snapshot is put.
        monotonic: Clock for durations, seconds.
        now: The wall clock, against the records' own timestamps.

    Attributes:
        commits: How many intervals became permanent.
        is_open: Whether there is anything to commit.
    """

    def __init__(
        self,
        metrics: Metrics,
        progress: Progress,
        monotonic: Callable[[], float],
        now: Callable[[], datetime],
    ) -> None:
        self._metrics = metrics
        self._progress = progress
        self._monotonic = monotonic
        self._now = now
        self._window: deque[tuple[float, int, np.ndarray]] = deque()
        self._rated_at = 0.0
        self._begun_at = -math.inf
        self.commits = 0
        self.reset()

    def reset(self) -> None:
        """Forget the open interval: it was abandoned, or has just been counted."""
        self.is_open = False
        self._scored = 0
        self._refused: Counter[RefusalCode] = Counter()
        self._anomalies: Counter[Severity] = Counter()
        self._timestamps: list[int] = []

    def open(self) -> None:
        """Something is in the interval, and is to be committed."""
        self.is_open = True

    def close(self) -> None:
        """What comes from now on belongs to the next interval, whose clock runs."""
        self._begun_at = self._monotonic()

    @property
    def age_s(self) -> float:
        """Seconds since the interval began; 0 while nothing is in it.

        It began with the commit before: after a pause, what comes first is committed at once.
        """
        return self._monotonic() - self._begun_at if self.is_open else 0.0

    def count(self, raw: Raw, decoded: Decoded, reasoned: Iterable[Reasoned]) -> None:
        """Count a micro-batch in."""
        self.open()
        self._scored += len(decoded.rows)
        self._refused.update(refusal.code for refusal in decoded.refused)
        for reasons in reasoned:
            self._anomalies.update(reasons.severities)
        self._timestamps += [record.timestamp()[1] for record in raw.records[::LATENCY_SAMPLE]]
        self._metrics.batch.observe(len(raw.values))

    def committed(self, partitions: tuple[PartitionProgress, ...], serving: Serving) -> None:
        """The interval is permanent."""
        self.commits += 1
        self._metrics.commits["committed"].inc()
        self._metrics.scored.inc(self._scored)
        for code, count in self._refused.items():
            self._metrics.dead_lettered[code].inc(count)
        for severity, count in self._anomalies.items():
            self._metrics.anomalies[severity].inc(count)
        latencies = self._now().timestamp() - np.array(self._timestamps, dtype=np.float64) / 1000
        if len(latencies):
            self._metrics.latency.observe(latencies)
        self._publish(partitions, serving, latencies)
        self.reset()

    def compared(self, comparison: Comparison) -> None:
        """What two models made of the interval is permanent."""
        outcomes = self._metrics.second_model
        outcomes["compared"].inc(comparison.rows)
        outcomes["failed"].inc(comparison.errors)
        outcomes["skipped"].inc(comparison.skipped)
        outcomes["decided"].inc(comparison.decided)

    def turned(self, state: str, partitions: Callable[[], tuple[PartitionProgress, ...]]) -> None:
        """The loop has turned, busy or idle: rates fall and lag grows also while nothing is committed."""
        at = self._monotonic()
        latest = replace(self._progress.latest, state=state, looped_at=at)
        if at - self._rated_at >= RATES_EVERY_S:
            latest = replace(latest, partitions=partitions(), **self._rates(at))
        self._progress.latest = latest

    def unready(self, state: str) -> None:
        """Nothing is scored at present, and why."""
        self._progress.latest = replace(
            self._progress.latest, state=state, ready=False, partitions=(), looped_at=self._monotonic()
        )

    def _publish(self, partitions: tuple[PartitionProgress, ...], serving: Serving, latencies: np.ndarray) -> None:
        at, latest = self._monotonic(), self._progress.latest
        records = self._scored + self._refused.total()
        self._window.append((at, records, latencies))
        rates = self._rates(at) if at - self._rated_at >= RATES_EVERY_S else {}
        self._progress.latest = replace(
            latest,
            ready=True,
            model=serving.model,
            previous=serving.previous,
            candidate=serving.candidate,
            percent=serving.percent,
            command_id=serving.command_id,
            scored=latest.scored + self._scored,
            anomalies=latest.anomalies + self._anomalies.total(),
            dead_lettered=latest.dead_lettered + self._refused.total(),
            partitions=partitions,
            moved_at=at if records else latest.moved_at,
            looped_at=at,
            **rates,
        )
        if serving.command_id != latest.command_id:
            self._progress.news.set()

    def _rates(self, at: float) -> dict[str, Any]:
        self._rated_at = at
        while self._window and self._window[0][0] < at - WINDOW_S:
            self._window.popleft()
        records = sum(records for _, records, _ in self._window)
        latencies = np.concatenate([entry[2] for entry in self._window]) if self._window else np.empty(0)
        p50, p99 = (np.percentile(latencies, (50, 99)) * 1000).tolist() if len(latencies) else (None, None)
        return {"events_per_second": records / WINDOW_S, "latency_p50_ms": p50, "latency_p99_ms": p99}
