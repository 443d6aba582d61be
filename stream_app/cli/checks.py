"""What can be wrong with an installation: a function for each check, whose diagnoses say what to change."""

import difflib
import json
import shutil
from collections.abc import Callable, Iterator
from http.client import HTTPConnection, HTTPException
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec

from confluent_kafka import KafkaException, libversion
from pydantic_settings import EnvSettingsSource

from models.registry.address import RegistryError, without_credentials
from models.registry.registry import WEB, in_use, knock
from schemas.errors import UserError
from schemas.topics import ALL
from stream_app.cli.diagnosis import Diagnosis
from stream_app.cli.group_offsets import group_offsets
from stream_app.cli.invocation import current
from stream_app.cli.overview import Observer
from stream_app.cli.segments import watched_segments
from stream_app.host import surroundings
from stream_app.kafka import clients, limits, topics
from stream_app.kafka.clients import TopicMissing, explain
from stream_app.kafka.permissions import authorized_operations, missing_rights, words
from stream_app.kafka.roles import ROLES, WORKER
from stream_app.kafka.schema_registry import SchemaRegistryError, schema_registry
from stream_app.ops import access
from stream_app.rollout import artefacts, commands
from stream_app.rollout.artefacts import FetchError
from stream_app.rollout.state import Release
from stream_app.rollout.trust import signing_key, trust
from stream_app.settings import ENVIRONMENT_PREFIX, SETTINGS_FILE, Settings, SettingsError, settings_file

PACKAGES = ("stream-app", "confluent-kafka", "faust-streaming", "torch", "river", "polars")
LEAST_FREE_BYTES = 500 * 1024 * 1024
PATIENCE_S = 5.0
PREFIXES_SHOWN = 5


def examine(load: Callable[[], Settings], fix: bool = False) -> Iterator[Diagnosis]:
    """Every check in turn, nothing written. Those that need a broker are left out where none answers.

    Args:
        load: Reads the settings.
        fix: Create topics that are missing.
    """
    yield from versions()
    try:
        settings = load()
    except SettingsError as error:
        for sentence in error.each:
            yield Diagnosis("settings", False, sentence, "correct it; with settings that are wrong, no more is checked")
        return
    for check in (origins, files, disk, web_port, model_registry, registry_of_schemas):
        yield from check(settings)
    answer = broker(settings)
    yield answer
    if not answer.ok:
        return
    looks: dict[str, Callable[[], Iterator[Diagnosis]]] = {
        "topics": lambda: declared_topics(settings, fix),
        "limits": lambda: broker_limits(settings),
        "permissions": lambda: permissions(settings),
        "model": lambda: models_in_service(settings),
        "events": lambda: events(settings),
        "segments": lambda: watched_segments(settings),
        "offsets": lambda: group_offsets(settings),
        "now": lambda: at_present(settings),
    }
    for name, look in looks.items():
        try:
            yield from look()
        except TopicMissing:  # `topics` has told which, and on a new cluster that is as it should be
            continue
        except UserError as error:
            yield Diagnosis(name, False, str(error), "put that right, then look again")


def versions() -> Iterator[Diagnosis]:
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
        SETTINGS_FILE: settings_file(Settings).init_kwargs,
    }
    for name in sorted(settings.model_fields_set):
        value = getattr(settings, name)
        text = ", ".join(value) if isinstance(value, dict) else without_credentials(str(value))
        origin = next((source for source, names in sources.items() if name in names), "program")
        yield Diagnosis("settings", True, f"{name} = {text} ({origin})")
    if not settings.model_fields_set:
        yield Diagnosis("settings", True, f"all defaults: no {SETTINGS_FILE} here, no {ENVIRONMENT_PREFIX}* set")


def files(settings: Settings) -> Iterator[Diagnosis]:
    """What settings name by a path, or leave to the moment when it is needed: secrets, keys, the page's token."""
    checks: tuple[Callable[[Settings], object], ...] = (
        clients.require,
        signing_key,
        trust,
        access.token,
        schema_registry,
    )
    for check in checks:
        try:
            check(settings)
        except UserError as error:
            yield Diagnosis("settings", False, str(error), "a worker does not start like this")
    for name in ("gate_data", "gate_limits"):
        path = getattr(settings, name)
        if path is not None and not path.exists():
            yield Diagnosis("settings", False, f"{name}: there is no {path}", "correct it: every deploy needs it")


def disk(settings: Settings) -> Iterator[Diagnosis]:
    """The model cache can be written, and there is room."""
    try:
        free = shutil.disk_usage(surroundings.model_cache(settings)).free
    except surroundings.Unfit as unfit:
        yield Diagnosis("disk", False, unfit.found, unfit.advice)
        return
    enough = free >= LEAST_FREE_BYTES
    says = f"{settings.model_cache} can be written, {free // 2**20:,} MB free"
    yield Diagnosis("disk", enough, says, "" if enough else "make room there, or set model_cache to another disk")


def web_port(settings: Settings) -> Iterator[Diagnosis]:
    """The page's port is free for a worker to come; a running worker may hold it, and the next one needs another."""
    where = f"{settings.web_host}:{settings.web_port}"
    try:
        surroundings.web_port(settings)
    except surroundings.Unfit as unfit:
        if _is_a_worker(settings):
            yield Diagnosis("web port", True, f"{where} is held by a running worker; for another one, {unfit.advice}")
        else:
            yield Diagnosis("web port", False, unfit.found, unfit.advice)
    else:
        yield Diagnosis("web port", True, f"{where} is free")


def _is_a_worker(settings: Settings) -> bool:
    """Whether what listens there answers as our page does."""
    connection = HTTPConnection(settings.web_host, settings.web_port, timeout=PATIENCE_S)
    try:
        connection.request("GET", "/health/live")
        return set(json.loads(connection.getresponse().read())) == {"ok", "sentence"}
    except (OSError, HTTPException, ValueError, TypeError):
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


def registry_of_schemas(settings: Settings) -> Iterator[Diagnosis]:
    """The schema registry answers, where there is one."""
    try:
        registry = schema_registry(settings)
        if registry is not None:
            yield Diagnosis("schemas", True, f"{registry.url} answers, with {registry.knock():,} subjects")
    except SettingsError:
        return  # `files` has it
    except SchemaRegistryError as error:
        advice = "records with schemas that this worker has seen are read; those with others wait until it answers"
        yield Diagnosis("schemas", False, str(error), advice)


def broker(settings: Settings) -> Diagnosis:
    """Somebody answers."""
    try:
        clients.wait_for_broker(settings, timeout_s=PATIENCE_S, say=lambda line: None)
        found = clients.admin(settings).list_topics(timeout=PATIENCE_S)
    except UserError as error:
        return Diagnosis("broker", False, str(error), "then look again: topics, permissions and model were not checked")
    except KafkaException as error:
        return Diagnosis("broker", False, str(explain(error, settings)), "then look again")
    return Diagnosis(
        "broker", True, f"cluster {found.cluster_id} at {settings.bootstrap_servers}, {len(found.brokers)} broker(s)"
    )


def declared_topics(settings: Settings, fix: bool) -> Iterator[Diagnosis]:
    """Every topic is there as declared, or none yet."""
    found = topics.look(settings)
    if found.missing and fix:
        topics.ensure(settings)
        yield Diagnosis("topics", True, f"created: {', '.join(found.missing)}")
    elif len(found.missing) == len(ALL):
        yield _no_topics(settings, found)
    elif found.missing:
        says, advice = f"missing: {', '.join(found.missing)}", "`stream-app doctor --fix` creates them"
        yield Diagnosis("topics", False, says, advice)
    elif not found.conflicts:
        yield Diagnosis("topics", True, f"{len(ALL)} as declared")
    for sentence in found.conflicts:
        what, _, advice = sentence.partition(": ")
        yield Diagnosis("topics", False, what, advice)


def _no_topics(settings: Settings, found: topics.Found) -> Diagnosis:
    """Of a new installation, or of one whose prefix was misspelt."""
    says = f"none yet with the prefix {settings.topic_prefix!r}" if settings.topic_prefix else "none yet"
    if not found.other_prefixes:
        return Diagnosis("topics", True, f"{says}: the first worker creates them, or `stream-app doctor --fix`")
    close = difflib.get_close_matches(settings.topic_prefix, found.other_prefixes, PREFIXES_SHOWN)
    others = ", ".join(map(repr, close or found.other_prefixes[:PREFIXES_SHOWN]))
    advice = f"set topic_prefix to one of these: {others}; or, for a new installation, `stream-app doctor --fix`"
    return Diagnosis("topics", False, says, advice)


def events(settings: Settings) -> Iterator[Diagnosis]:
    """The definition fits the latest records of the input."""
    from stream_app.cli.latest_events import latest_events

    yield from latest_events(settings)


def broker_limits(settings: Settings) -> Iterator[Diagnosis]:
    """The brokers take the timeouts of the settings."""
    limits.require(settings)
    yield Diagnosis("limits", True, "the brokers take the timeouts of the settings")


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


def at_present(settings: Settings) -> Iterator[Diagnosis]:
    """What is wrong with what runs, a line for each condition that holds; the headline where nothing is."""
    with Observer(settings) as observer:
        observer.follow(settings.heartbeat_interval_s)
        seen = observer.overview()
    for condition in seen.wrong:
        yield Diagnosis(condition.kind, False, condition.what, condition.remedy)
    if not seen.wrong:
        yield Diagnosis("now", True, seen.verdict.sentence)


def models_in_service(settings: Settings) -> Iterator[Diagnosis]:
    """The models that the swap log prescribes can be fetched from here, and are what was announced."""
    rollout = commands.models(settings).rollout
    if rollout.serving is None:
        yield Diagnosis("model", True, "none in service yet: stream-app deploy MODEL")
    else:
        yield _release("serving", rollout.serving)
    if rollout.before is not None:
        yield _release("previous", rollout.before)


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
