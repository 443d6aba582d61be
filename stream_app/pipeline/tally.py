"""Metrics and progress of a pipeline. They count what is committed, and not a moment earlier."""

import logging
from collections import deque
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from schemas.comparison import Comparison
from schemas.rollout import AlertVolume, Notice, PartitionProgress
from schemas.scoring import RefusalCode
from schemas.topics import TRANSACTIONS
from stream_app.metrics import Metrics
from stream_app.pipeline.clock import Clock
from stream_app.pipeline.interval import Interval
from stream_app.pipeline.progress import Progress, Snapshot
from stream_app.pipeline.serving import Serving
from stream_app.pipeline.uniformity import Uniformity

WINDOW_S = 5.0
RATES_EVERY_S = 0.25
NOTICES_KEPT = 5
USUAL_LEAST = 1000  # events: a share of fewer is no measure of what is usual
SKEW_S = 60.0  # how far a producer's clock may be ahead of this one for its records to be timed
LONGEST_S = TRANSACTIONS.retention.total_seconds()  # an older timestamp is not that of an arrival

log = logging.getLogger(__name__)

Partitions = tuple[PartitionProgress, ...]


class Tally:
    """Figures of one pipeline, over all of its sessions.

    Attributes:
        commits: How many intervals became permanent.
    """

    def __init__(self, metrics: Metrics, progress: Progress, clock: Clock) -> None:
        self._metrics = metrics
        self._progress = progress
        self._clock = clock
        self._window: deque[tuple[float, int, int, np.ndarray]] = deque()
        self._rated_at = 0.0
        self._uniformity = Uniformity()
        self.commits = 0

    def committed(self, interval: Interval, partitions: Partitions, serving: Serving) -> None:
        """The interval is permanent."""
        self.commits += 1
        self._metrics.commits["committed"].inc()
        self._metrics.scored.inc(interval.scored)
        self._metrics.repeated.inc(interval.repeated)
        for code, count in interval.refused.items():
            self._metrics.dead_lettered[code].inc(count)
        for severity, count in interval.anomalies.items():
            self._metrics.anomalies[severity].inc(count)
        for partition, count in interval.lost.items():
            self._lost(partition, interval.spans[partition][0], count, partition in interval.passed_over)
        latencies = plausible(self._clock.now().timestamp() - np.array(interval.timestamps, dtype=np.float64) / 1000)
        if len(latencies):
            self._metrics.latency.observe(latencies)
        if interval.p_values:
            p_values = np.concatenate(interval.p_values)
            self._metrics.p_values.observe(p_values)
            self._uniformity.add(self._clock.now().timestamp(), serving.model, p_values)
        self._publish(interval, partitions, serving, latencies)

    def compared(self, comparison: Comparison) -> None:
        """The comparison of two models is permanent."""
        outcomes = self._metrics.second_model
        outcomes["compared"].inc(comparison.rows)
        outcomes["failed"].inc(comparison.errors)
        outcomes["skipped"].inc(comparison.skipped)
        outcomes["decided"].inc(comparison.decided)

    def loop_turned(self, state: str, partitions: Callable[[], Partitions]) -> None:
        """The loop has turned, busy or idle: rates fall and lag grows also while nothing is committed."""
        at = self._clock.monotonic()
        latest = replace(self._progress.latest, state=state, looped_at=at, notices=self._news)
        if at - self._rated_at >= RATES_EVERY_S:
            latest = replace(latest, partitions=partitions(), **self._rates(at))
        self._progress.latest = latest

    def notice(self, sentence: str, is_loss: bool = False) -> None:
        """Something about the input that a person should know of: logged, on the page, in `status`."""
        log.warning("%s", sentence)
        kept = (*self._progress.latest.notices, Notice(self._clock.now(), sentence, is_loss))
        self._progress.latest = replace(self._progress.latest, notices=kept[-NOTICES_KEPT:])

    @property
    def _news(self) -> tuple[Notice, ...]:
        """The notices, without losses that a person has acknowledged."""
        notices, known = self._progress.latest.notices, self._progress.losses_known_until
        if known is None:
            return notices
        return tuple(notice for notice in notices if not (notice.is_loss and notice.at <= known))

    def _lost(self, partition: int, start: int, count: int, is_passed_over: bool) -> None:
        self._metrics.lost.inc(count)
        what = (
            "are lost, for somebody has set the group's offset forward"
            if is_passed_over
            else "were deleted by the broker before they were read and are lost"
        )
        self.notice(
            f"partition {partition}: offsets {start} to {start + count} {what}: `stream-app verify --acknowledge "
            "REASON` puts on record that somebody knows",
            is_loss=True,
        )

    def not_ready(self, state: str) -> None:
        """Nothing is scored at present; `state` says why."""
        self._progress.latest = replace(
            self._progress.latest, state=state, ready=False, partitions=(), looped_at=self._clock.monotonic()
        )

    def _publish(self, interval: Interval, partitions: Partitions, serving: Serving, latencies: np.ndarray) -> None:
        at, latest = self._clock.monotonic(), self._progress.latest
        refused = interval.refused.total()
        records = interval.scored + refused
        wrong = refused - interval.refused[RefusalCode.REPEATED]  # what comes again is as it should be
        self._window.append((at, records, wrong, latencies))
        rates = self._rates(at) if at - self._rated_at >= RATES_EVERY_S else {}
        self._progress.latest = replace(
            latest,
            ready=True,
            model=serving.model,
            previous=serving.previous,
            candidate=serving.candidate,
            percent=serving.percent,
            command_id=serving.command_id,
            scored=latest.scored + interval.scored,
            anomalies=latest.anomalies + interval.anomalies.total(),
            dead_lettered=latest.dead_lettered + refused,
            partitions=partitions,
            moved_at=at if records else latest.moved_at,
            looped_at=at,
            volume=_volume(latest, interval, serving),
            p_values=self._uniformity.of_a_day,
            **rates,
        )
        if serving.command_id != latest.command_id:
            self._progress.news.set()

    def _rates(self, at: float) -> dict[str, Any]:
        self._rated_at = at
        while self._window and self._window[0][0] < at - WINDOW_S:
            self._window.popleft()
        records, refused = (sum(entry[column] for entry in self._window) for column in (1, 2))
        latencies = np.concatenate([entry[3] for entry in self._window]) if self._window else np.empty(0)
        p50, p99 = (np.percentile(latencies, (50, 99)) * 1000).tolist() if len(latencies) else (None, None)
        return {
            "events_per_second": records / WINDOW_S,
            "refused_per_second": refused / WINDOW_S,
            "latency_p50_ms": p50,
            "latency_p99_ms": p99,
        }


def _volume(latest: Snapshot, interval: Interval, serving: Serving) -> AlertVolume:
    """Counts begin anew with another model, and what it leaves becomes the usual share.

    Not so after a rollback: what is left then was not usual. Nor of a model that was calibrated anew, because the share
    was not what was wanted: its budget is.
    """
    known = latest.volume or AlertVolume(0, 0, serving.budget)
    if latest.volume is not None and serving.model != latest.model:
        is_measure = known.scored >= USUAL_LEAST and serving.model != latest.previous
        usual = known.anomalies / known.scored if is_measure else known.usual
        known = AlertVolume(0, 0, usual if serving.runtime.manifest.recalibrated is None else serving.budget)
    return AlertVolume(known.scored + interval.scored, known.anomalies + interval.anomalies.total(), known.usual)


def plausible(latencies: np.ndarray) -> np.ndarray:
    """Those that can be, in seconds: producers stamp records with 0, in microseconds, or with the time of the event."""
    kept: np.ndarray = latencies[(latencies >= -SKEW_S) & (latencies <= LONGEST_S)].clip(0.0)
    return kept
