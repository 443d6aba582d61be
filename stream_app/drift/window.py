"""Distance of each signal, over a window of blocks, from what is usual at the hours of that window."""

from collections.abc import Mapping

import numpy as np

from models.distances import Distances, distances, normal_scores
from models.manifest import Manifest
from stream_app.drift.merge import Sums
from stream_app.drift.standardise import season_of_bins


class WindowDistances:
    """Compares with the reference of one model."""

    def __init__(self, manifest: Manifest) -> None:
        self._names = manifest.signal_names
        self._overall = np.concatenate([np.array(signal.shares) for signal in manifest.signals])
        self._season = season_of_bins(manifest)
        self._places = [normal_scores(np.array(signal.shares)) for signal in manifest.signals]
        self._cuts = np.cumsum([len(signal.shares) for signal in manifest.signals])[:-1]

    def of(self, sums: Sums) -> Mapping[str, Distances]:
        """Signal to its distances."""
        counts, shares = np.split(sums.histogram, self._cuts), np.split(self._usual(sums.hours), self._cuts)
        return {
            name: distances(*columns) for name, *columns in zip(self._names, counts, shares, self._places, strict=True)
        }

    def _usual(self, hours: np.ndarray) -> np.ndarray:
        if self._season is None or not hours.any():
            return self._overall
        usual: np.ndarray = hours @ self._season / hours.sum()
        return usual
