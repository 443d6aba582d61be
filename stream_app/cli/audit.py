"""`stream-app audit` and `audit verify`: what happened as a timeline, and the proof that nothing of it was touched."""

import sys
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from schemas.drift import DriftAlert
from schemas.rollout import AuditRecord, ModelStatus
from schemas.topics import AUDIT, DRIFT_ALERTS, MODEL_STATUS
from stream_app.audit.proof import AuditVerdict, prove
from stream_app.cli.configured import connected_settings
from stream_app.cli.options import MOMENTS
from stream_app.cli.readable import clean, moment
from stream_app.cli.terminal import console, out, out_json, say, table, waiting
from stream_app.kafka.log import read_to_end
from stream_app.kafka.records import RecordDecoder, moment_of
from stream_app.report.timeline import SEAL, Heartbeats, TimelineLine, alerts_around, timeline
from stream_app.rollout.swap_log import read_swap_log
from stream_app.settings import Settings

app = typer.Typer(rich_markup_mode=None)

ROOM_FOR_WHY = 50  # characters, effect and why together
HEARTBEATS_BACK = timedelta(days=1)  # without --since: there is one a second of each worker


class Aspect(StrEnum):
    """What to do with the trail."""

    SHOW = "show"
    VERIFY = "verify"


@app.command(epilog="Example: stream-app audit --action rollback --since 2026-07-01; then stream-app audit verify")
def audit(
    *,
    aspect: Annotated[
        Aspect, typer.Argument(metavar="[verify]", help="Prove that no record was removed, changed, inserted or moved.")
    ] = Aspect.SHOW,
    actor: Annotated[str | None, typer.Option(metavar="TEXT", help="Only whose name contains this.")] = None,
    action: Annotated[
        str | None, typer.Option(metavar="ACTION", help="Only this: deploy, rollback, refuse, drift, lost, seal, ...")
    ] = None,
    since: Annotated[
        datetime | None, typer.Option(formats=MOMENTS, metavar="TIME", help="From then on, UTC: 2026-07-01T09:00.")
    ] = None,
    head: Annotated[
        str | None, typer.Option(metavar="OFFSET:SHA256", help="What an earlier `audit verify` called the head.")
    ] = None,
    html: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write it as one page that holds everything, to hand in.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="As JSON: reasons whole, with every record.")] = False,
) -> None:
    """Show who did what, when, why, with what effect; or, with `verify`, prove that the trail is whole.

    A command is one line. Drift incidents, lost workers, and the share of alerts before and after each swap stand
    between them. Exit code 1 of `verify` names the offsets where the trail is not whole, and what was done there.
    """
    if head is not None and not head.partition(":")[0].isdecimal():
        raise typer.BadParameter("the head is OFFSET:SHA256, as `stream-app audit verify` prints it")
    settings = connected_settings()
    if aspect is Aspect.VERIFY:
        _verify(settings, head, as_json)
        return
    start = since and since.replace(tzinfo=UTC)
    known_from = start or datetime.now(UTC) - HEARTBEATS_BACK
    lines = _lines(settings, known_from, seals=action == SEAL)
    shown = [x for x in lines if _is_asked_for(x, actor, action) and (start is None or x.at >= start)]
    if html is not None:
        from stream_app.report import timeline_page

        html.write_text(timeline_page.html(shown, known_from, datetime.now(UTC)), encoding="utf-8")
        out(f"{html}: {len(shown)} lines")
    elif as_json:
        out_json(shown)
    elif shown:
        _print_timeline(shown)
        kept = f"which are kept for {MODEL_STATUS.retention.days} days (--since)"
        say(f"lost workers, and alerts around swaps: by heartbeats since {moment(known_from)} UTC, {kept}")
    else:
        out("nothing is on record" + (" that fits" if actor or action or since else ""))


def _is_asked_for(line: TimelineLine, actor: str | None, action: str | None) -> bool:
    by = actor is None or actor in line.who or any(actor in record.actor for record in line.records)
    return by and (action is None or action in (line.what, *(record.action for record in line.records)))


def _lines(settings: Settings, known_from: datetime, seals: bool) -> list[TimelineLine]:
    """The timeline; of heartbeats, those from a time on."""
    with waiting("reading the audit trail") as tell:
        log = read_swap_log(settings)
        trail = [record for _, record in RecordDecoder[AuditRecord](AuditRecord).each(read_to_end(settings, AUDIT))]
        alerts = RecordDecoder[DriftAlert](DriftAlert).each(read_to_end(settings, DRIFT_ALERTS))
        raised = [(moment_of(record) or alert.raised_at, alert) for record, alert in alerts]
        tell("reading heartbeats")
        heartbeats = Heartbeats(log.swaps, timedelta(seconds=settings.worker_lost_after_s))
        statuses = read_to_end(settings, MODEL_STATUS, known_from, committed=False)
        for record, status in RecordDecoder[ModelStatus](ModelStatus).each(statuses):
            heartbeats.add(status, moment_of(record) or status.at)
    kept = (record for record in trail if seals or record.action != SEAL)
    return timeline(kept, log, raised, heartbeats, datetime.now(UTC))


def _print_timeline(lines: list[TimelineLine]) -> None:
    """A row each. On a terminal a row is one line, and what does not fit is cut; piped, and as JSON, it is whole."""
    rows = [[moment(line.at), *map(clean, (line.who, _what(line), _effect(line), line.why))] for line in lines]
    screen = console()
    if sys.stdout.isatty():
        rows = _fitted(rows, screen.width)
    shown = table("when (UTC)", "who", "what", "effect", "why")
    for row in rows:
        shown.add_row(*map(escape, row))
    screen.print(shown)


def _what(line: TimelineLine) -> str:
    return f"{line.what} {line.subject}".strip()


def _effect(line: TimelineLine) -> str:
    alerts = alerts_around(line)
    return f"alerts {alerts}; {line.effect}" if alerts else line.effect


def _fitted(rows: list[list[str]], width: int) -> list[list[str]]:
    """The rows as wide as a terminal, without the year; of two long columns the second has two fifths of the rest.

    Where there is little room, the first has all of it.
    """
    rows = [[when[5:], who, what, effect, why] for when, who, what, effect, why in rows]
    widths = [min(max(len(row[i]) for row in rows), most) for i, most in enumerate((14, 16, 30))]
    rest = width - sum(widths) - 2 * len(rows[0])
    whys = rest * 2 // 5 if rest >= ROOM_FOR_WHY else len("why")
    widths += [max(rest - whys, len("effect")), whys]
    return [[cell if len(cell) <= w else f"{cell[: w - 1]}…" for cell, w in zip(r, widths, strict=True)] for r in rows]


def _verify(settings: Settings, head: str | None, as_json: bool) -> None:
    with waiting("reading the audit trail"):
        values = [(message.offset() or 0, message.value() or b"") for message in read_to_end(settings, AUDIT)]
        verdict = prove(values, head)
    if as_json:
        out_json(verdict)
    else:
        _tell(verdict)
    if not verdict.ok:
        raise typer.Exit(1)


def _tell(verdict: AuditVerdict) -> None:
    """The sum, then every place where it does not come out."""
    out(
        f"the audit trail {'holds' if verdict.ok else 'is BROKEN'}: {verdict.records:,} records, "
        f"{verdict.sealed:,} of them sealed"
    )
    if verdict.unchained:
        out(f"the first {verdict.unchained:,} are from before records were chained")
    for b in verdict.breaks:
        out(f"  offset {b.offset}, {b.how}: {b.what}")
    if verdict.ok and verdict.head:
        out(f"head {verdict.head}: keep it elsewhere, `audit verify --head` proves everything before it")
