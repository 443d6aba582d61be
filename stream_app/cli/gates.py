"""`stream-app gate`: may a candidate take the place of the model that serves?"""

from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
import typer

from models.archive import Archive, ArtefactError
from models.gates.limits import Limits, load_limits
from models.gates.report import GateReport
from schemas.definition import Definition
from stream_app.cli.configured import settings
from stream_app.cli.detector import Detector, chosen_detector
from stream_app.cli.model_argument import existing_model, resolve_model
from stream_app.cli.options import PLACES, FirstDay, Json, LastDay, day
from stream_app.cli.terminal import out, out_json, say, waiting
from stream_app.rollout import artefacts

if TYPE_CHECKING:
    import polars as pl

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
    from models.definition import together

    allowed = load_limits(limits)
    with waiting("loading") as tell:
        archives = _archive(candidate, "CANDIDATE", tell), _archive(champion, "--against", tell)
        tell(f"reading {data}")
        both = together(*(archive.manifest.definition for archive in archives))
        frame = _frame(data, day(until), chosen_detector(detector, settings(), both))
        tell("comparing")
        comparison = _compare(*archives, frame, allowed, day(since), day(until))
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


def _archive(model: str, named_by: str, tell: Callable[[str], None]) -> Archive:
    """What cannot be compared at all was called wrongly: exit code 1 is for a refusal."""
    try:
        archive = artefacts.read(resolve_model(settings(), model))
        tell(f"looking at {archive.ref}")
        return archive
    except ArtefactError as error:
        raise typer.BadParameter(str(error), param_hint=named_by) from error


def _frame(data: Path, until: date | None, definition: Definition) -> "pl.DataFrame":
    from models.data.files import DataError
    from models.data.frame import read

    try:
        return read(data, until=until, definition=definition, labels_needed=False)
    except DataError as error:
        raise typer.BadParameter(str(error), param_hint="--data") from error


def _compare(
    ours: Archive, theirs: Archive, frame: "pl.DataFrame", limits: Limits, since: date | None, until: date | None
) -> "GateComparison":
    """Both models on the rows."""
    from models import artefact
    from models.definition import DefinitionError
    from models.gates.comparison import compare
    from models.protocol import EvaluationError

    try:
        return compare(artefact.run(ours), artefact.run(theirs), frame, limits, since, until)
    except (EvaluationError, DefinitionError) as error:
        raise typer.BadParameter(str(error), param_hint="--data") from error


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
