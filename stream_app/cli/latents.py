"""`stream-app latents`: can what reads the latents of one model read those of another?"""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import msgspec
import typer

from models.gates.limits import load_limits
from stream_app.cli.compared import Named, compared
from stream_app.cli.detector import Detector
from stream_app.cli.model_argument import existing_model
from stream_app.cli.options import PLACES, FirstDay, Json, LastDay, day
from stream_app.cli.terminal import bad, console, good, out, out_json, say, table, waiting

if TYPE_CHECKING:
    from models.gates.comparison import GateComparison
    from models.latents.report import LatentsReport

app = typer.Typer(rich_markup_mode=None)

NOT_COMPATIBLE = 1


@app.command(epilog="Example: stream-app latents models/7.pt models/8.pt --data recent.parquet --html latents.html")
def latents(  # noqa: PLR0913 - one parameter for each option is typer's way
    *,
    old: Annotated[
        str,
        typer.Argument(metavar="A", help=f"The model whose latents are read now: {PLACES}.", callback=existing_model),
    ],
    new: Annotated[str, typer.Argument(metavar="B", help="The one after it, likewise.", callback=existing_model)],
    data: Annotated[
        Path, typer.Option("--data", metavar="DATA", help="Recent days: a file, a folder of parts or a pattern.")
    ],
    since: FirstDay = None,
    until: LastDay = None,
    detector: Detector = None,
    html: Annotated[
        Path | None, typer.Option(metavar="OUT", help="Write the comparison as a page, with plots.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Say whether what reads the latents of model A can read those of B: exit code 0 if it can, 1 if not.

    Both score the same days of DATA. Said is how much of A's space B gives as it is, rotated, and through a linear map
    (fitted to every second legitimate event, measured on the others), how far the classes and which events moved.
    """
    limits = load_limits(None)
    with waiting("loading") as tell:
        comparison = compared(Named(new, "B"), Named(old, "A"), data, detector, (day(since), day(until)), limits, tell)
        from models.latents.report import latents_report

        report = latents_report(comparison, limits)
    if html is not None:
        _write_page(report, comparison, html)
    if as_json:
        out_json({"compatibility": report.compatibility, **msgspec.to_builtins(report)})
    else:
        _print(report)
    if report.compatibility.name == "NO":
        raise typer.Exit(NOT_COMPATIBLE)


def _print(report: "LatentsReport") -> None:
    from models.latents.words import sentences

    out(f"{report.new} beside {report.old}, {report.rows:,} events, {report.legitimate:,} of them legitimate")
    for sentence in sentences(report):
        out(f"  {sentence}")
    shown = table(
        "moved most",
        "entity",
        "time (UTC)",
        "spreads",
        "old score",
        "new score",
        right=("spreads", "old score", "new score"),
    )
    for row in report.moved:
        figures = (row.distance, row.old_score, row.new_score)
        shown.add_row(
            row.event_id, row.entity, f"{row.event_time:%Y-%m-%d %H:%M}", *(f"{value:.2f}" for value in figures)
        )
    console().print(shown)
    colour = bad if report.compatibility.name == "NO" else good
    out(f"{colour(report.compatibility)}: {report.compatibility.advice}")


def _write_page(report: "LatentsReport", comparison: "GateComparison", path: Path) -> None:
    from models.latents.page import page

    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(page(report, comparison), "utf-8")
    say(f"the page is in {path}")
