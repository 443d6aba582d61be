"""Artefacts by URI: read from a file, S3 or the web, and kept by digest.

S3 is read by boto3, with credentials and endpoint as every AWS tool takes them; the web by a plain GET without any,
which is how MLflow's server hands out what it keeps. A file gets its final name in the cache only when its digest
holds, and the digest of a kept file is checked again on use: a damaged entry is fetched anew.
"""

import hashlib
import logging
import os
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from http.client import HTTPException
from pathlib import Path
from typing import IO, Any
from urllib.error import HTTPError
from urllib.parse import unquote, urlsplit
from urllib.request import urlopen

from models import archive
from models.archive import LARGEST_BYTES, Archive, ArtefactError
from models.registry.address import Registered
from models.replacing import replacing
from models.signing import SIGNATURE_MAX_BYTES, SUFFIX
from schemas.errors import UserError
from stream_app.rollout.trust import UNCHECKED, Trust

logger = logging.getLogger(__name__)

Source = Path | str | Registered
"""Where a model is taken from: a file, a URI, or a version of the registry, whose digest is known beforehand."""

REMOTE = ("s3://", "http://", "https://")
PATIENCE_S = 30.0


class FetchError(UserError):
    """The artefact cannot be had; the message says why, and what to do."""


class ModelCache:
    """A folder of artefacts, one file for each digest, their signatures beside them. Several processes may share it.

    Args:
        folder: Where they are kept.
        trust: Whose signatures count, and whether one is required.
    """

    def __init__(self, folder: Path, trust: Trust = UNCHECKED) -> None:
        self._folder = folder
        self._trust = trust

    def fetch(self, uri: str, sha256: str) -> Path:
        """The path of the artefact with this digest, from the cache or from its URI.

        Raises:
            FetchError: not signed as settings require, not readable, not the digest announced, or no room in the cache.
        """
        complaint = self._complaint(uri, sha256)
        if complaint and self._trust.required:
            raise FetchError(f"{uri} is refused: {complaint}")
        if complaint:
            logger.warning("%s is taken although %s", uri, complaint)
        kept = self._folder / f"{sha256}.pt"
        if _holds(kept, sha256):
            return kept
        content = fetch(uri)
        got = hashlib.sha256(content).hexdigest()
        if got != sha256:
            raise FetchError(
                f"{uri} has sha256 {got[:12]}…, announced was {sha256[:12]}…: the file is damaged or not the one meant"
            )
        try:
            with replacing(kept) as partial, partial.open("wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            raise FetchError(f"cannot keep {uri}: {error.strerror or error} ({self._folder})") from error
        return kept

    def _complaint(self, uri: str, sha256: str) -> str:
        """What is wrong with the signature that was kept, or else with the one beside the artefact; empty: nothing."""
        if not self._trust.artefact(sha256, None).complaint:
            return ""  # signatures are not asked for
        kept = self._folder / f"{sha256}.pt{SUFFIX}"
        if kept.is_file() and not self._trust.artefact(sha256, _signature(str(kept))).complaint:
            return ""
        signature = _signature(uri + SUFFIX)
        complaint = self._trust.artefact(sha256, signature).complaint
        if signature is not None and not complaint:
            self._folder.mkdir(parents=True, exist_ok=True)
            kept.write_bytes(signature)
        return complaint


def read(model: Source) -> Archive:
    """The artefact, opened once.

    Raises:
        ArtefactError: the file cannot be read.
        FetchError: it cannot be fetched, or is not what was registered.
    """
    if isinstance(model, Path):
        return archive.read(model)
    uri = uri_of(model)
    found = Archive(uri, fetch(uri))
    if isinstance(model, Registered) and found.sha256 != model.sha256:
        raise FetchError(
            f"models:/{model.name}/{model.version} was registered with sha256 {model.sha256[:12]}…, "
            f"{uri} has {found.sha256[:12]}…: the file is damaged or was exchanged"
        )
    return found


def uri_of(model: Source) -> str:
    """Where workers fetch it."""
    match model:
        case Registered():
            return model.uri
        case Path():
            return model.resolve().as_uri()
        case str():
            return model


def fetch(uri: str, most: int = LARGEST_BYTES) -> bytes:
    """The bytes that a path or a `file://`, `s3://` or `http(s)://` URL names, at most so many.

    Raises:
        FetchError: not there, not allowed, no answer, or larger.
    """
    try:
        with _opened(uri) as source:
            content = bytes(source.read(most + 1))
    except HTTPError as error:
        raise FetchError(f"cannot fetch {uri}: the server says {error.code} {error.reason}") from error
    except (OSError, HTTPException, ValueError) as error:
        why = getattr(error, "reason", None) or getattr(error, "strerror", None) or error
        raise FetchError(f"cannot fetch {uri}: {_one_line(why)}") from error
    if len(content) > most:
        raise FetchError(f"cannot fetch {uri}: it is larger than the {most:,} bytes that are read at most")
    return content


def local_path(uri: str) -> Path:
    """The file that a path or a `file:` URL names; of a URL that nobody quoted, as it is written.

    Raises:
        FetchError: another scheme than `file`.
    """
    scheme, _, rest = uri.partition(":")
    if scheme.lower() == "file":
        place = rest.removeprefix("//").removeprefix("localhost") if rest.startswith("//") else rest
        if rest.startswith("//") and not place.startswith("/"):
            raise FetchError(f"cannot fetch {uri}: a file:// URL has no host: write file:///path")
        quoted, as_written = Path(unquote(place.partition("?")[0].partition("#")[0])), Path(place)
        return as_written if as_written.exists() and not quoted.exists() else quoted
    if "://" in uri:
        raise FetchError(f"cannot fetch {uri}: only paths, file://, s3:// and http(s):// are supported")
    return Path(uri)


def _opened(uri: str) -> AbstractContextManager[IO[bytes]]:
    if uri.startswith("s3://"):
        return _on_s3(uri)
    if uri.startswith(REMOTE):
        opened: AbstractContextManager[IO[bytes]] = urlopen(uri, timeout=PATIENCE_S)  # noqa: S310 - by scheme, above
        return opened
    return local_path(uri).open("rb")


@contextmanager
def _on_s3(uri: str) -> Iterator[Any]:
    try:
        import boto3  # an extra
        from botocore.exceptions import BotoCoreError, ClientError
    except ImportError as error:
        raise FetchError(f"cannot fetch {uri}: boto3 is not installed: pip install 'stream-app[registry]'") from error
    place = urlsplit(uri)
    try:
        yield boto3.client("s3").get_object(Bucket=place.netloc, Key=place.path.lstrip("/"))["Body"]
    except (BotoCoreError, ClientError) as error:
        raise FetchError(f"cannot fetch {uri}: {_one_line(error)}") from error


def _one_line(why: object) -> str:
    return " ".join(str(why).split())


def _signature(uri: str) -> bytes | None:
    try:
        return fetch(uri, SIGNATURE_MAX_BYTES)
    except FetchError as error:
        logger.info("no signature: %s", error)
        return None


def _holds(path: Path, sha256: str) -> bool:
    try:
        return path.is_file() and archive.read(path).sha256 == sha256
    except (ArtefactError, OSError):
        return False
