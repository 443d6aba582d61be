"""One frozen settings object, read once.

First `stream_app.toml`, then the environment with the prefix `STREAM_APP_`, then the command line.
No other module reads the environment or a settings file. `KAFKA_BOOTSTRAP_SERVERS` is read too, as every Kafka tool
does.
"""

import json
import os
import socket
from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path
from typing import Any

from pydantic import AliasChoices, Field, SecretStr, ValidationError, field_validator
from pydantic_core import ErrorDetails
from pydantic_settings import BaseSettings, InitSettingsSource, PydanticBaseSettingsSource, SettingsConfigDict
from pydantic_settings import SettingsError as UnreadableSetting

from schemas.errors import UserError
from schemas.toml import TomlError, among, read_toml
from stream_app import connection

SETTINGS_FILE = "stream_app.toml"
ENVIRONMENT_PREFIX = "STREAM_APP_"
SECRETS = {"web_token", "schema_registry_auth"}
LONGEST_PREFIX = 234  # Kafka's names have at most 249 characters, and the longest topic's has 15
# What pydantic says of a value, in words; {} are the bounds that it names
WORDS = {
    "int_parsing": "write a whole number",
    "float_parsing": "write a number",
    "bool_parsing": "write true or false",
    "enum": "write {expected}",
    "greater_than": "it must be more than {gt}",
    "greater_than_equal": "it must be at least {ge}",
    "less_than": "it must be less than {lt}",
    "less_than_equal": "it must be at most {le}",
    "string_too_long": "it may have at most {max_length} characters",
}
PATTERNS = {
    "topic_prefix": "only letters, digits, '.', '_' and '-' may stand in it",
    "app_id": "write letters, digits, '.', '_' and '-'",
    "schema_registry": "write http://host:port or https://, credentials apart",
}


class SettingsError(UserError):
    """A setting is wrong; the message says which one and what to change.

    Attributes:
        each: A sentence for each wrong setting, where there may be several.
    """

    exit_code = 2

    def __init__(self, message: str, each: Sequence[str] = ()) -> None:
        super().__init__(message)
        self.each = tuple(each) or (message,)


class Guarantee(StrEnum):
    """What a restart may repeat on the output topics: nothing, or the last commit interval."""

    EXACTLY_ONCE = "exactly_once"
    AT_LEAST_ONCE = "at_least_once"


class GuardMode(StrEnum):
    """Whether the guard is off, only reports, or also acts."""

    OFF = "off"
    ADVISE = "advise"
    ACT = "act"


class GatePolicy(StrEnum):
    """Whether a model may be staged without a verdict of the gates."""

    OFF = "off"
    REQUIRE = "require"


class Signatures(StrEnum):
    """Whether commands and models without the signature of a trusted key are accepted."""

    OFF = "off"
    WARN = "warn"
    REQUIRE = "require"


class LogLevel(StrEnum):
    """The least that a worker logs."""

    DEBUG = "DEBUG"
    INFO = "INFO"
    WARNING = "WARNING"
    ERROR = "ERROR"


class Settings(BaseSettings):
    """Everything that can be set. Each name here is a key in the file and, in upper case with the prefix, a variable.

    `[kafka]` in the file (or `STREAM_APP_KAFKA='{"sasl.username": "..."}'`) holds client properties, those that
    `connection` lists;
    secrets belong into the environment or into `kafka_secrets_file`, a JSON object of properties, never into the
    settings file.
    """

    model_config = SettingsConfigDict(env_prefix=ENVIRONMENT_PREFIX, frozen=True, extra="forbid", populate_by_name=True)

    bootstrap_servers: str = Field(
        default="localhost:9092",
        validation_alias=AliasChoices("bootstrap_servers", "STREAM_APP_BOOTSTRAP_SERVERS", "KAFKA_BOOTSTRAP_SERVERS"),
        description="Kafka brokers, host:port, separated by commas",
    )
    kafka: dict[str, str | int | float | bool] = Field(
        default_factory=dict, description="further client properties, under librdkafka's names: see below"
    )
    kafka_secrets_file: Path | None = Field(
        default=None, description="JSON object of librdkafka properties, kept apart"
    )
    topic_prefix: str = Field(
        default="", pattern=r"^[A-Za-z0-9._-]*$", max_length=LONGEST_PREFIX, description="put before every topic name"
    )
    input_partitions: int = Field(
        default=4, ge=1, description="partitions of the topics created for the input and outputs"
    )
    replication_factor: int = Field(default=-1, description="of the topics created; -1 is the broker's default")

    app_id: str = Field(
        default="stream-app",
        pattern=r"^[A-Za-z0-9._-]+$",
        description="consumer group, after the prefix; transactional ids begin so",
    )
    worker_id: str | None = Field(
        default=None, description="unique and stable per worker; default: host name and web port"
    )
    guarantee: Guarantee = Field(default=Guarantee.EXACTLY_ONCE, description="exactly_once or at_least_once")
    commit_interval_ms: int = Field(
        default=100, ge=1, le=30_000, description="longest time from commit to commit; an anomaly waits for less"
    )
    batch_max_events: int = Field(default=1024, ge=1, le=65_536, description="largest micro-batch")
    batch_wait_ms: int = Field(default=3, ge=1, le=1000, description="how long a micro-batch waits to fill when quiet")
    buffer_max_mb: int = Field(
        default=64, ge=1, description="cap of the queues of input and outputs; a batch is a quarter"
    )
    record_max_bytes: int = Field(default=1_000_000, ge=1024, description="larger input records are dead letters")
    event_ahead_max_s: float = Field(
        default=3600.0, ge=0, le=3.2e9, description="events later than their own record by more are dead letters"
    )
    session_timeout_ms: int = Field(
        default=10_000, ge=6000, le=300_000, description="after this a silent worker loses its partitions"
    )
    transaction_timeout_ms: int = Field(
        default=15_000, ge=1000, le=900_000, description="after this the broker aborts a silent worker's transaction"
    )
    publish_scores: bool = Field(default=False, description="write every score to `scores`")
    publish_latents: bool = Field(default=False, description="write every latent vector to `latents`")
    explain_top: int = Field(default=3, ge=1, description="reasons given with each anomaly")

    repeat_window_s: float = Field(
        default=0.0,
        ge=0,
        le=604_800,
        description="an id that comes again in its partition within this time is scored once; 0: each time",
    )
    repeat_window_offsets: int = Field(
        default=32_768,
        ge=1,
        le=4_194_304,
        description="and within so many offsets, up to twice as many: some 120 bytes each are held",
    )
    window_max_entities: int = Field(
        default=1_000_000,
        ge=1,
        description="entities whose past is held, a partition; the longest unseen go first",
    )
    window_checkpoint_s: float = Field(
        default=30.0, gt=0, description="how often the windows of a partition are checkpointed"
    )

    breaker_share: float = Field(
        default=0.5, gt=0, le=1, description="share of refused records above which the breaker opens; 1: never"
    )
    breaker_window_events: int = Field(default=2000, ge=1, description="records over which that share is taken")
    breaker_hold_s: float = Field(default=10.0, gt=0, description="how long the breaker stays open before each probe")

    model_cache: Path = Field(
        default=Path("build/model-cache"), description="where fetched artefacts are kept, by digest"
    )
    tracking_uri: str = Field(
        default="sqlite:///build/mlflow/mlflow.db",
        validation_alias=AliasChoices("tracking_uri", "STREAM_APP_TRACKING_URI", "MLFLOW_TRACKING_URI"),
        description="MLflow, where trainings are logged and models registered; empty: nowhere",
    )
    detector: str | None = Field(
        default=None,
        description="definition of the events, file or shipped name; default: ./detector.toml, else cards-raw",
    )
    schema_registry: str = Field(
        default="",
        pattern=r"^(https?://[^@\s]+)?$",
        description="address of the schema registry, for Avro and protobuf; credentials apart",
    )
    schema_registry_auth: SecretStr | None = Field(default=None, description="user:password for it, or a bearer token")
    schema_registry_auth_file: Path | None = Field(
        default=None, description="file that holds them, in place of schema_registry_auth"
    )
    schema_registry_ca: Path | None = Field(
        default=None, description="certificates (PEM) to trust for it, beside the system's"
    )
    stage_timeout_s: float = Field(default=60.0, gt=0, description="how long a deploy waits for every worker to stage")
    guard: GuardMode = Field(
        default=GuardMode.ADVISE, description="off, advise (report only), or act (roll back by itself, too)"
    )
    guard_promotes: bool = Field(default=False, description="whether an acting guard also promotes by itself")
    guard_error: float = Field(
        default=0.01, gt=0, lt=0.5, description="chance that it ever rolls back a model as good as the one before"
    )
    guard_alert_tolerance: float = Field(
        default=0.1, ge=0, description="how much more or fewer alerts an equally good model may raise, as a share"
    )
    guard_latent_similarity: float = Field(
        default=0.65, gt=0, lt=1, description="least similarity (linear CKA) of the latents of an equally good model"
    )
    guard_promote_events: int = Field(
        default=10_000, ge=1, description="events that both models must have scored before a promotion"
    )
    guard_watch_s: float = Field(
        default=300.0, ge=0, description="how long a new model is compared with the previous one; 0: not at all"
    )
    gates: GatePolicy = Field(
        default=GatePolicy.OFF, description="require: workers reject a stage without a passed verdict or an override"
    )
    gate_data: Path | None = Field(default=None, description="recent events that a deploy is judged on")
    gate_limits: Path | None = Field(default=None, description="how far a candidate may differ, over the defaults")
    gate_reports: Path = Field(default=Path("build/gate-reports"), description="where reports are kept, by digest")
    heartbeat_interval_s: float = Field(default=1.0, gt=0, description="how often a worker says that it is alive")
    worker_lost_after_s: float = Field(default=5.0, gt=0, description="after this silence a worker no longer counts")

    signatures: Signatures = Field(
        default=Signatures.OFF, description="off, warn or require: of commands and models that no trusted key signed"
    )
    trusted_keys: dict[str, str] = Field(
        default_factory=dict, description="name to public key, as `stream-app keys new` prints them"
    )
    signing_key: Path | None = Field(default=None, description="private key that commands given here are signed with")

    drift_block_events: int = Field(default=64, ge=32, description="events per block that the detectors see")
    drift_effect_sd: float = Field(default=0.15, ge=0, description="smallest shift that is an alert, in reference sd")

    web_host: str = Field(default="127.0.0.1", description="where the page and /metrics listen")
    web_token: SecretStr | None = Field(
        default=None, description="what page and API ask for; needed where web_host is not this machine alone"
    )
    web_token_file: Path | None = Field(default=None, description="file that holds the token, in place of web_token")
    web_ids_shown: int | None = Field(
        default=None,
        ge=0,
        description="how much of the end of customers', events' and terminals' ids the page shows; unset: all",
    )
    web_port: int = Field(default=6066, ge=1, le=65_535, description="a port of its own for each worker on a machine")
    stall_after_s: float = Field(
        default=30.0, gt=0, description="liveness fails when lag stands and position does not move for this long"
    )
    log_level: LogLevel = Field(default=LogLevel.INFO, description="DEBUG, INFO, WARNING or ERROR")

    @property
    def worker_name(self) -> str:
        """Stable over restarts, so that a successor ends its predecessor's open transaction at once."""
        return self.worker_id or f"{socket.gethostname()}-{self.web_port}"

    @property
    def group(self) -> str:
        """The consumer group of the data plane. With the prefix: two installations share neither topics nor offsets."""
        return f"{self.topic_prefix}{self.app_id}"

    @property
    def control_group(self) -> str:
        """The consumer group of the control plane."""
        return f"{self.group}-control"

    @property
    def reader_groups(self) -> str:
        """Prefix of the consumer groups of read-only clients (rights are granted by prefix)."""
        return f"{self.group}-reader-"

    @property
    def transactional_ids(self) -> str:
        """Prefix of the transactional ids of all workers."""
        return f"{self.group}-"

    @field_validator("bootstrap_servers")
    @classmethod
    def _in_one_form(cls, value: str) -> str:
        return ",".join(connection.addresses(value))

    @field_validator("log_level", mode="before")
    @classmethod
    def _in_capitals(cls, value: Any) -> Any:
        return value.upper() if isinstance(value, str) else value

    @field_validator("kafka", mode="before")
    @classmethod
    def _dotted(cls, value: Any) -> Any:
        """`security.protocol = "ssl"` without quotes is a table in a table to TOML, and one name to a person."""
        return _flat(value) if isinstance(value, dict) else value

    @field_validator("kafka")
    @classmethod
    def _only_what_is_heeded(cls, value: dict[str, str | int | float | bool]) -> dict[str, str | int | float | bool]:
        connection.check_properties(value)
        return value

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Command line over environment over file."""
        return init_settings, env_settings, settings_file(settings_cls)


def settings_file(kind: type[BaseSettings]) -> InitSettingsSource:
    """What the file holds, if there is one.

    Raises:
        TomlError: it cannot be read.
    """
    path = Path(SETTINGS_FILE)
    return InitSettingsSource(kind, read_toml(path) if path.exists() else {})


def load(**overrides: Any) -> Settings:
    """Read the settings; options that are None are not overrides.

    Raises:
        SettingsError: with one line for all that is wrong.
    """
    known = set(Settings.model_fields)
    given = {name: name.removeprefix(ENVIRONMENT_PREFIX).lower() for name in os.environ}
    unknown = sorted(name for name in given if name.startswith(ENVIRONMENT_PREFIX) and given[name] not in known)
    wrong = [f"{name} in the environment is no setting: {among(given[name], known)}" for name in unknown]
    try:
        settings = Settings(**{name: value for name, value in overrides.items() if value is not None})
    except ValidationError as error:
        wrong += map(_line, error.errors())
    except UnreadableSetting as error:
        wrong.append(f"{error}: its value must be JSON")
    except TomlError as error:
        wrong.append(str(error))
    if wrong:
        raise SettingsError(f"wrong setting: {'; '.join(wrong)}", wrong)
    return settings


def environment(settings: Settings) -> dict[str, str]:
    """The environment of a process that shall have the same settings: this one's, and every setting that was given.

    Secrets are not passed on: the environment that this process was given has them.
    """
    given = settings.model_dump(mode="json", exclude=SECRETS, exclude_unset=True, exclude_none=True)
    written = {name: json.dumps(value) if isinstance(value, dict) else str(value) for name, value in given.items()}
    return {**os.environ, **{f"{ENVIRONMENT_PREFIX}{name.upper()}": value for name, value in written.items()}}


def _line(error: ErrorDetails) -> str:
    """What is wrong with one setting. Values of `[kafka]` and tokens are secrets, and lines go into logs."""
    place = ".".join(map(str, error["loc"]))
    if error["type"] == "extra_forbidden" and isinstance(error["input"], dict):
        return f"[{place}] is no table of the settings: there are [kafka], [trusted_keys], and names without a table"
    if error["type"] == "extra_forbidden":
        return f"{place} is no setting: {among(place, Settings.model_fields)}"
    if error["type"] == "value_error":  # of this module: the sentence says what was given
        return f"{place}: {error['ctx']['error']}"
    got = "" if place.startswith(("kafka", *SECRETS, "schema_registry")) else f" (got {error['input']!r})"
    words = PATTERNS.get(place) if error["type"] == "string_pattern_mismatch" else WORDS.get(error["type"])
    return f"{place}: {(words or error['msg']).format_map(error.get('ctx', {}))}{got}"


def _flat(table: dict[str, Any], before: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in table.items():
        flat |= _flat(value, f"{before}{name}.") if isinstance(value, dict) else {f"{before}{name}": value}
    return flat
