"""One model's summaries in, alerts out: the window of recent blocks, and what is said of an incident that is due."""

from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from functools import reduce
from operator import add

import numpy as np

from models.distances import Distances, distances
from models.manifest import Manifest
from schemas.drift import DriftAlert, DriftSeverity, DriftSummary, SignalShift
from schemas.transactions import ModelRef
from stream_app.drift.blocks import Block, Blocks
from stream_app.drift.cause import likely_cause
from stream_app.drift.detectors import RECENT_BLOCKS, Detectors, change_point
from stream_app.drift.incident import Incident, Incidents
from stream_app.drift.merge import Sums
from stream_app.drift.standardise import Standard
from stream_app.settings import Settings

# 256 blocks of 256 are a week of the benchmark: over that the alert rate is compared.
HISTORY_BLOCKS = 256
WINDOW_BLOCKS = 8
# How far back a change is looked for: further back the drift before this one may stand.
SEARCH_BLOCKS = 64
# Alert rate, now by before: a third or threefold changes what analysts get; half or more is worth a look.
CRITICAL_FACTOR = 3.0
WARNING_FACTOR = 1.5
# Standard errors, so that the chance in a few alerts is no change of the rate.
SURE = 3.0


class Watch:
    """The detectors of one model, from its first summary on.

    Args:
        settings: Size of blocks, error bound and effect size of the detectors.
        manifest: The model's: the reference.
        sha256: Which model.
    """

    def __init__(self, settings: Settings, manifest: Manifest, sha256: str) -> None:
        self._manifest = manifest
        self._model = ModelRef(manifest.name, manifest.version, sha256)
        self._blocks = Blocks(settings.drift_block_events)
        self._standard = Standard(manifest)
        self._detectors = Detectors(
            len(self._standard.statistics), settings.drift_block_events, settings.drift_delta, settings.drift_effect_sd
        )
        self._effect = settings.drift_effect_sd
        self._incidents = Incidents(self._standard.residuals)
        self._history: deque[tuple[Block, np.ndarray]] = deque(maxlen=HISTORY_BLOCKS)
        self._count = 0
        self._events = 0

    def update(self, summary: DriftSummary, offset: int) -> list[DriftAlert]:
        """Take the next summary, which stands at this offset of the summaries' log."""
        block = self._blocks.add(summary)
        if block is None:
            return []
        statistics = self._standard.of(block.sums)
        findings = self._detectors.update(statistics)
        self._history.append((block, statistics))
        due = self._incidents.update(findings, self._detectors.away, self._count, offset)
        self._count += 1
        self._events += block.sums.scored
        return [alert for incident in due if (alert := self._alert(incident, block))]

    @property
    def distances(self) -> Mapping[str, Distances]:
        """Signal to its distances over the last blocks; empty before the first."""
        if not self._history:
            return {}
        window = _total([block for block, _ in list(self._history)[-WINDOW_BLOCKS:]])
        ends = np.cumsum([len(signal.shares) for signal in self._manifest.signals])
        histograms = np.split(window.histogram, ends[:-1])
        return {
            signal.name: distances(counts, np.array(signal.shares))
            for signal, counts in zip(self._manifest.signals, histograms, strict=True)
        }

    def _alert(self, incident: Incident, block: Block) -> DriftAlert | None:
        """What is said of an incident; None while no signal of it is far enough away since the change."""
        blocks = [entry for entry, _ in self._history]
        statistics = np.array([entry for _, entry in self._history])
        earliest = max(len(blocks) - SEARCH_BLOCKS, 0)
        cut = earliest + _begin(statistics[earliest:, list(incident.members)])
        before, since = blocks[:cut], blocks[cut:]
        total = _total(since)
        shifts = self._shifts(incident.members, statistics[cut:], total)
        if not shifts:
            return None
        incident.raised = True
        tails = (total.tail / np.maximum(total.present, 1)).tolist()
        cause = likely_cause(shifts, self._manifest.signals, dict(zip(self._manifest.signal_names, tails, strict=True)))
        usual, now = self._rate(before), self._rate(since)
        return DriftAlert(
            alert_id=f"drift:{self._model.sha256[:12]}:{incident.offset}",
            raised_at=block.ends,
            since=since[0].begins,
            since_offsets={str(partition): offset for partition, offset in sorted(since[0].offsets.items())},
            severity=severity(usual, now, total.scored),
            signals=shifts,
            cause=cause.cause,
            action=cause.action,
            retraining_helps=cause.retraining_helps,
            alert_rate_before=usual,
            alert_rate_now=now,
            events_observed=self._events,
            model=self._model,
        )

    def _shifts(self, members: Iterable[int], statistics: np.ndarray, total: Sums) -> list[SignalShift]:
        """The members that are far enough away, the furthest first."""
        far = self.distances
        columns = {reference.name: i for i, reference in enumerate(self._manifest.signals)}
        shifts = []
        for member in members:
            signal, detector = self._standard.statistics[member]
            seen = statistics[:, member][~np.isnan(statistics[:, member])]
            shift = float(seen.mean()) if len(seen) else 0.0
            if abs(shift) < self._effect:
                continue
            column = columns.get(signal)
            shifts.append(
                SignalShift(
                    signal=signal,
                    detector=detector,
                    shift=shift,
                    reference=0.0 if column is None else self._manifest.signals[column].mean,
                    current=shift if column is None else float(total.mean[column]),
                    psi=0.0 if column is None else far[signal].psi,
                )
            )
        return sorted(shifts, key=lambda s: (-abs(s.shift), s.signal, s.detector))

    def _rate(self, blocks: Sequence[Block]) -> float:
        """Share of alerts; the model's budget where there is nothing to count."""
        if not blocks:
            return self._manifest.calibration.budget
        return sum(b.sums.anomalies for b in blocks) / sum(b.sums.scored for b in blocks)


def severity(before: float, now: float, events: int) -> DriftSeverity:
    """How far decisions have moved.

    Args:
        before: Alert rate before the change.
        now: Alert rate since.
        events: Transactions since.
    """
    usual = max(before, 1 / events)
    sure = abs(now - before) > SURE * (usual / events) ** 0.5
    factor = max(now / usual, usual / now if now else float("inf"))
    if sure and factor >= CRITICAL_FACTOR:
        return DriftSeverity.CRITICAL
    return DriftSeverity.WARNING if sure and factor >= WARNING_FACTOR else DriftSeverity.INFO


def _begin(statistics: np.ndarray) -> int:
    """Number of the block in which the clearest of some statistics (float64 [blocks, statistics]) changed."""
    recent = np.nan_to_num(statistics[-RECENT_BLOCKS:]).mean(axis=0)
    return change_point(statistics[:, np.argmax(np.abs(recent))])


def _total(blocks: Sequence[Block]) -> Sums:
    return reduce(add, (block.sums for block in blocks))
