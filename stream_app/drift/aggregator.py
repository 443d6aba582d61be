"""The summaries' log in, alerts out: a pure fold, so that whoever reads the same log raises the same alerts.

References change with the model. Each model is watched from the first summary that a partition brings of it: one that
returns by a rollback begins anew, since its detectors have not seen what happened meanwhile. While a swap is under way
both are watched, each on the partitions that it still has or has already.
"""

import logging
from collections.abc import Callable, Mapping

from models.distances import Distances
from models.manifest import Manifest
from schemas.drift import DriftAlert, DriftSummary
from stream_app.drift.segmented import SegmentedWatch
from stream_app.drift.watch import Watch
from stream_app.settings import Settings

log = logging.getLogger(__name__)


class Aggregator:
    """The state after the summaries so far.

    Args:
        settings: Size of blocks, error bound and effect size of the detectors.
        reference: The manifest of a model by its digest; None: its summaries are passed over, with a line in the log.
    """

    def __init__(self, settings: Settings, reference: Callable[[str], Manifest | None]) -> None:
        self._settings = settings
        self._reference = reference
        self._models: dict[int, str] = {}
        self._watches: dict[str, Watch | SegmentedWatch | None] = {}
        self._latest: Watch | SegmentedWatch | None = None

    def update(self, summary: DriftSummary, offset: int) -> list[DriftAlert]:
        """Take the next summary.

        Args:
            summary: Of one partition and commit.
            offset: Its place in the log: ids of alerts are made of it.

        Returns:
            What is to be raised now, mostly nothing.
        """
        if self._models.get(summary.partition) != summary.model_sha256:
            self._move(summary)
        watch = self._watches[summary.model_sha256]
        return [] if watch is None else watch.update(summary, offset)

    @property
    def distances(self) -> Mapping[str, Distances]:
        """Signal to its distance from the reference, of the model that came last."""
        return self._latest.distances if self._latest else {}

    def _move(self, summary: DriftSummary) -> None:
        """A partition has passed to another model."""
        sha256 = summary.model_sha256
        self._models[summary.partition] = sha256
        if sha256 not in self._watches:
            self._latest = self._watches[sha256] = self._watch(summary)
        served = set(self._models.values())
        self._watches = {known: watch for known, watch in self._watches.items() if known in served}

    def _watch(self, summary: DriftSummary) -> Watch | SegmentedWatch | None:
        manifest = self._reference(summary.model_sha256)
        if manifest is not None and manifest.signal_names == summary.signals:
            if not manifest.has_season:
                log.warning(
                    "drift of model %s is watched without a season: its reference is shorter than a week",
                    summary.model_sha256[:12],
                )
            watch = Watch if manifest.segments is None else SegmentedWatch
            return watch(self._settings, manifest, summary.model_sha256)
        why = "its manifest cannot be had" if manifest is None else "its summaries have other signals than its manifest"
        log.warning("drift of model %s is not watched: %s", summary.model_sha256[:12], why)
        return None
