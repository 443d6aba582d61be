"""`--detector`: the definition that a command works by."""

from typing import Annotated

import typer

from models import archive, definition
from schemas.definition import Definition
from schemas.errors import UserError
from stream_app.cli.terminal import say
from stream_app.kafka.clients import TopicMissing
from stream_app.rollout.artefacts import ModelCache
from stream_app.rollout.commands import models
from stream_app.rollout.trust import trust
from stream_app.settings import Settings

Detector = Annotated[
    str | None,
    typer.Option(
        metavar="FILE|NAME",
        help=f"Definition of the events: a file, or one of {', '.join(definition.shipped())}. Default: the setting "
        f"detector, else ./detector.toml, else the model's own, else {definition.DEFAULT}.",
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


def serving_detector(option: str | None, settings: Settings) -> Definition:
    """The definition by which the events of the input are read, where no model is at hand: `own` is what serves.

    Raises:
        TomlError: its file cannot be read.
        DefinitionError: it is wrong, or there is none of that name.
    """
    if option or settings.detector or definition.LOCAL.is_file():
        return chosen_detector(option, settings)
    try:
        serving = models(settings).rollout.serving
        if serving is None:
            return definition.default()
        path = ModelCache(settings.model_cache, trust(settings)).fetch(serving.uri, serving.model.sha256)
        return archive.read(path).manifest.definition
    except TopicMissing:  # on a new cluster nothing serves yet
        return definition.default()
    except (UserError, OSError) as error:
        say(f"the definition of the model that serves cannot be had: {error}; name one with --detector FILE")
        return definition.default()
