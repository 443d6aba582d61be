"""`stream-app verify`: the proof that nothing of the input was lost."""

from typing import Annotated

import typer

from stream_app.cli.configured import connected_settings
from stream_app.cli.terminal import out, out_json, waiting
from stream_app.verify import cluster
from stream_app.verify.cluster import LedgerVerdict

app = typer.Typer(rich_markup_mode=None)


@app.command(epilog="Example: stream-app verify --json")
def verify(as_json: Annotated[bool, typer.Option("--json", help="As JSON.")] = False) -> None:
    """Prove that every committed input offset was scored or dead-lettered; exit code 1 names those that were not."""
    chosen = connected_settings()
    with waiting("reading the ledger") as tell:
        verdict = cluster.verify(chosen, tell)
    if as_json:
        out_json(verdict)
    else:
        _tell(verdict)
    if not verdict.ok:
        raise typer.Exit(1)


def _tell(verdict: LedgerVerdict) -> None:
    """The sum, and every place where it does not come out."""
    out(
        f"conservation {'holds' if verdict.ok else 'is BROKEN'}: {verdict.committed:,} committed offsets = "
        f"{verdict.scored:,} scored + {verdict.dead_lettered:,} dead-lettered + {verdict.empty:,} without a record"
    )
    if verdict.unverifiable:
        out(f"{verdict.unverifiable:,} of the offsets without a record are older than what the input still holds")
    for b in verdict.breaks:
        out(f"  partition {b.partition}, offsets {b.from_offset} to {b.to_offset}: {b.what}")
