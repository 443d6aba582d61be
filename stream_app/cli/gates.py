"""`stream-app gate`: a candidate, the model that serves and data in; a verdict, its reasons and a page out."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from stream_app.cli.data import FirstDay, LastDay, day
from stream_app.cli.source import PLACES, loaded, there
from stream_app.cli.terminal import out, out_json, say, waiting

if TYPE_CHECKING:
    from models.gates.comparison import GateComparison
    from models.gates.limits import Limits
    from models.gates.report import GateReport

REFUSED = 1


def gate(  # noqa: PLR0913 - one parameter for each option is typer's way
    *,
    candidate: Annotated[
        str, typer.Argument(metavar="CANDIDATE", help=f"What wants to serve: {PLACES}.", callback=there)
    ],
    champion: Annotated[
        str, typer.Option("--against", metavar="CHAMPION", help="What serves, likewise.", callback=there)
    ],
    data: Annotated[
        Path,
        typer.Option("--data", metavar="DATA", help="Parquet file of recent days.", exists=True, dir_okay=False),
    ],
    since: FirstDay = None,
    until: LastDay = None,
    limits: Annotated[
        Path | None,
        typer.Option(metavar="TOML", help="How far it may differ. Default: models/gates/limits.toml.", dir_okay=False),
    ] = None,
    html: Annotated[Path | None, typer.Option(metavar="OUT", help="Write the report as a page, with plots.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="As JSON.")] = False,
) -> None:
    """Say whether CANDIDATE may take the place of CHAMPION: exit code 0 if it may, 1 if it is refused.

    Both score the same days of DATA: accuracy (where it has labels), alert volume, agreement, latent stability,
    score distribution, robustness, cost. Days before --from are history, as for `evaluate`.
    """
    from models.gates.judge import judge
    from models.gates.limits import load_limits

    allowed = load_limits(limits)
    with waiting("loading") as tell:
        comparison = _compare(candidate, champion, data, allowed, (since, until), tell)
        tell("judging")
        report = judge(comparison, allowed)
    if html is not None:
        _write_page(report, comparison, html)
    if as_json:
        out_json(_as_json(report))
    else:
        print_report(report)
    if not report.passed:
        raise typer.Exit(REFUSED)


def print_report(report: "GateReport") -> None:
    """A sentence for each gate, why it matters where it refuses, and the conclusion."""
    for said in report.gates:
        out(said.sentence)
        if not said.passes:
            out(f"    why it matters: {said.why}")
    out(report.conclusion)


def _compare(
    candidate: str,
    champion: str,
    data: Path,
    limits: "Limits",
    days: tuple[FirstDay, LastDay],
    tell: Callable[[str], None],
) -> "GateComparison":
    """Both models on the rows. What cannot be compared at all was called wrongly: 1 is for who was judged."""
    from models.artefact import ArtefactError
    from models.data.frame import DataError, read
    from models.features import SpecError
    from models.gates.comparison import compare
    from models.protocol import EvaluationError

    since, until = map(day, days)
    try:
        theirs = loaded(champion)
    except ArtefactError as error:
        raise typer.BadParameter(str(error), param_hint="--against") from error
    ours = loaded(candidate)
    tell(f"reading {data}")
    try:
        frame = read(data, until=until, labels_needed=False)
        tell("scoring")
        return compare(ours, theirs, frame, limits, since, until)
    except (DataError, EvaluationError, SpecError) as error:
        raise typer.BadParameter(str(error), param_hint="--data") from error


def _write_page(report: "GateReport", comparison: "GateComparison", path: Path) -> None:
    from models.gates.page import page

    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(page(report, comparison), "utf-8")
    say(f"the page is in {path}")


def _as_json(report: "GateReport") -> dict[str, Any]:
    import msgspec

    verdict = {
        "passed": report.passed,
        "failed": report.failed,
        "conclusion": report.conclusion,
        "digest": report.digest,
    }
    return {**verdict, **msgspec.to_builtins(report)}


def register(app: typer.Typer) -> None:
    """Add the command of this module."""
    app.command(epilog="Example: stream-app gate models/8.pt --against models/7.pt --data recent.parquet")(gate)
