"""Artefacts fetched by URI and kept by digest: what comes out has the digest announced, or an error says why not.

A file gets its final name only when it is whole and its digest holds, and the digest of a kept file is checked again on
use: a damaged entry is fetched anew. (The loader checks the very bytes it loads, since a file can change in between.)
"""

import errno
import logging
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import unquote, urlsplit

from models.artefact import LARGEST_BYTES, ArtefactError, digest
from models.registry.address import Registered
from models.signing import SIGNATURE_MAX_BYTES, SUFFIX
from stream_app.rollout import object_store
from stream_app.rollout.trust import UNCHECKED, Trust

logger = logging.getLogger(__name__)

Source = Path | str | Registered
"""Where a model is taken from: a file, a URI, or a version of the registry, whose digest is known beforehand."""

_NO_ROOM = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}  # said of a write, and without the name of a file


class FetchError(Exception):
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

        Args:
            uri: A path, `file://`, `s3://` or `http(s)://` URL that this worker can read.
            sha256: The digest announced for it.

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
        source = None if uri.startswith(object_store.SCHEMES) else local_path(uri)
        try:
            partial = self._copy(source) if source is not None else self._download(uri)
        except OSError as error:
            of_source = error.errno not in _NO_ROOM and error.filename in (str(source), None)
            where = source if of_source and source is not None else self._folder
            raise FetchError(f"cannot fetch {uri}: {error.strerror or error} ({where})") from error
        try:
            got = digest(partial)
            if got != sha256:
                raise FetchError(
                    f"{uri} has sha256 {got[:12]}…, announced was {sha256[:12]}…: "
                    "the file is damaged or not the one meant"
                )
            partial.replace(kept)
        except (OSError, ArtefactError) as error:
            raise FetchError(f"cannot keep {uri} in {self._folder}: {error}") from error
        finally:
            partial.unlink(missing_ok=True)
        return kept

    def _complaint(self, uri: str, sha256: str) -> str:
        """What is wrong with the signature that was kept, or else with the one beside the artefact; empty: nothing."""
        if not self._trust.artefact(sha256, None).complaint:
            return ""  # nobody asks
        kept = self._folder / f"{sha256}.pt{SUFFIX}"
        if not self._trust.artefact(sha256, _content(kept)).complaint:
            return ""
        signature = _signature(uri + SUFFIX)
        complaint = self._trust.artefact(sha256, signature).complaint
        if signature is not None and not complaint:
            self._folder.mkdir(parents=True, exist_ok=True)
            kept.write_bytes(signature)
        return complaint

    def _download(self, uri: str) -> Path:
        """The object in the cache's own folder, under a passing name."""
        content = remote(uri)
        self._folder.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix="fetch-", suffix=".partial", dir=self._folder)
        with os.fdopen(handle, "wb") as copy:
            copy.write(content)
        return Path(name)

    def _copy(self, source: Path) -> Path:
        """A private copy in the cache's own folder, so that the rename at the end is atomic."""
        self._folder.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix="fetch-", suffix=".partial", dir=self._folder)
        try:
            with os.fdopen(handle, "wb") as copy, source.open("rb") as original:
                shutil.copyfileobj(original, copy)
                copy.flush()
                os.fsync(copy.fileno())
        except OSError:
            Path(name).unlink(missing_ok=True)
            raise
        return Path(name)


@contextmanager
def at_hand(model: Source) -> Iterator[Path]:
    """A file of this machine with the artefact: itself or, of what is elsewhere, a copy for as long as needed.

    Raises:
        FetchError: it cannot be had, or is not what was registered.
    """
    if isinstance(model, Registered):
        with at_hand(model.uri) as file:
            got = digest(file)
            if got != model.sha256:
                raise FetchError(
                    f"models:/{model.name}/{model.version} was registered with sha256 {model.sha256[:12]}…, "
                    f"{model.uri} has {got[:12]}…: the file is damaged or was exchanged"
                )
            yield file
    elif isinstance(model, str) and model.startswith(object_store.SCHEMES):
        with tempfile.NamedTemporaryFile(suffix=".pt") as copy:
            copy.write(remote(model))
            copy.flush()
            yield Path(copy.name)
    else:
        yield local_path(model) if isinstance(model, str) else model


def local_path(uri: str) -> Path:
    """The file that a URI names.

    Raises:
        FetchError: another scheme than `file`.
    """
    parts = urlsplit(uri)
    if parts.scheme == "file":
        return Path(unquote(parts.path))
    if "://" in uri:
        raise FetchError(f"cannot fetch {uri}: only paths, file://, s3:// and http(s):// are supported")
    return Path(uri)


def remote(uri: str) -> bytes:
    """The artefact that a URI of one of `object_store.SCHEMES` names, whatever it is.

    Raises:
        FetchError: it cannot be had.
    """
    try:
        return object_store.read(uri, LARGEST_BYTES)
    except object_store.ObjectStoreError as error:
        raise FetchError(f"cannot fetch {uri}: {error}") from error


def _signature(uri: str) -> bytes | None:
    if not uri.startswith(object_store.SCHEMES):
        return _content(local_path(uri))
    try:
        return object_store.read(uri, SIGNATURE_MAX_BYTES)
    except object_store.ObjectStoreError as error:
        logger.info("no signature at %s: %s", uri, error)
        return None


def _content(path: Path) -> bytes | None:
    try:
        with path.open("rb") as file:
            return file.read(SIGNATURE_MAX_BYTES)
    except OSError:
        return None


def _holds(path: Path, sha256: str) -> bool:
    try:
        return path.is_file() and digest(path) == sha256
    except (ArtefactError, OSError):
        return False
