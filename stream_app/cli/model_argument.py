"""MODEL, as operators write it: a path, a URI or a `models:/` address."""

from pathlib import Path

import typer

from models.registry import address, registry
from stream_app.cli.options import PLACES
from stream_app.rollout.artefacts import REMOTE, Source
from stream_app.settings import Settings


def resolve_model(settings: Settings, model: str) -> Source:
    """A path, a URI as it is, or what the registry says at this moment: an alias may move, the command does not.

    Raises:
        RegistryError: the registry does not answer, or knows no such model.
    """
    if model.startswith(address.SCHEME):
        return registry.connect(settings.tracking_uri).find(model)
    return model if model.startswith(REMOTE) else Path(model)


def existing_model(model: str | None) -> str | None:
    """Refuse a path that does not exist as a wrong call; a callback for typer."""
    if model is not None and "://" not in model and not model.startswith("models:/") and not Path(model).is_file():
        raise typer.BadParameter(f"there is no file {model}; what is meant is {PLACES}")
    return model
