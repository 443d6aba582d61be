"""A pure fold of the log of summaries into drift alerts: every reader of the same log raises the same alerts.

The reference changes with the model. A model is monitored from its first summary on; one that returns by a rollback
begins anew, since its detectors have not seen what happened meanwhile. During a swap both models are monitored, each on
the partitions that it serves.
"""

import logging
from collections.abc import Callable, Mapping, Sequence

from models.distances import Distances
from models.manifest import HOURS, Manifest
from schemas.drift import DriftAlert, DriftSummary, SignalSums
from stream_app.drift.monitor import ModelMonitor
from stream_app.drift.segmented import SegmentedMonitor
from stream_app.settings import Settings

log = logging.getLogger(__name__)


class ForeignSummaryError(ValueError):
    """A summary that cannot be of the model that it names; the message says why."""


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
        self._manifests: dict[str, Manifest | None] = {}
        self._latest: ModelMonitor | SegmentedMonitor | None = None

    def update(self, summary: DriftSummary, offset: int) -> list[DriftAlert]:
        """Take the next summary, which stands at this offset of the log, and return the alerts that it raises.

        Raises:
            ForeignSummaryError: its sums do not fit its model. Nothing has changed.
        """
        manifest = self._manifest(summary.model_sha256)
        if manifest is not None:
            _check(summary, manifest)
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
            self._latest = self._monitors[sha256] = self._monitor(sha256)
        served = set(self._models.values())
        self._monitors = {known: monitor for known, monitor in self._monitors.items() if known in served}
        self._manifests = {known: self._manifests[known] for known in self._monitors}

    def _manifest(self, sha256: str) -> Manifest | None:
        """The model's; asked for again with each summary only while it is not watched."""
        return self._manifests[sha256] if sha256 in self._monitors else self._reference(sha256)

    def _monitor(self, sha256: str) -> ModelMonitor | SegmentedMonitor | None:
        manifest = self._manifests[sha256] = self._reference(sha256)
        if manifest is None:
            log.warning("drift of model %s is not watched: its manifest cannot be had", sha256[:12])
            return None
        if not manifest.has_season:
            log.warning(
                "drift of model %s is watched without a season: its reference is shorter than a week", sha256[:12]
            )
        monitor = ModelMonitor if manifest.segments is None else SegmentedMonitor
        return monitor(self._settings, manifest, sha256)


def _check(summary: DriftSummary, manifest: Manifest) -> None:
    """Raises ForeignSummaryError unless the sums have the columns of the model, of the summary's own transactions."""
    if summary.signals != manifest.signal_names:
        raise ForeignSummaryError("it has other signals than its model")
    parts = [(part.scored, part.sums) for part in summary.by_segment.values()]
    if sum(scored for scored, _ in parts) > summary.scored:
        raise ForeignSummaryError("its segments have more transactions than it has")
    widths = _widths_of(manifest)
    for scored, sums in [(summary.scored, summary.sums), *parts]:
        if sums is not None and (_widths(sums) != widths or max(sums.missing) > scored):
            raise ForeignSummaryError("its sums have other columns than its model, or more values than transactions")


def _widths(sums: SignalSums) -> list[int]:
    columns = (sums.missing, sums.mean, sums.tail, sums.clipped, sums.squares, sums.products, sums.raw, sums.hours)
    return [*(len(column) for column in columns), *map(len, sums.histogram)]


def _widths_of(manifest: Manifest) -> list[int]:
    signals, components = len(manifest.signals), len(manifest.relations.weights) if manifest.relations else 0
    products = components * (components + 1) // 2
    return [*[signals] * 5, products, len(manifest.inputs), HOURS, *(len(signal.shares) for signal in manifest.signals)]
