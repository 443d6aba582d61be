"""Asks a schema registry for the schemas that records name: over HTTP, as Confluent's registry answers, and only GET.

What a schema's number stands for never changes, so each is asked for once and kept: in memory, and in a file for the
next start. A registry that is away therefore stops no schema that was ever seen here.
"""

import base64
import hashlib
import json
import logging
import ssl
import time
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.parse import quote
from urllib.request import (
    HTTPDefaultErrorHandler,
    HTTPErrorProcessor,
    HTTPHandler,
    HTTPSHandler,
    OpenerDirector,
    ProxyHandler,
    Request,
)

import msgspec
from msgspec import Struct

from models.replacing import replacing
from schemas.errors import UserError
from stream_app.settings import Settings, SettingsError

PATIENCE_S = 5.0
MOST_BYTES = 8_000_000  # of an answer
MOST_REFERENCES = 200
MISSING_FOR_S = 30.0  # a registry's followers may learn of a schema later than its records' readers
MOST_MISSING = 10_000
NOT_FOUND = 404
AVRO, PROTOBUF = "AVRO", "PROTOBUF"

SchemaId = int | str
"""A number, or a GUID."""

log = logging.getLogger(__name__)


class SchemaRegistryError(UserError):
    """The registry cannot be asked; the message says why, and what to do."""


class UnknownSchemaError(Exception):
    """The registry has no such schema, or not all of it; the message is for people."""


class WriterSchema(Struct, frozen=True):
    """A schema as its writer registered it.

    Attributes:
        kind: `AVRO`, `PROTOBUF` or another.
        text: The schema; in protobuf a file of descriptors, base64.
        referred: Name and text of those that it refers to, each after those that it refers to itself.
    """

    kind: str
    text: str
    referred: tuple[tuple[str, str], ...] = ()


class SchemaRegistry:
    """One registry.

    Args:
        url: Where it is.
        folder: Where schemas are kept for the next start.
        credentials: `user:password`, or a bearer token; empty: none.
        authority: File of the certificates to trust beside the system's.
        monotonic: Clock for durations, seconds.

    Raises:
        SettingsError: the certificates cannot be read.
    """

    def __init__(
        self,
        url: str,
        folder: Path,
        credentials: str = "",
        authority: Path | None = None,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self.url = url.rstrip("/")
        self._folder = folder / hashlib.sha256(self.url.encode()).hexdigest()[:16]
        self._headers = {"Accept": "application/vnd.schemaregistry.v1+json, application/json"}
        if credentials:
            basic = f"Basic {base64.b64encode(credentials.encode()).decode()}"
            self._headers["Authorization"] = basic if ":" in credentials else f"Bearer {credentials}"
        self._opener = _opener(authority)
        self._monotonic = monotonic
        self._known: dict[SchemaId, WriterSchema] = {}
        self._missing: dict[SchemaId, tuple[float, str]] = {}

    def schema(self, identity: SchemaId) -> WriterSchema:
        """The schema that a record names.

        Raises:
            UnknownSchemaError: the registry answers that there is none.
            SchemaRegistryError: it does not answer, and the schema is not known here.
        """
        found = self._known.get(identity) or self._kept(identity)
        if found is None:
            since, sentence = self._missing.get(identity, (0.0, ""))
            if sentence and self._monotonic() - since < MISSING_FOR_S:
                raise UnknownSchemaError(sentence)
            found = self._asked(identity)
            self._keep(identity, found)
        self._known[identity] = found
        return found

    def latest(self, subject: str) -> WriterSchema | None:
        """The newest schema of a subject; None where there is none.

        Raises:
            SchemaRegistryError: it does not answer.
        """
        answer = self._schema_at(f"subjects/{quote(subject, safe='')}/versions/latest")
        return None if answer is None else self._whole(answer)

    def knock(self) -> int:
        """Ask for the number of subjects.

        Raises:
            SchemaRegistryError: it does not answer as a registry does.
        """
        answer = self._get("subjects")
        if not isinstance(answer, list):
            raise SchemaRegistryError(f"{self.url} does not answer as a schema registry: see schema_registry")
        return len(answer)

    def _asked(self, identity: SchemaId) -> WriterSchema:
        path = f"schemas/ids/{identity}" if isinstance(identity, int) else f"schemas/guids/{identity}"
        answer = self._schema_at(path)
        try:
            if answer is None:
                raise UnknownSchemaError(f"the schema registry {self.url} has no schema {identity}")
            return self._whole(answer)
        except UnknownSchemaError as error:
            if len(self._missing) >= MOST_MISSING:
                self._missing.clear()
            self._missing[identity] = self._monotonic(), str(error)
            raise

    def _whole(self, answer: Any) -> WriterSchema:
        """A schema with those that it refers to."""
        referred: dict[str, str] = {}
        self._refer(answer, referred, set())
        return WriterSchema(answer.get("schemaType", AVRO), answer["schema"], tuple(referred.items()))

    def _refer(self, answer: Any, referred: dict[str, str], open_: set[str]) -> None:
        if not isinstance(answer, dict) or not isinstance(answer.get("schema"), str):
            raise SchemaRegistryError(f"{self.url} does not answer as a schema registry: see schema_registry")
        for entry in answer.get("references") or ():
            name = entry["name"]
            if name in referred or name in open_:
                continue
            open_.add(name)
            if len(open_) > MOST_REFERENCES:
                raise UnknownSchemaError(f"it refers to more than {MOST_REFERENCES} others")
            inner = self._schema_at(f"subjects/{quote(entry['subject'], safe='')}/versions/{entry['version']}")
            if inner is None:
                raise UnknownSchemaError(f"the schema registry {self.url} lacks {name}, to which a schema refers")
            self._refer(inner, referred, open_)
            referred[name] = inner["schema"]

    def _schema_at(self, path: str) -> Any:
        """A schema as it is read here: in protobuf the registry is asked once more, for descriptors."""
        answer = self._get(path)
        is_text = isinstance(answer, dict) and answer.get("schemaType") == PROTOBUF
        return self._get(f"{path}?format=serialized") if is_text else answer

    def _get(self, path: str) -> Any:
        """What the registry answers; None: it has no such thing."""
        request = Request(f"{self.url}/{path}", headers=self._headers)  # noqa: S310 - a setting, http or https
        try:
            with self._opener.open(request, timeout=PATIENCE_S) as response:
                return json.loads(response.read(MOST_BYTES))
        except HTTPError as error:
            with error:
                if error.code == NOT_FOUND and _is_an_answer(error.read(MOST_BYTES)):
                    return None
            raise SchemaRegistryError(f"the schema registry {self.url} {_why(error.code)}") from error
        except (URLError, OSError, ValueError) as error:
            reason = getattr(error, "reason", error)
            raise SchemaRegistryError(
                f"the schema registry {self.url} does not answer ({reason}): see schema_registry"
            ) from error

    def _kept(self, identity: SchemaId) -> WriterSchema | None:
        try:
            return msgspec.json.decode((self._folder / f"{identity}.json").read_bytes(), type=WriterSchema)
        except (OSError, msgspec.DecodeError):
            return None

    def _keep(self, identity: SchemaId, schema: WriterSchema) -> None:
        path = self._folder / f"{identity}.json"
        try:
            with replacing(path) as partial:
                partial.write_bytes(msgspec.json.encode(schema))
        except OSError as error:
            log.warning(
                "cannot keep schema %s in %s (%s): it is asked for again at the next start", identity, path, error
            )


def schema_registry(settings: Settings) -> SchemaRegistry | None:
    """The registry of the settings, one for the process; None where none is set.

    Raises:
        SettingsError: its credentials or certificates cannot be read.
    """
    if not settings.schema_registry:
        return None
    folder = settings.model_cache / "schemas"
    return _registry(settings.schema_registry, folder, _credentials(settings), settings.schema_registry_ca)


@cache
def _registry(url: str, folder: Path, credentials: str, authority: Path | None) -> SchemaRegistry:
    return SchemaRegistry(url, folder, credentials, authority)


def _credentials(settings: Settings) -> str:
    given, path = settings.schema_registry_auth, settings.schema_registry_auth_file
    if given is not None and path is not None:
        raise SettingsError("schema_registry_auth and schema_registry_auth_file are both set: keep one")
    try:
        text = path.read_text("utf-8") if path is not None else given.get_secret_value() if given is not None else ""
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(
            f"schema_registry_auth_file: {path}: {getattr(error, 'strerror', 'is not text')}"
        ) from error
    return text.strip()


def _opener(authority: Path | None) -> OpenerDirector:
    """Follows no redirection: it would take the credentials along."""
    try:
        context = ssl.create_default_context()
        if authority is not None:
            context.load_verify_locations(authority)
    except (OSError, ssl.SSLError) as error:
        raise SettingsError(f"schema_registry_ca: {authority}: {error}") from error
    opener = OpenerDirector()
    for handler in (ProxyHandler, HTTPHandler, HTTPDefaultErrorHandler, HTTPErrorProcessor):
        opener.add_handler(handler())
    opener.add_handler(HTTPSHandler(context=context))
    return opener


def _is_an_answer(body: bytes) -> bool:
    """Whether a registry says that something is missing, and not a server that knows no such address."""
    try:
        return "error_code" in json.loads(body)
    except (ValueError, TypeError):
        return False


def _why(status: int) -> str:
    if status in (401, 403):
        return f"refuses the credentials ({status}): set schema_registry_auth, and give its user the right to read"
    if status == NOT_FOUND:
        return "has no such address (404): is the path in schema_registry complete?"
    return f"answers {status}: look at its log"
