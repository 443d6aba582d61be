"""A pure fold of the log of summaries into drift alerts: every reader of the same log raises the same alerts.

The reference changes with the model. A model is monitored from its first summary on; one that returns by a rollback
begins anew, since its detectors have not seen what happened meanwhile. During a swap both models are monitored, each on
the partitions that it serves.
"""

import logging
from collections.abc import Callable, Mapping, Sequence

from models.distances import Distances
from models.manifest import Manifest
from schemas.drift import DriftAlert, DriftSummary
from stream_app.drift.monitor import ModelMonitor
from stream_app.drift.segmented import SegmentedMonitor
from stream_app.settings import Settings

log = logging.getLogger(__name__)


class Aggregator:
    """The state after the summaries so far.

    Args:
        reference: The manifest of a model by its digest. For None its summaries are skipped, with a line in the log.
    """

    def __init__(self, settings: Settings, reference: Callable[[str], Manifest | None]) -> None:
        self._settings = settings
        self._reference = reference
        self._models: dict[int, str] = {}
        self._monitors: dict[str, ModelMonitor | SegmentedMonitor | None] = {}
        self._latest: ModelMonitor | SegmentedMonitor | None = None

    def update(self, summary: DriftSummary, offset: int) -> list[DriftAlert]:
        """Take the next summary, which stands at this offset of the log, and return the alerts that it raises."""
        if self._models.get(summary.partition) != summary.model_sha256:
            self._move(summary)
        monitor = self._monitors[summary.model_sha256]
        return [] if monitor is None else monitor.update(summary, offset)

    @property
    def distances(self) -> Mapping[str, Distances]:
        """Signal to its distance from the reference, of the model that came last."""
        return self._latest.distances if self._latest else {}

    @property
    def unmatched(self) -> Sequence[str]:
        """Segments of that model that no event is in."""
        return self._latest.unmatched if self._latest else ()

    def _move(self, summary: DriftSummary) -> None:
        """A partition has passed to another model."""
        sha256 = summary.model_sha256
        self._models[summary.partition] = sha256
        if sha256 not in self._monitors:
            self._latest = self._monitors[sha256] = self._monitor(summary)
        served = set(self._models.values())
        self._monitors = {known: monitor for known, monitor in self._monitors.items() if known in served}

    def _monitor(self, summary: DriftSummary) -> ModelMonitor | SegmentedMonitor | None:
        manifest = self._reference(summary.model_sha256)
        if manifest is not None and manifest.signal_names == summary.signals:
            if not manifest.has_season:
                log.warning(
                    "drift of model %s is watched without a season: its reference is shorter than a week",
                    summary.model_sha256[:12],
                )
            monitor = ModelMonitor if manifest.segments is None else SegmentedMonitor
            return monitor(self._settings, manifest, summary.model_sha256)
        why = "its manifest cannot be had" if manifest is None else "its summaries have other signals than its manifest"
        log.warning("drift of model %s is not watched: %s", summary.model_sha256[:12], why)
        return None
