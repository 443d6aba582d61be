"""What can be wrong with an installation: a function for each check, whose diagnoses say what to change."""

import shutil
import socket
import tempfile
from collections.abc import Iterator
from http.client import HTTPConnection, HTTPException
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec

from confluent_kafka import KafkaException, libversion
from msgspec import Struct
from pydantic_settings import EnvSettingsSource, TomlConfigSettingsSource

from models.registry.address import RegistryError, without_credentials
from models.registry.registry import WEB, in_use, knock
from schemas.topics import ALL
from stream_app.cli.invocation import current
from stream_app.kafka import clients, topics
from stream_app.kafka.clients import BrokerError, explain
from stream_app.kafka.permissions import authorized_operations, missing_rights, words
from stream_app.kafka.roles import ROLES, WORKER
from stream_app.rollout import artefacts, commands
from stream_app.rollout.artefacts import FetchError
from stream_app.rollout.state import Release
from stream_app.settings import ENVIRONMENT_PREFIX, SETTINGS_FILE, Settings

PACKAGES = ("stream-app", "confluent-kafka", "faust-streaming", "torch", "river", "polars")
LEAST_FREE_BYTES = 500 * 1024 * 1024
PATIENCE_S = 5.0


class Diagnosis(Struct, frozen=True):
    """One thing that was looked at.

    Attributes:
        check: What was looked at, in a word or two.
        ok: Whether it may stay as it is.
        says: What was found.
        advice: What to change; empty where nothing.
    """

    check: str
    ok: bool
    says: str
    advice: str = ""


def examine(settings: Settings) -> Iterator[Diagnosis]:
    """Every check in turn. Those that need a broker are left out where none answers."""
    for check in (versions, origins, disk, web_port, model_registry):
        yield from check(settings)
    answer = broker(settings)
    yield answer
    if not answer.ok:
        return
    for name, look in (("topics", declared_topics), ("permissions", permissions), ("model", models_in_service)):
        try:
            yield from look(settings)
        except BrokerError as error:
            yield Diagnosis(name, False, str(error), "put that right, then look again")


def versions(_: Settings) -> Iterator[Diagnosis]:
    """What is installed."""
    found = []
    for name in PACKAGES:
        try:
            found.append(f"{name} {version(name)}")
        except PackageNotFoundError:
            yield Diagnosis("versions", False, f"{name} is not installed", "run `make install`")
    yield Diagnosis("versions", True, f"{', '.join(found)}, librdkafka {libversion()[0]}")


def origins(settings: Settings) -> Iterator[Diagnosis]:
    """Each setting that is not the default, and where it was set. Of `[kafka]` the names alone: it may hold secrets."""
    given = current.get()
    sources = {
        "option": [name for name in ("bootstrap_servers", "topic_prefix") if getattr(given, name) is not None],
        "environment": EnvSettingsSource(Settings)(),
        SETTINGS_FILE: TomlConfigSettingsSource(Settings)(),
    }
    for name in sorted(settings.model_fields_set):
        value = getattr(settings, name)
        text = ", ".join(value) if isinstance(value, dict) else without_credentials(str(value))
        origin = next((source for source, names in sources.items() if name in names), "program")
        yield Diagnosis("settings", True, f"{name} = {text} ({origin})")
    if not settings.model_fields_set:
        yield Diagnosis("settings", True, f"all defaults: no {SETTINGS_FILE} here, no {ENVIRONMENT_PREFIX}* set")


def disk(settings: Settings) -> Iterator[Diagnosis]:
    """The model cache can be written, and there is room."""
    folder = settings.model_cache
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            free = shutil.disk_usage(folder).free
    except OSError as error:
        advice = "set model_cache to a folder that this user may write"
        yield Diagnosis("disk", False, f"cannot write to {folder}: {error.strerror}", advice)
        return
    enough = free >= LEAST_FREE_BYTES
    says = f"{folder} is writable, {free // 2**20:,} MB free"
    yield Diagnosis("disk", enough, says, "" if enough else "make room there, or set model_cache to another disk")


def web_port(settings: Settings) -> Iterator[Diagnosis]:
    """The page's port is free for a worker to come, or a worker holds it already."""
    where = f"{settings.web_host}:{settings.web_port}"
    try:
        with socket.create_server((settings.web_host, settings.web_port)):
            yield Diagnosis("web port", True, f"{where} is free")
    except OSError as error:
        if _is_a_worker(settings):
            yield Diagnosis("web port", True, f"{where} is held by a running worker")
        else:
            advice = "end who holds it, or set web_port (STREAM_APP_WEB_PORT)"
            yield Diagnosis("web port", False, f"{where} cannot be used: {error.strerror}", advice)


def _is_a_worker(settings: Settings) -> bool:
    """Whether what listens there answers as our page does."""
    connection = HTTPConnection(settings.web_host, settings.web_port, timeout=PATIENCE_S)
    try:
        connection.request("GET", "/health/live")
        return connection.getresponse().status in (200, 503)
    except (OSError, HTTPException):
        return False
    finally:
        connection.close()


def model_registry(settings: Settings) -> Iterator[Diagnosis]:
    """Where trainings are logged: whether somebody answers there. MLflow itself is not loaded."""
    uri = settings.tracking_uri
    if not uri:
        yield Diagnosis("registry", True, "none: trainings are not logged")
    elif find_spec("mlflow") is None:
        yield Diagnosis("registry", True, "MLflow is not installed: trainings are not logged")
    elif not uri.startswith(WEB):
        state = "" if in_use(uri) else ", made by the first training"
        yield Diagnosis("registry", True, f"{without_credentials(uri)}{state}")
    else:
        try:
            knock(uri)
        except RegistryError as error:
            yield Diagnosis("registry", False, str(error), "workers do not need it: what runs goes on")
        else:
            yield Diagnosis("registry", True, f"{without_credentials(uri)} answers")


def broker(settings: Settings) -> Diagnosis:
    """Somebody answers."""
    try:
        clients.wait_for_broker(settings, timeout_s=PATIENCE_S, say=lambda line: None)
        found = clients.admin(settings).list_topics(timeout=PATIENCE_S)
    except BrokerError as error:
        return Diagnosis("broker", False, str(error), "then look again: topics, permissions and model were not checked")
    except KafkaException as error:
        return Diagnosis("broker", False, str(explain(error, settings)), "then look again")
    return Diagnosis(
        "broker", True, f"cluster {found.cluster_id} at {settings.bootstrap_servers}, {len(found.brokers)} broker(s)"
    )


def declared_topics(settings: Settings) -> Iterator[Diagnosis]:
    """Every topic is there as declared; what is missing is created."""
    there = clients.admin(settings).list_topics(timeout=PATIENCE_S).topics
    missing = [name for topic in ALL if (name := topics.name(settings, topic)) not in there]
    topics.ensure(settings)
    created = f", of which just created: {', '.join(missing)}" if missing else ""
    yield Diagnosis("topics", True, f"{len(ALL)} as declared{created}")


def permissions(settings: Settings) -> Iterator[Diagnosis]:
    """What some role does with topics and groups is allowed, as far as the cluster tells."""
    allowed = authorized_operations(settings)
    able = [role.name for role in ROLES if not missing_rights(settings, role, allowed)]
    if able:
        yield Diagnosis(
            "permissions", True, f"enough for: {', '.join(able)}" if allowed else "the cluster does not tell"
        )
        return
    missing = ", ".join(map(words, missing_rights(settings, WORKER, allowed)))
    advice = "`stream-app rights grant worker` by an administrator gives it; `rights list` shows the other roles"
    yield Diagnosis("permissions", False, f"not enough for any role, not for a worker: {missing}", advice)


def models_in_service(settings: Settings) -> Iterator[Diagnosis]:
    """The models that the swap log prescribes can be fetched from here, and are what was announced."""
    rollout = commands.models(settings).rollout
    if rollout.serving is None:
        yield Diagnosis("model", True, "none in service yet: stream-app deploy MODEL")
    else:
        yield _release("serving", rollout.serving)
    if rollout.previous is not None:
        yield _release("previous", rollout.previous)


def _release(role: str, release: Release) -> Diagnosis:
    name = f"{role} {release.model.name} {release.model.version}"
    advice = "bring the file back: a worker that starts with an empty cache cannot serve without it"
    try:
        sha256 = artefacts.read(release.uri).sha256
    except FetchError as error:
        return Diagnosis("model", False, f"{name} cannot be read from {release.uri}: {error}", advice)
    if sha256 != release.model.sha256:
        says = f"{name}: {release.uri} has sha256 {sha256[:12]}, announced was {release.model.sha256[:12]}"
        return Diagnosis("model", False, says, advice)
    return Diagnosis("model", True, f"{name} is readable, sha256 {sha256[:12]} as announced")
