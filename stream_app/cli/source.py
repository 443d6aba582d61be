"""MODEL as people write it in; where it is, or the model itself, out."""

from pathlib import Path
from typing import TYPE_CHECKING

import typer

from stream_app.cli import invocation

if TYPE_CHECKING:
    from models.runtime import Runtime
    from stream_app.rollout.cache import Source
    from stream_app.settings import Settings

PLACES = "a path, s3://, http(s)://, models:/NAME/VERSION or models:/NAME@ALIAS"


def located(settings: "Settings", model: str) -> "Source":
    """A path, a URI as it is, or what the registry says at this moment: an alias may move, the command does not.

    Raises:
        RegistryError: the registry does not answer, or knows no such model.
    """
    from models.registry import address
    from stream_app.rollout.object_store import SCHEMES

    if model.startswith(address.SCHEME):
        from models.registry import registry

        return registry.connect(settings.tracking_uri).find(model)
    return model if model.startswith(SCHEMES) else Path(model)


def loaded(model: str) -> "Runtime":
    """The model, ready to score.

    Raises:
        ArtefactError, FetchError, RegistryError: it cannot be had, or is none.
    """
    from models import artefact
    from stream_app.rollout.cache import at_hand

    with at_hand(located(invocation.settings(), model)) as file:
        return artefact.load(file)


def there(model: str | None) -> str | None:
    """For typer: a path that does not exist is called wrongly."""
    if model is not None and "://" not in model and not model.startswith("models:/") and not Path(model).is_file():
        raise typer.BadParameter(f"there is no file {model}; what is meant is {PLACES}")
    return model
