"""One model's summaries in, alerts out: the window of recent blocks, and what is said of an incident in each phase."""

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
from schemas.drift import DriftAlert, DriftPhase, DriftSeverity, DriftSummary
from schemas.transactions import ModelRef
from stream_app.drift.blocks import Block, Blocks
from stream_app.drift.cause import Cause, likely_cause
from stream_app.drift.cusum import Bound
from stream_app.drift.detectors import RECENT_EVENTS, Detectors, blocks_of, extent
from stream_app.drift.evidence import gather, input_correlation, signal_shifts
from stream_app.drift.incident import Incident, Incidents
from stream_app.drift.merge import Sums
from stream_app.drift.standardise import Standard, Statistic, field_of
from stream_app.drift.window import WindowDistances
from stream_app.settings import Settings

# A week of the benchmark: over that the alert rate is compared.
HISTORY_EVENTS = 65_536
WINDOW_EVENTS = 2048
# How far back a change is looked for: further back the drift before this one may stand.
SEARCH_EVENTS = 16_384
# Correlation in the reference from which on two inputs are one cause.
KIN = 0.2
# Alert rate, now by before: a third or threefold changes what analysts get; half or more is worth a look.
CRITICAL_FACTOR = 3.0
WARNING_FACTOR = 1.5
# Standard errors, so that the chance in a few alerts is no change of the rate.
SURE = 3.0


class Excess(NamedTuple):
    """What some transactions have more than usual, float64 [statistics]; segments' add up to that of the whole.

    Attributes:
        sum: In the model's own units.
        sure: In standard errors.
    """

    sum: np.ndarray
    sure: np.ndarray


class Watch:
    """The detectors of one model, from its first summary on.

    Args:
        settings: Size of blocks, error bound and effect size of the detectors.
        manifest: The model's: the reference.
        sha256: Which model.
        watches: How many watches of it share the error bound.
        doubt: How far the reference itself may be off, in its standard deviations.

    Attributes:
        events: Transactions seen.
    """

    def __init__(
        self, settings: Settings, manifest: Manifest, sha256: str, watches: int = 1, doubt: float = 0.0
    ) -> None:
        size = settings.drift_block_events
        self._manifest = manifest
        self._model = ModelRef(manifest.name, manifest.version, sha256)
        self._blocks = Blocks(size)
        self._standard = Standard(manifest)
        self._effect = settings.drift_effect_sd
        self._detectors = Detectors(self._standard, size, Bound(self._effect, watches, doubt))
        self._incidents = Incidents(self._standard.founding, _kin(self._standard, manifest), size)
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
        observation = self._standard.of(block.sums)
        findings = self._detectors.update(observation, self._count)
        self._history.append((block, observation.shift / observation.noise))
        due = self._incidents.update(findings, self._away(findings), self._count, offset)
        self._count += 1
        self.events += block.sums.scored
        return [self._alert(incident, phase, block) for incident, phase in due]

    def _away(self, findings: Mapping[int, int]) -> np.ndarray:
        """Which statistics are away from the reference, bool [statistics]: of a share, two in a hundred may be much."""
        away = np.abs(self._detectors.recent) >= self._effect / 2 + self._detectors.cusum.doubt
        found = np.isin(np.arange(len(away)), list(findings))
        return np.where(self._standard.shares, found, away)

    @property
    def distances(self) -> Mapping[str, Distances]:
        """Signal to its distances over the last blocks; empty before the first."""
        if not self._history:
            return {}
        return self._distances.of(_total(self._last(self._window)))

    @property
    def statistics(self) -> Sequence[Statistic]:
        """What is watched."""
        return self._standard.statistics

    def excess(self, since: datetime) -> Excess | None:
        """How much more than usual there has been since then; None where nothing has come."""
        total = self._since(since)
        if total is None:
            return None
        observation = self._standard.of(total)
        shift = np.nan_to_num(observation.shift)
        return Excess(shift * self._standard.scale * total.scored, shift / observation.noise)

    def cause(self, since: datetime) -> Cause | None:
        """What it looks like here since then; None where nothing has surely moved."""
        total = self._since(since)
        if total is None:
            return None
        evidence = gather(self._standard, self._manifest, total, set(), set(), self._effect)
        if not evidence.moved.any():
            return None
        return likely_cause(evidence, self._manifest, total, self._distances.of(total))

    def _since(self, since: datetime) -> Sums | None:
        """Everything since then, and what stands in one block with it."""
        pending = self._blocks.pending
        sums = [block.sums for block, _ in self._history if block.ends > since] + ([pending] if pending else [])
        return reduce(add, sums) if sums else None

    def _last(self, count: int) -> list[Block]:
        return [block for block, _ in islice(self._history, max(len(self._history) - count, 0), None)]

    def _alert(self, incident: Incident, phase: DriftPhase, block: Block) -> DriftAlert:
        """What is said of an incident now; of one that is over, what was said when it was confirmed."""
        held = [entry for entry, _ in self._history]
        if phase is DriftPhase.OVER:
            self._detectors.reset(None if self._incidents.none_open else incident.members)
            if incident.confirmed and incident.said is not None:
                return replace(incident.said, phase=phase, raised_at=block.ends, events_observed=self.events)
        first = self._count - len(self._history)
        begins, ends = self._extent(incident, first)
        incident.begins, held = first + begins, held[:ends]
        cut = min(max(incident.begins - first, 0), len(held) - 1)
        incident.said = self._describe(incident, phase, held[:cut], held[cut:])
        return replace(incident.said, raised_at=block.ends)

    def _describe(
        self, incident: Incident, phase: DriftPhase, before: Sequence[Block], since: Sequence[Block]
    ) -> DriftAlert:
        total = _total(since)
        others = self._incidents.moved_by_others(incident)
        evidence = gather(self._standard, self._manifest, total, incident.members, others, self._effect)
        incident.moved = set(np.flatnonzero(evidence.moved).tolist())
        far = self._distances.of(total)
        cause = likely_cause(evidence, self._manifest, total, far)
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
        )

    def _extent(self, incident: Incident, first: int) -> tuple[int, int]:
        """Where in the history the clearest member is away: an attack may be over before its incident is confirmed."""
        members = sorted(incident.members)
        scores = np.nan_to_num(np.array([score for _, score in self._history])[:, members])
        opened = incident.opened - first
        levels = scores[max(incident.begins - first, 0) : opened + 1].mean(axis=0)
        clearest = int(np.argmax(np.abs(levels)))
        earliest = max(opened - self._search, 0)
        begins, ends = extent(scores[earliest:, clearest], opened - earliest, float(levels[clearest]))
        return earliest + begins, earliest + ends

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


def _kin(standard: Standard, manifest: Manifest) -> np.ndarray:
    """Bool [statistics, statistics]: about inputs that are correlated in the reference, or about the same one."""
    names = [entry.name for entry in manifest.inputs]
    fields = [names.index(field) if (field := field_of(s.signal)) else -1 for s in standard.statistics]
    related = np.zeros((len(names) + 1, len(names) + 1), dtype=bool)
    related[:-1, :-1] = np.abs(input_correlation(manifest)) >= KIN
    related[:-1, :-1] |= np.eye(len(names), dtype=bool)
    kin: np.ndarray = related[np.ix_(fields, fields)] & np.outer(standard.founding, standard.founding)
    return kin


def _total(blocks: Sequence[Block]) -> Sums:
    return reduce(add, (block.sums for block in blocks))
