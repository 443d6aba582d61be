"""Monitors one model: keeps the window of recent blocks, and describes each incident at each of its phases."""

from collections import deque
from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import reduce
from itertools import islice
from operator import add
from typing import NamedTuple

import numpy as np
from msgspec.structs import replace

from models.distances import Distances
from models.manifest import Manifest
from schemas.drift import DriftAlert, DriftPhase, DriftSeverity, DriftSummary, IncidentSwap
from schemas.scoring import ModelRef
from stream_app.drift.blocks import Block, Blocks
from stream_app.drift.cause import Cause, likely_cause
from stream_app.drift.cusum import Bound
from stream_app.drift.detectors import RECENT_EVENTS, Detectors, blocks_of, change_interval
from stream_app.drift.evidence import Evidence, gather, input_correlation, signal_shifts
from stream_app.drift.incident import Incident, Incidents
from stream_app.drift.merge import Sums
from stream_app.drift.standardise import Reference, Statistic, field_of
from stream_app.drift.swap import ServiceStart, swap_cause
from stream_app.drift.window import WindowDistances
from stream_app.settings import Settings

# A week of the benchmark: over that the alert rate is compared.
HISTORY_EVENTS = 65_536
WINDOW_EVENTS = 2048
# How far back a change is looked for: further back the drift before this one may stand.
SEARCH_EVENTS = 16_384
# Inputs with at least this correlation in the reference have one cause.
CORRELATED = 0.2
# Alert rate, now by before: a third or threefold changes what analysts get; half or more is worth a look.
CRITICAL_FACTOR = 3.0
WARNING_FACTOR = 1.5
# Standard errors, so that the chance in a few alerts is no change of the rate.
SURE = 3.0
# Alerts, seen or usual: fewer are one or two customers', and no verdict.
FEWEST_ALERTS = 20


class ExcessOverUsual(NamedTuple):
    """How far statistics exceed what is usual, float64 [statistics]; sums of segments add up to the whole's.

    Attributes:
        sum: In the model's own units.
        sure: In standard errors.
    """

    sum: np.ndarray
    sure: np.ndarray


class ModelMonitor:
    """The detectors of one model, from its first summary on.

    Args:
        manifest: The model's: the reference.
        sha256: The model's digest.
        monitors: How many monitors of the model share the error bound.
        reference_error: How far the reference itself may be off, in its standard deviations.
        start: How the model came into service after another one; None where that is not known.

    Attributes:
        events: Events seen.
    """

    def __init__(
        self,
        settings: Settings,
        manifest: Manifest,
        sha256: str,
        monitors: int = 1,
        reference_error: float = 0.0,
        start: ServiceStart | None = None,
    ) -> None:
        self._size = size = settings.drift_block_events
        self._start = start
        self._manifest = manifest
        self._model = ModelRef(manifest.name, manifest.version, sha256)
        self._blocks = Blocks(size)
        self._reference = Reference(manifest)
        self._effect = settings.drift_effect_sd
        self._detectors = Detectors(self._reference, size, Bound(self._effect, monitors, reference_error))
        self._incidents = Incidents(self._reference.is_primary, _correlated(self._reference, manifest), size)
        self._distances = WindowDistances(manifest)
        self._history: deque[tuple[Block, np.ndarray]] = deque(maxlen=blocks_of(HISTORY_EVENTS, size))
        self._recent = blocks_of(RECENT_EVENTS, size)
        self._search = blocks_of(SEARCH_EVENTS, size)
        self._window = blocks_of(WINDOW_EVENTS, size)
        self._count = 0
        self.events = 0

    def update(self, summary: DriftSummary, offset: int) -> list[DriftAlert]:
        """Take the next summary, which stands at this offset of the summaries' log."""
        block = self._blocks.add(summary)
        if block is None:
            return []
        observation = self._reference.of(block.sums)
        findings = self._detectors.update(observation, self._count)
        self._history.append((block, observation.shift / observation.noise))
        due = self._incidents.update(findings, self._away(findings), self._count, offset)
        self._count += 1
        self.events += block.sums.scored
        return [self._alert(incident, phase, block) for incident, phase in due]

    def _away(self, findings: Mapping[int, int]) -> np.ndarray:
        """Bool [statistics], away from the reference. Shares count only when found: two in a hundred may be much."""
        away = np.abs(self._detectors.recent) >= self._effect / 2 + self._detectors.cusum.reference_error
        found = np.isin(np.arange(len(away)), list(findings))
        return np.where(self._reference.shares, found, away)

    @property
    def unmatched(self) -> Sequence[str]:
        """Without segments, none."""
        return ()

    @property
    def open_alerts(self) -> list[DriftAlert]:
        """The latest alert of each incident that is not over."""
        return [incident.last_alert for incident in self._incidents.current if incident.last_alert is not None]

    @property
    def ends(self) -> datetime:
        """Event time of the newest event in the last block; at least one is there."""
        return self._history[-1][0].ends

    @property
    def distances(self) -> Mapping[str, Distances]:
        """Signal to its distances over the last blocks; empty before the first."""
        if not self._history:
            return {}
        return self._distances.of(_total(self._last(self._window)))

    @property
    def statistics(self) -> Sequence[Statistic]:
        """The columns of observations."""
        return self._reference.statistics

    def excess(self, since: datetime) -> ExcessOverUsual | None:
        """The excess over usual since then; None if there were no events."""
        total = self._since(since)
        if total is None:
            return None
        observation = self._reference.of(total)
        shift = np.nan_to_num(observation.shift)
        return ExcessOverUsual(shift * self._reference.scale * total.scored, shift / observation.noise)

    def cause(self, since: datetime) -> Cause | None:
        """The likely cause, judged by what this monitor has seen since then; None if nothing has surely moved."""
        total = self._since(since)
        if total is None:
            return None
        evidence = gather(self._reference, self._manifest, total, set(), set(), self._effect)
        if not evidence.moved.any():
            return None
        return likely_cause(evidence, self._manifest, total, self._distances.of(total))

    def _since(self, since: datetime) -> Sums | None:
        """Sums since then, with the rest of the block that it falls into."""
        pending = self._blocks.pending
        sums = [block.sums for block, _ in self._history if block.ends > since] + ([pending] if pending else [])
        return reduce(add, sums) if sums else None

    def _last(self, count: int) -> list[Block]:
        return [block for block, _ in islice(self._history, max(len(self._history) - count, 0), None)]

    def _alert(self, incident: Incident, phase: DriftPhase, block: Block) -> DriftAlert:
        """The alert of an incident now; of one that is over, the alert that confirmed it."""
        held = [entry for entry, _ in self._history]
        if phase is DriftPhase.OVER:
            self._detectors.reset(incident.members if self._incidents.current else None)
            if incident.confirmed and incident.last_alert is not None:
                return replace(incident.last_alert, phase=phase, raised_at=block.ends, events_observed=self.events)
        first = self._count - len(self._history)
        begins, ends = self._change_interval(incident, first)
        incident.begins, held = first + begins, held[:ends]
        cut = min(max(incident.begins - first, 0), len(held) - 1)
        incident.last_alert = self._describe(incident, phase, held[:cut], held[cut:])
        return replace(incident.last_alert, raised_at=block.ends)

    def _describe(
        self, incident: Incident, phase: DriftPhase, before: Sequence[Block], since: Sequence[Block]
    ) -> DriftAlert:
        total = _total(since)
        others = self._incidents.moved_by_others(incident)
        evidence = gather(self._reference, self._manifest, total, incident.members, others, self._effect)
        incident.moved = set(np.flatnonzero(evidence.moved).tolist())
        far = self._distances.of(total)
        cause, swap = self._cause(incident, evidence, total, far)
        usual, now = self._rate(before), self._rate(since)
        return DriftAlert(
            alert_id=f"drift:{self._model.sha256[:12]}:{incident.offset}",
            raised_at=since[-1].ends,
            since=since[0].begins,
            since_offsets={str(partition): offset for partition, offset in sorted(since[0].offsets.items())},
            severity=severity(usual, now, total.scored),
            signals=signal_shifts(evidence, self._manifest, total, far),
            cause=cause.cause,
            action=cause.action,
            retraining_helps=cause.retraining_helps,
            alert_rate_before=usual,
            alert_rate_now=now,
            events_observed=self.events,
            model=self._model,
            phase=phase,
            cause_kind=cause.kind,
            swap=swap,
        )

    def _cause(
        self, incident: Incident, evidence: Evidence, total: Sums, far: Mapping[str, Distances]
    ) -> tuple[Cause, IncidentSwap | None]:
        swap = self._start.causing(evidence, incident.begins, self._size) if self._start is not None else None
        if swap is None or swap.before is None:
            return likely_cause(evidence, self._manifest, total, far), None
        return swap_cause(swap, swap.before, evidence), IncidentSwap(swap.at, swap.issuer, swap.before)

    def _change_interval(self, incident: Incident, first: int) -> tuple[int, int]:
        """The stretch of the history in which the clearest member is away: an attack may end before it is confirmed."""
        members = sorted(incident.members)
        scores = np.nan_to_num(np.array([score for _, score in self._history])[:, members])
        opened = incident.opened - first
        levels = scores[max(incident.begins - first, 0) : opened + 1].mean(axis=0)
        clearest = int(np.argmax(np.abs(levels)))
        earliest = max(opened - self._search, 0)
        begins, ends = change_interval(scores[earliest:, clearest], opened - earliest, float(levels[clearest]))
        return earliest + begins, earliest + ends

    def _rate(self, blocks: Sequence[Block]) -> float:
        """Share of alerts; the model's budget if there are no blocks."""
        if not blocks:
            return self._manifest.calibration.budget
        return sum(b.sums.anomalies for b in blocks) / sum(b.sums.scored for b in blocks)


def severity(before: float, now: float, events: int) -> DriftSeverity:
    """By how far the alert rate has moved.

    Args:
        before: Alert rate before the change.
        now: Alert rate since.
        events: Events since.
    """
    usual = max(before, 1 / events)
    sure = abs(now - before) > SURE * (usual / events) ** 0.5 and max(usual, now) * events >= FEWEST_ALERTS
    factor = max(now / usual, usual / now if now else float("inf"))
    if sure and factor >= CRITICAL_FACTOR:
        return DriftSeverity.CRITICAL
    return DriftSeverity.WARNING if sure and factor >= WARNING_FACTOR else DriftSeverity.INFO


def _correlated(reference: Reference, manifest: Manifest) -> np.ndarray:
    """Bool [statistics, statistics], about the same input or about inputs that are correlated in the reference."""
    names = [entry.name for entry in manifest.inputs]
    fields = [names.index(field) if (field := field_of(s.signal)) else -1 for s in reference.statistics]
    related = np.zeros((len(names) + 1, len(names) + 1), dtype=bool)
    related[:-1, :-1] = np.abs(input_correlation(manifest)) >= CORRELATED
    related[:-1, :-1] |= np.eye(len(names), dtype=bool)
    correlated: np.ndarray = related[np.ix_(fields, fields)] & np.outer(reference.is_primary, reference.is_primary)
    return correlated


def _total(blocks: Sequence[Block]) -> Sums:
    return reduce(add, (block.sums for block in blocks))
