"""`stream-app gate`: may a candidate take the place of the model that serves?"""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
import typer

from models.gates.limits import load_limits
from models.gates.report import GateReport
from stream_app.cli.compared import Named, compared
from stream_app.cli.detector import Detector
from stream_app.cli.model_argument import existing_model
from stream_app.cli.options import PLACES, FirstDay, Json, LastDay, day
from stream_app.cli.terminal import out, out_json, say, waiting

if TYPE_CHECKING:
    from models.gates.comparison import GateComparison

app = typer.Typer(rich_markup_mode=None)

REFUSED = 1


@app.command(epilog="Example: stream-app gate models/8.pt --against models/7.pt --data recent.parquet")
def gate(  # noqa: PLR0913 - one parameter for each option is typer's way
    *,
    candidate: Annotated[
        str, typer.Argument(metavar="CANDIDATE", help=f"What wants to serve: {PLACES}.", callback=existing_model)
    ],
    champion: Annotated[
        str, typer.Option("--against", metavar="CHAMPION", help="What serves, likewise.", callback=existing_model)
    ],
    data: Annotated[
        Path,
        typer.Option("--data", metavar="DATA", help="Recent days: a file, a folder of parts or a pattern."),
    ],
    since: FirstDay = None,
    until: LastDay = None,
    limits: Annotated[
        Path | None,
        typer.Option(metavar="TOML", help="How far it may differ. Default: models/gates/limits.toml.", dir_okay=False),
    ] = None,
    detector: Detector = None,
    html: Annotated[Path | None, typer.Option(metavar="OUT", help="Write the report as a page, with plots.")] = None,
    as_json: Json = False,
) -> None:
    """Say whether CANDIDATE may take the place of CHAMPION: exit code 0 if it may, 1 if it is refused.

    Both score the same days of DATA: accuracy (where it has labels), alert volume, agreement, latent stability,
    score distribution, robustness, cost. Days before --from are history, as for `evaluate`.
    """
    allowed = load_limits(limits)
    with waiting("loading") as tell:
        sides = Named(candidate, "CANDIDATE"), Named(champion, "--against")
        comparison = compared(*sides, data, detector, (day(since), day(until)), allowed, tell)
        tell("judging")
        from models.gates.judge import judge

        report = judge(comparison, allowed)
    if html is not None:
        _write_page(report, comparison, html)
    if as_json:
        out_json(_as_json(report))
    else:
        print_report(report)
    if not report.passed:
        raise typer.Exit(REFUSED)


def print_report(report: GateReport) -> None:
    """A sentence for each gate, why it matters where it refuses, and the conclusion."""
    for result in report.gates:
        out(result.sentence)
        if not result.passes:
            out(f"    why it matters: {result.why}")
    out(report.conclusion)


def _write_page(report: GateReport, comparison: "GateComparison", path: Path) -> None:
    from models.gates.page import page

    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(page(report, comparison), "utf-8")
    say(f"the page is in {path}")


def _as_json(report: GateReport) -> dict[str, Any]:
    verdict = {
        "passed": report.passed,
        "failed": report.failed,
        "conclusion": report.conclusion,
        "digest": report.digest,
    }
    return {**verdict, **msgspec.to_builtins(report)}
