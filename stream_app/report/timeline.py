"""What happened, in the order in which it did: commands, drift incidents, lost workers, and alerts around each swap.

Four logs tell it: the audit trail, one line a command however many records it left; the swap log, for names in place of
digests; drift alerts; and heartbeats, for workers that fell silent and for how many alerts there were.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from functools import partial

from msgspec import Struct
from msgspec.structs import replace

from schemas.drift import DriftAlert, DriftPhase, DriftSeverity
from schemas.rollout import AuditRecord, ModelStatus, Phase, Stage
from schemas.scoring import ModelRef
from stream_app.rollout.swap_log import Swap, SwapLog

AROUND = timedelta(minutes=10)  # of a swap: alerts are counted so long before and after it
SEAL = "seal"
BY_THE_CONTROLLER = ("activate-", "abort-")  # its answers name the stage that they are about so
BEFORE_A_STAGE = frozenset({"train", "register", "gate", "override"})  # what a deploy puts on record of its model
CONCLUSIONS = frozenset({"activate", "abort", "refuse", "warn"})
_DIGEST = re.compile(r"(?P<named> \()?(?:\bmodel )?\b(?P<digest>[0-9a-f]{64}|[0-9a-f]{12})\b(?(named)\))")


class LineKind(StrEnum):
    """What a line of the timeline is about."""

    COMMAND = "command"
    RECORD = "record"
    DRIFT = "drift"
    LOST = "lost"


class SwapVolume(Struct, frozen=True):
    """Alerts among the events that one model decided within `AROUND` of a swap."""

    scored: int
    anomalies: int

    @property
    def share(self) -> float:
        """Of the events; at least one is there."""
        return self.anomalies / self.scored


class TimelineLine(Struct, frozen=True):
    """One thing that happened.

    Attributes:
        at: When.
        kind: What it is about.
        who: Who did it or, of what nobody did, what noticed it.
        what: The command, or `drift`, `drift over`, `lost`.
        subject: What it was done to, by name; of a lost worker, which.
        why: The reason given.
        effect: What came of it.
        severity: Of drift.
        before: Alerts before a swap; None where no heartbeat tells.
        after: Alerts after it.
        records: What the audit trail holds of it, whole.
    """

    at: datetime
    kind: LineKind
    who: str
    what: str
    subject: str
    why: str = ""
    effect: str = ""
    severity: DriftSeverity | None = None
    before: SwapVolume | None = None
    after: SwapVolume | None = None
    records: list[AuditRecord] = []


class Heartbeats:
    """Statuses, read for the gaps between them and for what was counted around swaps.

    Args:
        swaps: In the order of their time.
        lost_after: The silence after which a worker is lost.
    """

    def __init__(self, swaps: Sequence[Swap], lost_after: timedelta) -> None:
        self.lost: list[TimelineLine] = []
        self._swaps = swaps
        self._lost_after = lost_after
        self._newest: dict[str, tuple[datetime, ModelStatus]] = {}
        self._beats: dict[str, ModelStatus] = {}
        self._counts: dict[tuple[int, bool], SwapVolume] = {}

    def add(self, status: ModelStatus, at: datetime) -> None:
        """Take the next status with its Kafka timestamp."""
        known = self._newest.get(status.worker)
        if known is not None and known[1].phase is not Phase.STOPPED and at - known[0] > self._lost_after:
            self.lost.append(self._gone(*known, at))
        if status.vitals is not None:
            self._count(status, at)
            self._beats[status.worker] = status
        elif known is not None and known[1].phase is not Phase.STOPPED:
            status = known[1]  # with the partitions that it held
        self._newest[status.worker] = (at, status)

    def lost_until(self, now: datetime) -> list[TimelineLine]:
        """Every worker that fell silent without a word of its end, with those that are silent now."""
        silent = [
            self._gone(at, status, None)
            for at, status in self._newest.values()
            if status.phase is not Phase.STOPPED and now - at > self._lost_after
        ]
        return self.lost + silent

    def around(self, swap: Swap) -> tuple[SwapVolume | None, SwapVolume | None]:
        """Alerts before and after a swap."""
        number = self._swaps.index(swap)
        return self._counts.get((number, False)), self._counts.get((number, True))

    def _count(self, status: ModelStatus, at: datetime) -> None:
        """Count what a worker has done since its heartbeat before, with one model."""
        before, vitals, model = self._beats.get(status.worker), status.vitals, status.serving
        if before is None or before.vitals is None or vitals is None or model is None or before.serving != model:
            return
        scored, anomalies = vitals.scored - before.vitals.scored, vitals.anomalies - before.vitals.anomalies
        if before.vitals.started_at != vitals.started_at or scored <= 0 or anomalies < 0:
            return
        for number, swap in enumerate(self._swaps):
            is_after, served = at >= swap.at, swap.model if at >= swap.at else swap.before
            others = self._swaps[number + 1].at if is_after and number + 1 < len(self._swaps) else None
            if served == model and abs(at - swap.at) <= AROUND and (others is None or at <= others):
                known = self._counts.get((number, is_after), SwapVolume(0, 0))
                total = SwapVolume(known.scored + scored, known.anomalies + anomalies)
                self._counts[number, is_after] = total

    def _gone(self, at: datetime, status: ModelStatus, back: datetime | None) -> TimelineLine:
        held = sorted(p.partition for p in status.vitals.partitions) if status.vitals else []
        which = f"; it had partition{'s' * (len(held) != 1)} {', '.join(map(str, held))}" if held else ""
        effect = f"silent for {_seconds(back - at)}, then back" if back is not None else "silent until now"
        return TimelineLine(at, LineKind.LOST, "heartbeats", "lost", status.worker, effect=effect + which)


@dataclass
class _Command:
    """The records of one command, or a record that is of none."""

    records: list[AuditRecord] = field(default_factory=list)

    @property
    def own(self) -> AuditRecord:
        """The record by whoever gave it."""
        mine = (r for r in self.records if r.command_id and r.action not in CONCLUSIONS)
        return next(mine, self.records[0])

    def line(self) -> TimelineLine:
        """As one line: the action by its last name, since a deploy begins as a stage."""
        own = self.own
        of_issuer = [r for r in self.records if r.command_id == own.command_id and r.actor == own.actor]
        last = of_issuer[-1] if own.command_id else self.records[-1]
        said = [_of_gates(r) for r in self.records if r.action in ("gate", "override") and r is not last]
        concluded = last if last.effect != "commanded" else self.records[-1]
        return TimelineLine(
            at=own.at,
            kind=LineKind.COMMAND if own.command_id else LineKind.RECORD,
            who=own.actor,
            what=last.action,
            subject=last.subject,
            why="" if own.action == "gate" else own.reason,  # which has the digest of its report there
            effect="; ".join(filter(None, (*said, concluded.effect))),
            records=self.records,
        )


def timeline(
    trail: Iterable[AuditRecord],
    log: SwapLog,
    alerts: Iterable[tuple[datetime, DriftAlert]],
    heartbeats: Heartbeats,
    now: datetime,
) -> list[TimelineLine]:
    """Every line, in the order of time.

    Args:
        trail: The audit trail.
        log: The swap log.
        alerts: Of `drift-alerts`, each with its Kafka timestamp.
        heartbeats: Of which statuses have been taken.
        now: Until when workers are known to be silent.
    """
    swaps = {swap.command_id: swap for swap in log.swaps}
    lines = []
    for command in _commands(trail):
        line, swap = command.line(), swaps.get(command.own.command_id)
        if swap is not None:
            before, after = heartbeats.around(swap)
            line = replace(line, before=before, after=after)
        lines.append(line)
    said = partial(_DIGEST.sub, partial(_word, _names(log)))
    named = [replace(line, subject=said(line.subject), why=said(line.why), effect=said(line.effect)) for line in lines]
    return sorted([*named, *_drift(alerts), *heartbeats.lost_until(now)], key=lambda line: line.at)


def alerts_around(line: TimelineLine) -> str:
    """The share of alerts before and after a swap, in words; empty where no heartbeat tells."""
    before, after = (f"{v.share * 100:.2f} %" if v is not None else "" for v in (line.before, line.after))
    return f"{before} → {after}".strip() if before or after else ""


def _commands(trail: Iterable[AuditRecord]) -> list[_Command]:
    """The records by command, in the order of their first ones."""
    found: list[_Command] = []
    by_id: dict[str, _Command] = {}
    waiting: dict[tuple[str, str, str], _Command] = {}  # what is on record of a model that is about to be staged
    for record in trail:
        session = (record.writer, record.actor, record.subject)
        command_id = record.command_id
        for answer in BY_THE_CONTROLLER:
            command_id = command_id.removeprefix(answer)
        command = by_id.get(command_id) if command_id else None
        if command is None:
            command = waiting.pop(session, None) if command_id or record.action in BEFORE_A_STAGE else None
        if command is None:
            command = _Command()
            found.append(command)
        command.records.append(record)
        if command_id:
            by_id[command_id] = command
        elif record.action in BEFORE_A_STAGE:
            waiting[session] = command
    return found


def _drift(alerts: Iterable[tuple[datetime, DriftAlert]]) -> list[TimelineLine]:
    """Where each incident was raised, with the cause by which it was confirmed, and where it was over."""
    raised: dict[str, tuple[datetime, DriftAlert]] = {}
    over: dict[str, tuple[datetime, DriftAlert]] = {}
    for at, alert in alerts:
        if alert.phase is DriftPhase.OVER:
            over.setdefault(alert.alert_id, (at, alert))
        else:
            raised[alert.alert_id] = (raised.get(alert.alert_id, (at, alert))[0], alert)
    lines = [_incident(at, "drift", alert, alert.cause) for at, alert in raised.values()]
    ends = [_incident(at, "drift over", a, a.over_because or "every signal is back") for at, a in over.values()]
    return lines + ends


def _incident(at: datetime, what: str, alert: DriftAlert, effect: str) -> TimelineLine:
    subject = f"{alert.model.name} {alert.model.version}{f' in {alert.segment}' * bool(alert.segment)}"
    return TimelineLine(
        at, LineKind.DRIFT, "drift detection", what, subject, f"{alert.severity}", effect, alert.severity
    )


def _names(log: SwapLog) -> dict[str, ModelRef]:
    """The models that were ever staged, by digest."""
    stages = (entry.command for entry in log.entries if isinstance(entry.command, Stage))
    return {stage.model.sha256: stage.model for stage in stages}


def _word(names: dict[str, ModelRef], found: re.Match[str]) -> str:
    """A digest as the model's name and version, where it has them; behind those, nothing; else its beginning."""
    digest = found["digest"]
    model = next((m for sha256, m in names.items() if sha256.startswith(digest)), None)
    if model is None:
        return found[0].replace(digest, digest[:12])
    return "" if found["named"] else f"{model.name} {model.version}"


def _of_gates(record: AuditRecord) -> str:
    return f"gates {record.effect}" if record.action == "gate" else f"overridden {record.effect}: {record.reason}"


def _seconds(span: timedelta) -> str:
    seconds = round(span.total_seconds())
    return f"{seconds} s" if seconds < 120 else f"{round(seconds / 60)} min"
