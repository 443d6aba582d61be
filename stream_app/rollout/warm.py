"""Releases in, runtimes out: loaded, checked and warmed up, kept as long as they are wanted; and why others are not."""

import logging
import threading
import time
from collections.abc import Iterable
from typing import NamedTuple

from models import archive, artefact
from models.manifest import Manifest
from models.runtime import Runtime
from models.windows.served import prepare
from stream_app.metrics import Metrics
from stream_app.rollout.artefacts import ModelCache
from stream_app.rollout.state import Release

RETRY_AFTER_S = 2.0  # a file on shared storage may appear late; reading a missing one is cheap

logger = logging.getLogger(__name__)


class _Failure(NamedTuple):
    reason: str
    retry_at: float


class WarmModels:
    """The models of one worker. All methods may be called from any thread; only `load` takes time.

    Args:
        cache: Where files come from.
        metrics: Where loads are timed.
    """

    def __init__(self, cache: ModelCache, metrics: Metrics) -> None:
        self._cache = cache
        self._metrics = metrics
        self._lock = threading.Lock()
        self._runtimes: dict[str, Runtime] = {}
        self._failed: dict[Release, _Failure] = {}
        self._uris: dict[str, str] = {}

    @property
    def digests(self) -> set[str]:
        """Of what is warm."""
        return set(self._runtimes)

    def get(self, release: Release | None) -> Runtime | None:
        """The runtime of a release; None where it is not warm."""
        return self._runtimes.get(release.model.sha256) if release else None

    def failure(self, release: Release) -> str | None:
        """Why the last attempt to load it failed; None where none has."""
        failure = self._failed.get(release)
        return failure.reason if failure else None

    def keep(self, releases: Iterable[Release]) -> None:
        """Release what is none of these."""
        kept = set(releases)
        wanted = {release.model.sha256 for release in kept}
        with self._lock:
            self._runtimes = {sha256: runtime for sha256, runtime in self._runtimes.items() if sha256 in wanted}
            self._failed = {release: failure for release, failure in self._failed.items() if release in kept}

    def remember(self, releases: Iterable[Release]) -> None:
        """Where these come from, for `reference`, also when they are no longer kept."""
        with self._lock:
            self._uris.update({release.model.sha256: release.uri for release in releases})

    def missing(self, releases: Iterable[Release]) -> Release | None:
        """The first of them that is not warm and has not just failed."""
        with self._lock:
            return next((release for release in releases if self._should_load(release)), None)

    def load(self, release: Release) -> None:
        """Make it warm, or remember why not. Never raises, whatever a foreign file provokes."""
        sha256 = release.model.sha256
        try:
            with self._metrics.model_load.time():
                runtime = artefact.load(self._cache.fetch(release.uri, sha256), expected_sha256=sha256)
                prepare(runtime.manifest.definition)
        except Exception as error:  # whatever it is means the same: it may not serve
            reason = str(error) or type(error).__name__
            if self.failure(release) != reason:
                logger.warning("cannot load %s: %s", str(release.model), reason)
            with self._lock:
                self._failed[release] = _Failure(reason, time.monotonic() + RETRY_AFTER_S)
        else:
            with self._lock:
                self._runtimes[sha256] = runtime
                self._failed.pop(release, None)

    def reference(self, sha256: str) -> Manifest | None:
        """The manifest of a model that was ever remembered: from memory, the cache or its URI, or None."""
        with self._lock:
            runtime, uri = self._runtimes.get(sha256), self._uris.get(sha256)
        if runtime is not None:
            return runtime.manifest
        if uri is None:
            return None
        try:
            return archive.read(self._cache.fetch(uri, sha256)).manifest
        except Exception as error:
            logger.warning("no reference for model %s: %s", sha256[:12], error)
            return None

    def _should_load(self, release: Release) -> bool:
        if release.model.sha256 in self._runtimes:
            return False
        failure = self._failed.get(release)
        return failure is None or time.monotonic() >= failure.retry_at
