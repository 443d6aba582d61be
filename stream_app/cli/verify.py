"""`stream-app verify`: the proof that nothing of the input was lost, and a person's word on what was."""

from contextlib import closing
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated

import typer

from stream_app.audit.record import audit_record
from stream_app.cli.configured import connected_settings
from stream_app.cli.invocation import issuer
from stream_app.cli.model_argument import manifest_of
from stream_app.cli.readable import clean
from stream_app.cli.terminal import out, out_json, waiting
from stream_app.rollout.control_producer import ControlProducer
from stream_app.verify import cluster
from stream_app.verify.acknowledged import ACKNOWLEDGE
from stream_app.verify.cluster import LedgerVerdict

if TYPE_CHECKING:
    from stream_app.verify.windows import WindowsCheck

app = typer.Typer(rich_markup_mode=None)


@app.command(epilog="Example: stream-app verify --json")
def verify(
    as_json: Annotated[bool, typer.Option("--json", help="As JSON.")] = False,
    acknowledge: Annotated[
        str | None,
        typer.Option(metavar="REASON", help="Put on audit that the losses found now are known, and why that is all."),
    ] = None,
    windows: Annotated[
        bool, typer.Option("--windows", help="Also count the log anew, and compare it with the windows' checkpoints.")
    ] = False,
) -> None:
    """Prove that every committed input offset was scored or dead-lettered; exit code 1 names those that were not.

    What the broker deleted before it was read, or what somebody passed over by setting the group's offset forward, is a
    loss, with exit code 1 until somebody acknowledges it.
    """
    if acknowledge is not None and not acknowledge.strip():
        raise typer.BadParameter("say why", param_hint="--acknowledge")
    chosen = connected_settings()
    with waiting("reading the ledger") as tell:
        verdict = cluster.verify(chosen, tell)
        if acknowledge is not None and verdict.unacknowledged:
            with closing(ControlProducer(chosen)) as publisher:
                for loss in verdict.unacknowledged:
                    publisher.audit(audit_record(issuer(), ACKNOWLEDGE, str(loss), reason=acknowledge))
            verdict = cluster.verify(chosen, tell)
        if windows:
            from stream_app.verify.windows import verify_windows  # imports the compiler

            checks = verify_windows(chosen, manifest_of(chosen, None), tell)
            verdict = replace(verdict, windows=checks, ok=verdict.ok and not any(check.differing for check in checks))
    if as_json:
        out_json(verdict)
    else:
        _tell(verdict)
    if not verdict.ok:
        raise typer.Exit(1)


def _tell(verdict: LedgerVerdict) -> None:
    """The sum, and every place where it does not come out."""
    out(
        f"conservation {'is BROKEN' if verdict.breaks else 'holds'}: {verdict.committed:,} committed offsets = "
        f"{verdict.scored:,} scored + {verdict.dead_lettered:,} dead-lettered + {verdict.empty:,} without a record"
        f"{f' + {verdict.lost:,} LOST' if verdict.lost else ''}"
    )
    for loss in verdict.losses:
        what = f"known to {loss.acknowledged}" if loss.acknowledged else "LOST"
        out(f"  {what}: {loss}, never read")
    if verdict.unacknowledged:
        out(
            "see why: workers that were away for longer than the input is kept, or somebody who set the group's offset "
            "forward; --acknowledge REASON then puts it on audit"
        )
    for remark in verdict.remarks:
        out(remark)
    if verdict.unverifiable:
        out(f"{verdict.unverifiable:,} of the offsets without a record are older than what the input still holds")
    for check in verdict.windows:
        _tell_windows(check)
    for b in verdict.breaks:
        out(f"  partition {b.partition}, offsets {b.from_offset} to {b.to_offset}: {b.what}")


def _tell_windows(check: "WindowsCheck") -> None:
    if check.cut is None:
        out(f"windows of partition {check.partition}: no checkpoint yet")
        return
    proven = check.entities - check.differing - check.unverifiable
    out(
        f"windows of partition {check.partition} at offset {check.cut:,}: {proven:,} of {check.entities:,} entities "
        f"are as the log gives them, {check.differing:,} DIFFER"
        f"{f', of {check.unverifiable:,} the log does not hold all of the past' if check.unverifiable else ''}"
    )
    for d in check.examples:
        out(clean(f"  entity {d.entity}: {d.window} is {d.checkpoint} in the checkpoint and {d.log} by the log"))
