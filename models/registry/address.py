"""`models:/` addresses, and what they resolve to: a file that workers can fetch, identified by its digest.

models:/card-fraud/7           version 7
models:/card-fraud@candidate   the version that the alias names at this moment
"""

import re
from datetime import datetime
from typing import NamedTuple
from urllib.parse import urlsplit

from msgspec import Struct

from schemas.errors import UserError

SCHEME = "models:/"
_FORM = re.compile(r"models:/+(?P<name>[^/@]+)(?:/(?P<version>[1-9]\d*)|@(?P<alias>[\w.-]+))")
_CREDENTIALS = re.compile(r"//[^/@\s]+@")
_PROXY = "api/2.0/mlflow-artifacts/artifacts"  # where MLflow's server hands out what it keeps


class RegistryError(UserError):
    """The registry cannot be used, or does not hold what was asked for; the message says why, and what to do."""


class Address(NamedTuple):
    """A model's name, and one of version and alias."""

    name: str
    version: str | None
    alias: str | None


class Registered(Struct, frozen=True):
    """A registered version.

    Attributes:
        name: Of the model.
        version: Its number in the registry.
        uri: Where workers fetch the artefact.
        sha256: The digest that it was registered with.
        run_id: The training that it came of.
        registered_at: When.
    """

    name: str
    version: str
    uri: str
    sha256: str
    run_id: str
    registered_at: datetime


def parse(text: str) -> Address:
    """An address taken apart.

    Raises:
        RegistryError: it has another form.
    """
    found = _FORM.fullmatch(text)
    if found is None:
        raise RegistryError(f"{text} names no registered model: write models:/NAME/VERSION or models:/NAME@ALIAS")
    return Address(found["name"], found["version"], found["alias"])


def without_credentials(uri: str) -> str:
    """The URI without user name and password, fit to be published."""
    return _CREDENTIALS.sub("//", uri)


def fetchable(source: str, tracking_uri: str) -> str:
    """Where workers fetch an artefact that the registry keeps at `source`.

    What the server hands out itself is fetched from it by plain HTTP, so that no worker needs MLflow.

    Raises:
        RegistryError: on storage that workers cannot read.
    """
    place = urlsplit(source)
    if place.scheme == "mlflow-artifacts":
        return f"{without_credentials(tracking_uri).rstrip('/')}/{_PROXY}/{place.path.lstrip('/')}"
    if place.scheme not in ("", "file", "s3", "http", "https"):
        raise RegistryError(f"{source} cannot be fetched by workers: they read files, s3:// and http(s)://")
    return source
