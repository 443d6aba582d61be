"""`stream-app audit` and `audit verify`: who did what as a timeline, and the proof that nothing of it was touched."""

from collections.abc import Iterator
from datetime import UTC, datetime
from enum import StrEnum
from typing import Annotated

import typer
from rich.markup import escape

from schemas.rollout import AuditRecord
from schemas.topics import AUDIT
from stream_app.audit.proof import AuditVerdict, prove
from stream_app.cli.configured import connected_settings
from stream_app.cli.readable import clean, moment
from stream_app.cli.terminal import console, out, out_json, table, waiting
from stream_app.kafka.log import read_to_end
from stream_app.kafka.records import RecordDecoder
from stream_app.settings import Settings

app = typer.Typer(rich_markup_mode=None)

MOMENTS = ["%Y-%m-%d", "%Y-%m-%dT%H:%M", "%Y-%m-%dT%H:%M:%S", "%Y-%m-%d %H:%M:%S"]
SEAL = "seal"


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
        str | None, typer.Option(metavar="ACTION", help="Only this: stage, activate, rollback, refuse, configure, ...")
    ] = None,
    since: Annotated[
        datetime | None, typer.Option(formats=MOMENTS, metavar="TIME", help="From then on, UTC: 2026-07-01T09:00.")
    ] = None,
    head: Annotated[
        str | None, typer.Option(metavar="OFFSET:SHA256", help="What an earlier `audit verify` called the head.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="As JSON.")] = False,
) -> None:
    """Show who did what, when, why, with what effect; or, with `verify`, prove that the trail is whole.

    Exit code 1 of `verify` names the offsets where it is not, and what was done there.
    """
    if head is not None and not head.partition(":")[0].isdecimal():
        raise typer.BadParameter("the head is OFFSET:SHA256, as `stream-app audit verify` prints it")
    settings = connected_settings()
    if aspect is Aspect.VERIFY:
        _verify(settings, head, as_json)
        return
    shown = [
        record
        for record in _records(settings)
        if (record.action == action if action else record.action != SEAL)
        and (actor is None or actor in record.actor)
        and (since is None or record.at >= since.replace(tzinfo=UTC))
    ]
    if as_json:
        out_json(shown)
    elif shown:
        _print_timeline(shown)
    else:
        out("nothing is on record" + (" that fits" if actor or action or since else ""))


def _records(settings: Settings) -> Iterator["AuditRecord"]:
    with waiting("reading the audit trail"):
        yield from (value for _, value in RecordDecoder[AuditRecord](AuditRecord).each(read_to_end(settings, AUDIT)))


def _print_timeline(records: list[AuditRecord]) -> None:
    timeline = table("when (UTC)", "who", "what", "to what", "why", "effect")
    for r in records:
        cells = (r.actor, r.action, r.subject, r.reason, r.effect)
        timeline.add_row(moment(r.at), *(escape(clean(cell)) for cell in cells))
    console().print(timeline)


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
