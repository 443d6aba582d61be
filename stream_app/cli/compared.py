"""Two models on the same days of data, for the commands that compare them."""

from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import typer

from models.archive import Archive, ArtefactError
from models.gates.limits import Limits
from schemas.definition import Definition
from stream_app.cli.configured import settings
from stream_app.cli.detector import chosen_detector
from stream_app.cli.model_argument import resolve_model
from stream_app.rollout import artefacts

if TYPE_CHECKING:
    import polars as pl

    from models.gates.comparison import GateComparison


class Named(NamedTuple):
    """A model as it was given, and the option that gave it."""

    model: str
    option: str


def compared(
    candidate: Named,
    champion: Named,
    data: Path,
    detector: str | None,
    days: tuple[date | None, date | None],
    limits: Limits,
    tell: Callable[[str], None],
) -> "GateComparison":
    """Both models on the rows.

    Args:
        detector: The definition, as `--detector` takes it; None: that of both models.
        days: First and last, None for those that the data has.
        tell: Is told what is going on.

    Raises:
        typer.BadParameter: a model or the data cannot be read: exit code 1 is for a refusal.
    """
    from models.definition import together

    archives = _archive(candidate, tell), _archive(champion, tell)
    tell(f"reading {data}")
    both = together(*(archive.manifest.definition for archive in archives))
    frame = _frame(data, days[1], chosen_detector(detector, settings(), both))
    tell("comparing")
    from models import artefact
    from models.definition import DefinitionError
    from models.gates.comparison import compare
    from models.protocol import EvaluationError

    ours, theirs = archives
    try:
        return compare(artefact.run(ours), artefact.run(theirs), frame, limits, *days)
    except (EvaluationError, DefinitionError) as error:
        raise typer.BadParameter(str(error), param_hint="--data") from error


def _archive(named: Named, tell: Callable[[str], None]) -> Archive:
    try:
        archive = artefacts.read(resolve_model(settings(), named.model))
        tell(f"looking at {archive.ref}")
        return archive
    except ArtefactError as error:
        raise typer.BadParameter(str(error), param_hint=named.option) from error


def _frame(data: Path, until: date | None, definition: Definition) -> "pl.DataFrame":
    from models.data.files import DataError
    from models.data.frame import read

    try:
        return read(data, until=until, definition=definition, labels_needed=False)
    except DataError as error:
        raise typer.BadParameter(str(error), param_hint="--data") from error
