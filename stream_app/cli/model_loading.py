"""MODEL, loaded: for the commands that score with it."""

from models import artefact
from models.runtime import Runtime
from stream_app.cli.configured import settings
from stream_app.cli.model_argument import resolve_model
from stream_app.rollout import artefacts


def load_model(model: str) -> Runtime:
    """The model, ready to score.

    Raises:
        ArtefactError, FetchError, RegistryError: it cannot be had, or is none.
    """
    return artefact.run(artefacts.read(resolve_model(settings(), model)))
