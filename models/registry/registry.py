"""A small interface over MLflow's client: versions by digest, and aliases. Its failures become errors of one line.

MLflow's own environment variables are respected. By default here, MLflow sends no telemetry, leaves stdout alone, and
reports a server that is gone within seconds (its own defaults take minutes).
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import urlopen

from models.registry.address import Registered, RegistryError, fetchable, parse, without_credentials

KNOBS = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_LOGGING_LEVEL": "ERROR",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "30",
}
SQLITE = "sqlite:///"
WEB = ("http://", "https://")
PATIENCE_S = 1.0  # a training that cannot be logged says so before it begins
SQLITE_HEAD = b"SQLite format 3\0"
ARTEFACT = "data/model.pt"  # within an MLflow model
DIGEST = "sha256"  # the tag of a version, and of a run


def connect(uri: str) -> "Registry":
    """The registry at a tracking URI. The embedded one (`sqlite:///`) is made where there is none.

    Raises:
        RegistryError: none is set, MLflow is not installed, or no server answers there.
    """
    if not uri:
        raise RegistryError("there is no registry: tracking_uri is empty")
    look(uri)  # before the import, which takes seconds
    for name, value in KNOBS.items():
        os.environ.setdefault(name, value)
    try:
        from mlflow import MlflowClient
    except ImportError as error:
        raise RegistryError("MLflow is not installed: pip install 'stream-app[registry]'") from error
    with answered(uri):
        if (folder := embedded_folder(uri)) is not None:
            folder.mkdir(parents=True, exist_ok=True)
        return Registry(uri, MlflowClient(uri, uri))


def embedded_folder(uri: str) -> Path | None:
    """Where an embedded registry keeps everything; None of any other."""
    return Path(uri.removeprefix(SQLITE)).absolute().parent if uri.startswith(SQLITE) else None


def in_use(uri: str) -> bool:
    """Whether the registry exists: an embedded one is made by the first training."""
    folder = embedded_folder(uri)
    return bool(uri) and (folder is None or folder.exists())


@contextmanager
def answered(uri: str) -> Iterator[None]:
    """Whatever goes wrong inside, in MLflow or below it, is one thing: the registry did not do it."""
    try:
        yield
    except RegistryError:
        raise
    except Exception as error:
        reason = next((line for line in str(error).splitlines() if line.strip()), type(error).__name__)
        raise RegistryError(f"the registry at {without_credentials(uri)}: {reason[:300]}") from error


class Registry:
    """Versions and aliases of registered models."""

    def __init__(self, uri: str, client: Any) -> None:
        self.uri = uri
        self.client = client

    def experiment(self, name: str) -> str:
        """The id of the experiment of that name, made where there is none."""
        with answered(self.uri):
            found = self.client.get_experiment_by_name(name)
            if found is not None:
                return str(found.experiment_id)
            folder = embedded_folder(self.uri)
            place = None if folder is None else (folder / "artifacts").as_uri()
            return str(self.client.create_experiment(name, artifact_location=place))

    def next_version(self, name: str) -> str:
        """The number that the next model of that name will have, unless another process registers one first."""
        with answered(self.uri):
            newest = self.client.search_model_versions(f"name='{name}'", 1, ["version_number DESC"])
            return str(int(newest[0].version) + 1 if newest else 1)

    def log_model(self, run_id: str, folder: Path, name: str, tags: dict[str, str]) -> Any:
        """Log what `models.registry.flavour.save` wrote as a model of a run.

        Returns:
            MLflow's LoggedModel.
        """
        from mlflow.entities import LoggedModelOutput

        with answered(self.uri):
            experiment = self.client.get_run(run_id).info.experiment_id
            model = self.client.create_logged_model(experiment, name, run_id, tags)
            try:
                self.client.log_model_artifacts(model.model_id, str(folder))
            except BaseException:
                self.client.finalize_logged_model(model.model_id, "FAILED")
                raise
            self.client.log_outputs(run_id, [LoggedModelOutput(model.model_id, 0)])
            return self.client.finalize_logged_model(model.model_id, "READY")

    def artefact(self, run_id: str, folder: Path) -> Path:
        """Fetch the artefact of a run's model into a folder."""
        import mlflow.artifacts

        with answered(self.uri):
            outputs = self.client.get_run(run_id).outputs.model_outputs
            if not outputs:
                raise RegistryError(f"run {run_id} has no model: `stream-app train` did not log it, or did not end")
            place = self.client.get_logged_model(outputs[0].model_id).artifact_location
            found = mlflow.artifacts.download_artifacts(
                artifact_uri=f"{place}/{ARTEFACT}", dst_path=str(folder), tracking_uri=self.uri
            )
            return Path(found)

    def register(self, model: Any) -> Registered:
        """A new version, of a model that was logged, with its tags; the first of its name makes the name known."""
        from mlflow.exceptions import MlflowException

        tags = {key: value for key, value in model.tags.items() if not key.startswith("mlflow.")}
        with answered(self.uri):
            try:
                self.client.create_registered_model(model.name)
            except MlflowException as error:
                if error.error_code != "RESOURCE_ALREADY_EXISTS":
                    raise
            version = self.client.create_model_version(
                model.name, model.artifact_location, model.source_run_id, tags=tags, model_id=model.model_id
            )
            return self._registered(version)

    def find(self, address: str) -> Registered:
        """What a `models:/` address leads to now.

        Raises:
            RegistryError: no server answers, no such version or alias, or one that `stream-app train` did not register.
        """
        name, version, alias = parse(address)
        with answered(self.uri):
            if version is None:
                return self._registered(self.client.get_model_version_by_alias(name, alias))
            return self._registered(self.client.get_model_version(name, version))

    def versions(self, name: str) -> dict[str, str]:
        """Digest to version, the newest where one was registered more than once."""
        with answered(self.uri):
            found = self.client.search_model_versions(f"name='{name}'", order_by=["version_number ASC"])
            return {version.tags[DIGEST]: str(version.version) for version in found if DIGEST in version.tags}

    def aliases(self, name: str) -> dict[str, str]:
        """Alias to version; none where no model of that name is registered."""
        with answered(self.uri):
            found = self.client.search_registered_models(f"name='{name}'")
            return {alias: str(version) for alias, version in found[0].aliases.items()} if found else {}

    def point(self, name: str, alias: str, version: str | None) -> None:
        """Let an alias name this version; None: nothing any more."""
        with answered(self.uri):
            if version is None:
                self.client.delete_registered_model_alias(name, alias)
            else:
                self.client.set_registered_model_alias(name, alias, version)

    def _registered(self, version: Any) -> Registered:
        sha256 = version.tags.get(DIGEST)
        if sha256 is None:
            raise RegistryError(
                f"{version.name} {version.version} has no tag {DIGEST}: `stream-app train` did not register it, "
                "deploy it by its file or URL"
            )
        return Registered(
            name=version.name,
            version=str(version.version),
            uri=fetchable(_artefact_of(version.source), self.uri),
            sha256=sha256,
            run_id=version.run_id or "",
            registered_at=datetime.fromtimestamp(version.creation_timestamp / 1000, UTC),
        )


def _artefact_of(source: str) -> str:
    """Where the artefact of a version is. Before 0.2 a version was the file itself."""
    return source if source.endswith(Path(ARTEFACT).suffix) else f"{source}/{ARTEFACT}"


def look(uri: str) -> None:
    """Whether the registry can be used, as far as that is seen in a moment and without MLflow.

    Raises:
        RegistryError: nobody answers, its folder cannot be written, or its file is no database.
    """
    if uri.startswith(WEB):
        knock(uri)
    if (folder := embedded_folder(uri)) is None:
        return
    there = next(place for place in (folder, *folder.parents) if place.exists())
    if not there.is_dir() or not os.access(there, os.W_OK | os.X_OK):
        raise RegistryError(f"the registry at {uri}: {there} cannot be written: set tracking_uri to another place")
    file = Path(uri.removeprefix(SQLITE))
    if file.is_dir():
        raise RegistryError(f"the registry at {uri}: {file} is a folder: set tracking_uri to a file")
    with suppress(FileNotFoundError), file.open("rb") as opened:
        head = opened.read(len(SQLITE_HEAD))
        if head and head != SQLITE_HEAD:
            raise RegistryError(f"the registry at {uri}: {file} is no database: set tracking_uri to another place")


def knock(uri: str) -> None:
    """Check that a server answers; any answer will do.

    Raises:
        RegistryError: no server answers.
    """
    try:
        urlopen(f"{without_credentials(uri).rstrip('/')}/health", timeout=PATIENCE_S).close()  # noqa: S310 - the setting says http(s)
    except HTTPError:
        return
    except TimeoutError as error:
        raise RegistryError(
            f"the registry at {without_credentials(uri)} does not answer within {PATIENCE_S:g} s: see whether it runs"
        ) from error
    except (OSError, ValueError) as error:
        reason = getattr(error, "reason", error)
        raise RegistryError(
            f"the registry at {without_credentials(uri)} does not answer ({reason}): start it, or correct tracking_uri"
        ) from error
