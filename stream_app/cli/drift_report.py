"""`stream-app drift-report`: the drift of a window as one page."""

from pathlib import Path
from typing import Annotated

import typer

from models.replacing import require_place
from stream_app.cli.configured import connected_settings
from stream_app.cli.terminal import out, out_json, progress, waiting

app = typer.Typer(rich_markup_mode=None)


@app.command(
    "drift-report", epilog="Example: stream-app drift-report --window 24h --reference history.parquet --out drift.html"
)
def drift_report(
    window: Annotated[
        str, typer.Option(metavar="WINDOW", help="24h, 7d, 20000 (the last events) or FROM/UNTIL, in event time.")
    ] = "24h",
    destination: Annotated[Path, typer.Option("--out", metavar="FILE", help="Where the page goes.")] = Path(
        "drift-report.html"
    ),
    reference: Annotated[
        Path | None,
        typer.Option(metavar="DATA", help="Training data. Default: the first rows that the input topic still holds."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the key figures as JSON, too.")] = False,
) -> None:
    """Make one page of a window: its drift incidents as pictures, and Evidently's report against the reference.

    The page holds everything that it needs: it can be sent, kept, and opened without a network.
    """
    require_place(destination)
    from stream_app.report import page, report

    report.check_installed()
    settings = connected_settings()
    with waiting("reading what was scored") as tell:
        gathered = report.gather(settings, window, tell)
    with progress("re-scoring", gathered.events) as advance:
        before, now = report.rescore(settings, gathered, reference, advance)
    with waiting("comparing and drawing"):
        made = report.compose(gathered, before, now)
        destination.write_text(page.html(made), encoding="utf-8")
    if as_json:
        out_json(made.figures)
    else:
        found = len(made.figures.incidents)
        out(f"{destination}: {found} incident{'' if found == 1 else 's'} in {made.figures.events:,} events")
