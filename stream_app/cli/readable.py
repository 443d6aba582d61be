"""Records as lines for people: what happened, to whom, why. Foreign values are shown, not refused."""

from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any, get_args

import msgspec

from models import words
from schemas.comparison import Comparison
from schemas.drift import DriftAlert, DriftPhase, DriftSummary
from schemas.rollout import (
    Abort,
    Activate,
    AuditRecord,
    Canary,
    Command,
    GateVerdict,
    ModelStatus,
    Promote,
    Rollback,
    Shadow,
    Stage,
)
from schemas.scoring import Anomaly, DeadLetter, Label, Latent, Reason, Redelivered, Score
from schemas.topics import TRANSACTIONS, Topic
from stream_app.drift.published import ended
from stream_app.kafka.records import RecordDecoder, Unreadable

LONGEST_RAW = 200
LONGEST_LINE = 4000  # of what anybody may have written; --json has it whole
ANY = RecordDecoder[Any](Any)


class Reader:
    """Decodes the values of one topic and puts each into a line; an event of the input is shown as it is."""

    def __init__(self, topic: Topic) -> None:
        self._decoder = RecordDecoder[Any](topic.record)
        self._is_foreign = topic is TRANSACTIONS

    def line(self, value: bytes | None) -> str:
        """The record as one line."""
        if value is None:
            return "(empty record)"
        if self._is_foreign:
            return clean(value.decode("utf-8", errors="replace"))
        record = self._decoder.decoded(value)
        if isinstance(record, Unreadable):
            return f"(not what this topic holds: {record.reason}) {printable(value)}"
        return clean(SENTENCES[type(record)](record))


def as_json_line(value: bytes | None) -> str:
    """The value as one line of JSON: itself where it is JSON, else its bytes in base64."""
    if value is None:
        return "null"
    found = ANY.decoded(value)
    if not isinstance(found, Unreadable):
        with suppress(ValueError, RecursionError):
            return msgspec.json.encode(found).decode()
    return msgspec.json.encode({"not_json_base64": value}).decode()


def printable(value: bytes) -> str:
    """The head of foreign bytes as text."""
    return clean(value[:LONGEST_RAW].decode("utf-8", errors="replace"))


def clean(text: str) -> str:
    """Bounded, and without what a terminal would obey: what producers write must not reach into an analyst's screen."""
    if len(text) > LONGEST_LINE:
        return f"{clean(text[:LONGEST_LINE])}… and {len(text) - LONGEST_LINE:,} characters more"
    return "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text)


def moment(at: datetime) -> str:
    """A time as a person reads it; UTC, as everywhere."""
    with suppress(OverflowError):  # in the first and the last hours of the calendar: as it was written
        at = at.astimezone(UTC)
    return at.strftime("%Y-%m-%d %H:%M:%S")


def reason(part: Reason) -> str:
    """One input's part in a score."""
    return f"{part.feature} {words.reason(part)} ({part.share:.0%})"


def anomaly(a: Anomaly) -> str:
    """An anomaly: when, how strange, whose, and why."""
    why = "; ".join(map(reason, a.explanation))
    known = "  ".join((f"event {a.event_id}", f"entity {a.entity}", *words.fields(a.fields)))
    return (
        f"{moment(a.event_time)}  {a.severity:<8}  score {a.score:.4g} over {a.threshold:.4g} (p {a.p_value:.2g})  "
        f"{known}  because {why}  [{a.model.name} {a.model.version}, {a.source}]"
    )


def _score(s: Score) -> str:
    return f"{moment(s.event_time)}  score {s.score:<10.4g}  event {s.event_id}  entity {s.entity}  [{s.source}]"


def _latent(v: Latent) -> str:
    vector = " ".join(f"{x:.3f}" for x in v.latent)
    return f"{moment(v.event_time)}  event {v.event_id}  [{vector}]"


def _dead_letter(d: DeadLetter) -> str:
    head = "(empty)" if d.value is None else printable(d.value)
    return f"{moment(d.refused_at)}  {d.code:<13}  {d.reason}  [{d.source}, {d.value_size} bytes]  {head}"


def _summary(s: DriftSummary) -> str:
    return (
        f"partition {s.partition}  offsets {s.from_offset} to {s.to_offset}: {s.scored} scored, "
        f"{s.anomalies} anomalies, "
        f"{s.dead_lettered} refused{f', {s.lost} LOST' if s.lost else ''}  [{s.model_sha256[:12]}, {s.worker}]"
    )


def _drift_alert(d: DriftAlert) -> str:
    signals = ", ".join(f"{s.signal} {s.shift:+.2f} sd" for s in d.signals)
    end = f"over: {ended(d, None)}" if d.phase is DriftPhase.OVER else d.action
    return f"{moment(d.raised_at)}  {d.severity:<8}  since {moment(d.since)}: {signals}.  {d.cause}  {end}"


def _status(s: ModelStatus) -> str:
    parts = [f"{moment(s.at)}  {s.worker}  {s.phase:<9}  serves {s.serving or 'no model'}"]
    if s.command_id:
        parts.append(f"command {s.command_id}")
    if s.barriers:
        parts.append("from offsets " + ", ".join(f"{p}:{offset}" for p, offset in s.barriers.items()))
    if s.candidate is not None:
        parts.append(f"tries out {s.candidate} for {s.percent:g} %")
    if s.guard is not None:
        parts.append(s.guard.sentence)
    if s.vitals is not None:
        lag = sum(p.lag for p in s.vitals.partitions)
        parts.append(f"{s.vitals.events_per_second:.0f} events/s, lag {lag}, {len(s.vitals.partitions)} partitions")
    return "  ".join([*parts, s.reason]).rstrip()


def _comparison(c: Comparison) -> str:
    a = c.alerts
    return (
        f"{c.rows} events by {c.candidate[:12]} and {c.champion[:12]}: {a.both} alerts of both, "
        f"{a.only_candidate} and {a.only_champion} of one alone, {c.decided} decided, {c.errors} failed, "
        f"{c.skipped} skipped  [{c.worker}]"
    )


def _command(c: Command) -> str:
    what = c.__struct_config__.tag
    on = f" {c.model} from {c.uri} to {c.role}" if isinstance(c, Stage) else ""
    of = f" of {c.stage_id}" if isinstance(c, Activate | Abort | Shadow | Canary | Promote) else ""
    of += f" for {c.percent:g} %" if isinstance(c, Stage | Canary) and c.percent else ""
    of += f" to {c.to[:12]}" if isinstance(c, Rollback) and c.to else ""
    verdict = gates(c.gates) if isinstance(c, Stage) and c.gates else ""
    return f"{moment(c.issued_at)}  {what}{on}{of}{verdict}  by {c.issuer}  {c.reason}  [{c.command_id}]"


def gates(verdict: GateVerdict) -> str:
    """What the gates said of a stage, and who put it through all the same."""
    said = "gates passed" if verdict.passed else f"gates refused: {', '.join(verdict.failed) or 'not asked'}"
    forced = f", overridden by {verdict.override_by}: {verdict.override_reason}" if verdict.override_reason else ""
    return f" ({said}{forced})"


def _redelivered(record: Redelivered) -> str:
    where = ", ".join(f"{place} {offsets}" for place, offsets in record.places.items())
    return f"{moment(record.at)}  {record.actor}  back on the input: {where}  {record.reason}"


def _label(b: Label) -> str:
    return f"{moment(b.labelled_at)}  event {b.event_id}  {'fraud' if b.fraud else 'legitimate'}"


def _audit(a: AuditRecord) -> str:
    effect = f"  effect: {a.effect}" if a.effect else ""
    return f"{moment(a.at)}  {a.actor}  {a.action}  {a.subject}  {a.reason}{effect}"


SENTENCES: dict[type, Callable[[Any], str]] = {
    Anomaly: anomaly,
    Score: _score,
    Latent: _latent,
    DeadLetter: _dead_letter,
    DriftSummary: _summary,
    DriftAlert: _drift_alert,
    ModelStatus: _status,
    Comparison: _comparison,
    **dict.fromkeys(get_args(Command), _command),
    Redelivered: _redelivered,
    Label: _label,
    AuditRecord: _audit,
}
