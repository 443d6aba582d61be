"""MODEL, as operators write it: a path, a URI or a `models:/` address."""

from typing import TYPE_CHECKING

import typer

from models.registry import address, registry
from schemas.errors import UserError
from stream_app.cli.options import PLACES
from stream_app.rollout.artefacts import REMOTE, FetchError, Source, local_path
from stream_app.settings import Settings

if TYPE_CHECKING:
    from models.archive import Archive
    from models.manifest import Manifest


def resolve_model(settings: Settings, model: str) -> Source:
    """A path, a URI, or what the registry says at this moment: an alias may move, the command does not.

    Raises:
        RegistryError: the registry does not answer, or knows no such model.
    """
    if model.startswith(address.SCHEME):
        return registry.connect(settings.tracking_uri).find(model)
    return model if model.startswith(REMOTE) else local_path(model)


def existing_model(model: str | None) -> str | None:
    """Refuse a path that does not exist as a wrong call; a callback for typer."""
    if model is None or model.startswith((*REMOTE, address.SCHEME)):
        return model
    try:
        found = local_path(model).is_file()
    except FetchError as error:
        raise typer.BadParameter(str(error)) from error
    if not found:
        raise typer.BadParameter(f"there is no file {model}; what is meant is {PLACES}")
    return model


def manifest_of(settings: Settings, model: str | None) -> "Manifest":
    """The manifest of the model that is given, else of the one that serves; raises as `archive_of`."""
    return archive_of(settings, model).manifest


def archive_of(settings: Settings, model: str | None) -> "Archive":
    """The model that is given, else the one that serves.

    Raises:
        UserError: it cannot be had, or none serves.
    """
    from models import archive
    from stream_app.rollout import artefacts
    from stream_app.rollout.artefacts import ModelCache
    from stream_app.rollout.commands import models
    from stream_app.rollout.trust import trust

    if model is not None:
        return artefacts.read(resolve_model(settings, model))
    serving = models(settings).rollout.serving
    if serving is None:
        raise UserError("no model serves: name the one that will with --model MODEL")
    path = ModelCache(settings.model_cache, trust(settings)).fetch(serving.uri, serving.model.sha256)
    return archive.read(path)
