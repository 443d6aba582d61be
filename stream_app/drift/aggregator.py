"""A pure fold of the log of summaries into drift alerts: every reader of the same log raises the same alerts.

The reference changes with the model. A model is monitored from its first summary on; one that returns by a rollback
begins anew, since its detectors have not seen what happened meanwhile. During a swap both models are monitored, each on
the partitions that it serves; then the incidents of the one that has left are over.
"""

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence

from msgspec.structs import replace

from models.distances import Distances
from models.manifest import Manifest
from schemas.drift import DriftAlert, DriftPhase, DriftSummary
from stream_app.drift.foreign import check
from stream_app.drift.monitor import ModelMonitor
from stream_app.drift.published import SERVES_NO_LONGER
from stream_app.drift.segmented import SegmentedMonitor
from stream_app.drift.swap import ServiceStart, facts_of
from stream_app.rollout.swap_log import Swap
from stream_app.settings import Settings

LEFT_SUMMARIES = 512  # of others in a row: a model that only a quiet partition was served by has left
FORGOTTEN = "its beginning is no longer kept, and what lasts is reported anew"

log = logging.getLogger(__name__)


def _unknown(_: str) -> None:
    """No swap is known."""


class Aggregator:
    """The state after the summaries so far.

    Args:
        reference: The manifest of a model by its digest. For None its summaries are skipped, with a line in the log.
        swap_to: The latest swap to a model, by its digest; None where it is not known.
    """

    def __init__(
        self,
        settings: Settings,
        reference: Callable[[str], Manifest | None],
        swap_to: Callable[[str], Swap | None] = _unknown,
    ) -> None:
        self._settings = settings
        self._reference = reference
        self._swap_to = swap_to
        self._models: dict[int, str] = {}
        self._silent: dict[str, int] = {}  # model to the summaries of others since its last one
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
            check(summary, manifest)
        if self._models.get(summary.partition) != summary.model_sha256:
            self._move(summary)
        ended = self._ended(summary) if len(self._monitors) > 1 else []
        monitor = self._monitors[summary.model_sha256]
        return ended if monitor is None else ended + monitor.update(summary, offset)

    def orphans(self, lasting: Iterable[DriftAlert], raised: Iterable[DriftAlert]) -> list[DriftAlert]:
        """Incidents that last on the topic and that no monitor ends: those are over.

        Args:
            lasting: Published before the log was read, and not over.
            raised: What the log has raised, from its first record on.
        """
        known = {alert.alert_id for alert in raised}
        watched = {sha256 for sha256, monitor in self._monitors.items() if monitor is not None}
        gone = [alert for alert in lasting if alert.alert_id not in known] if self._monitors else []
        left = [alert for alert in gone if alert.model.sha256 not in self._monitors]
        forgotten = [alert for alert in gone if alert.model.sha256 in watched]
        return [_over(alert, SERVES_NO_LONGER) for alert in left] + [_over(alert, FORGOTTEN) for alert in forgotten]

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

    def _ended(self, summary: DriftSummary) -> list[DriftAlert]:
        """Let go of the models that serve no partition, and return the end of their incidents."""
        self._silent = {sha256: self._silent.get(sha256, 0) + 1 for sha256 in self._monitors}
        self._silent[summary.model_sha256] = 0
        self._models = {p: model for p, model in self._models.items() if self._silent[model] < LEFT_SUMMARIES}
        left = {sha256: self._monitors[sha256] for sha256 in self._monitors.keys() - set(self._models.values())}
        for sha256 in left:
            del self._monitors[sha256], self._manifests[sha256]
        return [
            replace(_over(alert, SERVES_NO_LONGER), raised_at=monitor.ends)
            for monitor in left.values()
            if monitor is not None
            for alert in monitor.open_alerts
        ]

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
        before = [monitor for monitor in self._monitors.values() if monitor is not None]
        known = facts_of(alert for monitor in before for alert in monitor.open_alerts)
        start = ServiceStart(lambda: self._swap_to(sha256), known) if self._monitors else None
        if manifest.segments is not None:
            return SegmentedMonitor(self._settings, manifest, sha256, start)
        return ModelMonitor(self._settings, manifest, sha256, start=start)


def _over(alert: DriftAlert, because: str) -> DriftAlert:
    return replace(alert, phase=DriftPhase.OVER, over_because=because)
