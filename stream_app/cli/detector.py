"""`--detector`: the definition that a command works by."""

from typing import Annotated

import typer

from models import definition
from schemas.definition import Definition
from stream_app.settings import Settings

Detector = Annotated[
    str | None,
    typer.Option(
        metavar="FILE|NAME",
        help=f"Definition of the events: a file, or one of {', '.join(definition.shipped())}. Default: the setting "
        "detector, else ./detector.toml, else the model's own, else cards.",
    ),
]


def chosen_detector(option: str | None, settings: Settings, own: Definition | None = None) -> Definition:
    """The definition to work by.

    Args:
        option: As given on the command line.
        settings: Of this invocation.
        own: That of the model at hand.

    Raises:
        TomlError: its file cannot be read.
        DefinitionError: it is wrong, or there is none of that name.
    """
    return definition.find(option or settings.detector, own)
