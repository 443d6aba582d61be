"""Monitors a model with segments: one monitor for the whole stream, and one for each segment.

Each has its own reference and its own blocks, so a drift in one event of fifty is found as soon as its segment
shows it, however calm the whole is. All monitors share one error bound.
"""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime

import numpy as np
from msgspec.structs import replace

from models.distances import Distances
from models.manifest import Manifest, Segment
from models.segments import manifest_of
from schemas.drift import DriftAlert, DriftSummary, SegmentSummary
from stream_app.drift.correlator import WHOLE, IncidentCorrelator
from stream_app.drift.monitor import ModelMonitor
from stream_app.drift.standardise import RELATION
from stream_app.drift.swap import ServiceStart
from stream_app.drift.unmatched import SegmentCounts
from stream_app.settings import Settings

# Times the smallest shift of the whole that matters: a few customers move a small segment, and it moves few decisions.
EFFECT = 2.0
# Standard errors of a segment's reference that its detectors allow for: with two hundred statistics in each of a few
# segments, some mean is that far off.
REFERENCE_ERROR = 4.0
# A change is in segments that hold this share of the excess over usual, and this many times their share of rows.
NEARLY_ALL = 0.75
OUT_OF_PROPORTION = 2.0
# Standard errors from which on a statistic of the whole shows where a change is.
SURE = 5.0


class SegmentedMonitor:
    """The monitors of one model and of its segments, from its first summary on.

    Args:
        start: As of `ModelMonitor`.
    """

    def __init__(self, settings: Settings, manifest: Manifest, sha256: str, start: ServiceStart | None = None) -> None:
        segments = manifest.segments
        watched = {segments.label(segment): segment for segment in segments.watched} if segments else {}
        self._share = {label: segment.share for label, segment in watched.items()}
        self._numbers = {label: number for number, label in enumerate(watched, start=1)}
        of_segments = settings.model_copy(update={"drift_effect_sd": EFFECT * settings.drift_effect_sd})
        self._whole = ModelMonitor(settings, manifest, sha256, 1 + len(watched), start=start)
        self._monitors = {
            label: ModelMonitor(
                of_segments, manifest_of(manifest, segment), sha256, 1 + len(watched), reference_error(segment), start
            )
            for label, segment in watched.items()
        }
        self._correlator = IncidentCorrelator(self._is_within)
        self._counts = SegmentCounts(segments) if segments else None

    def update(self, summary: DriftSummary, offset: int) -> list[DriftAlert]:
        """Take the next summary, which stands at this offset of the summaries' log."""
        if self._counts is not None:
            self._counts.add(summary)
        of_all = self._whole.update(summary, offset)
        of_parts = [
            (label, alert)
            for label, part in summary.by_segment.items()
            if label in self._monitors
            for alert in self._monitors[label].update(summary_of(part, summary), offset)
        ]
        if not of_all and not of_parts and not self._correlator.cooling_down:
            return []
        found = [(WHOLE, self._placed(alert)) for alert in of_all]
        found += [(label, self._of_segment(label, alert)) for label, alert in of_parts]
        seen = {WHOLE: self._whole.events} | {label: monitor.events for label, monitor in self._monitors.items()}
        published = [self._correlator.update(label, alert, seen) for label, alert in found]
        return [alert for alert in published if alert is not None] + self._correlator.closed_after_rest(seen)

    @property
    def unmatched(self) -> Sequence[str]:
        """Labels of the segments that no event is in."""
        return () if self._counts is None else self._counts.unmatched

    @property
    def open_alerts(self) -> list[DriftAlert]:
        """The latest published alert of each incident that is not over."""
        return self._correlator.open_alerts

    @property
    def ends(self) -> datetime:
        """Event time of the newest event in the last block of the whole; at least one is there."""
        return self._whole.ends

    @property
    def distances(self) -> Mapping[str, Distances]:
        """Signal to its distances over the last blocks of the whole; empty before the first."""
        return self._whole.distances

    def _of_segment(self, label: str, alert: DriftAlert) -> DriftAlert:
        own_id = f"{alert.alert_id}:{self._numbers[label]}"
        return self._named(replace(alert, alert_id=own_id, events_observed=self._whole.events), label)

    def _placed(self, alert: DriftAlert) -> DriftAlert:
        """An alert of the whole, with the segment that nearly all of it is in, where the cause shows undiluted."""
        label = max(self._monitors, key=lambda label: self._part(alert, [label]), default=WHOLE)
        if not label or not self._is_within(alert, [label]):
            return alert
        cause = None if alert.swap is not None else self._monitors[label].cause(alert.since)
        if cause is not None:
            alert = replace(
                alert,
                cause=cause.cause,
                cause_kind=cause.kind,
                action=cause.action,
                retraining_helps=cause.retraining_helps,
            )
        return self._named(alert, label)

    def _named(self, alert: DriftAlert, label: str) -> DriftAlert:
        cause = f"In {label} ({self._share[label]:.1%} of events): {alert.cause}"
        return replace(alert, segment=label, cause=cause)

    def _is_within(self, alert: DriftAlert, labels: Collection[str]) -> bool:
        """Whether nearly all of the whole's excess over usual is in these segments, out of proportion to their size."""
        share = sum(self._share[label] for label in labels if label)
        part = self._part(alert, labels)
        return part >= NEARLY_ALL and part >= OUT_OF_PROPORTION * share

    def _part(self, alert: DriftAlert, labels: Collection[str]) -> float:
        """Share of the whole's excess over usual, since an alert's beginning, that is in these segments."""
        whole = self._whole.excess(alert.since)
        parts = [self._monitors[label].excess(alert.since) for label in labels if label]
        if whole is None:
            return 0.0
        # In standard errors of the whole, so that no statistic counts for more by its unit
        sums = np.where(self._moved(alert) & (np.abs(whole.sure) >= SURE), whole.sum, 0.0)
        weight = sums * (whole.sure / np.where(sums, sums, 1.0)) ** 2
        of_all = float(weight @ sums)
        return sum(float(weight @ part.sum) for part in parts if part is not None) / of_all if of_all else 0.0

    def _moved(self, alert: DriftAlert) -> np.ndarray:
        """Bool [statistics], the statistics that an alert is about; all relations if it is about one."""
        about = {
            (RELATION if shift.signal.startswith(f"{RELATION}:") else shift.signal, shift.detector)
            for shift in alert.signals
        }
        return np.array([(s.signal, s.kind.value) in about for s in self._whole.statistics])


def summary_of(part: SegmentSummary, summary: DriftSummary) -> DriftSummary:
    """A segment's part of a summary as if it were a stream. Refused records are in no segment."""
    return replace(
        summary, scored=part.scored, dead_lettered=0, anomalies=part.anomalies, sums=part.sums, by_segment={}
    )


def reference_error(segment: Segment) -> float:
    """How far a mean of a segment's reference may be off, in standard deviations: it has its rows alone."""
    return float(REFERENCE_ERROR / segment.rows**0.5)
