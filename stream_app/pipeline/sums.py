"""Sufficient statistics of signals by partition, and the record of a partition that is made of them.

Sums and counts only: any split of the same events adds up to the same record, up to the rounding of floats.
"""

from bisect import bisect_left
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import numpy as np

from models.manifest import CLIP, CLIP_COMPONENT, HOURS, Relations, SignalReference
from models.season import cell_of
from schemas.drift import DriftSummary, SegmentSummary, SignalSums

HOUR = timedelta(hours=1)
DIGITS_OF_MEAN = 5
DIGITS = 4  # of sums that are about as large as the count: the rest is noise, and bytes
LARGEST = 1e30  # as the model's: a sum of raw values stays finite


class PartitionSums:
    """Running sums of one partition, or of one segment in it; columns are signals."""

    def __init__(self, bins: "Bins") -> None:
        self.scored = 0
        self.dead_lettered = 0
        self.anomalies = 0
        self.candidate_decided = 0
        self.candidate_anomalies = 0
        self.first_event: datetime | None = None
        self.last_event: datetime | None = None
        self.hours = [0] * HOURS
        self.moments = np.zeros((3, len(bins)))  # of the centred signal, the clipped one, its square
        self.at_most = np.zeros((len(bins), bins.width + 1), dtype=np.int64)  # each edge, infinity, the tail
        self.products = np.zeros((bins.components, bins.components))
        self.raw = np.zeros(bins.inputs)

    def add_times(self, event_times: Sequence[datetime]) -> None:
        """Widen the span of event times, and count the hours.

        Times of a partition are nearly in order, so sorting costs less than `min` and `max`.
        """
        times = sorted(event_times)
        first, last = times[0], times[-1]
        self.first_event = first if self.first_event is None else min(self.first_event, first)
        self.last_event = last if self.last_event is None else max(self.last_event, last)
        done = 0
        while done < len(times):
            hour = times[done].astimezone(UTC).replace(minute=0, second=0, microsecond=0)
            end = len(times) if last < hour + HOUR else bisect_left(times, hour + HOUR, done)
            self.hours[cell_of(hour)] += end - done
            done = end

    def include(self, segment: "PartitionSums") -> None:
        """Add the rows of a segment of this partition; its anomalies are counted here already."""
        for name in ("scored", "moments", "at_most", "products", "raw"):
            setattr(self, name, getattr(self, name) + getattr(segment, name))
        self.hours = [mine + more for mine, more in zip(self.hours, segment.hours, strict=True)]
        times = (self.first_event, self.last_event, segment.first_event, segment.last_event)
        known = [time for time in times if time is not None]
        self.first_event, self.last_event = min(known), max(known)


class Bins:
    """The reference as arrays, and the sums that are taken against it.

    Args:
        references: The model's signals.
        relations: Relations of its inputs, if its manifest has them.
    """

    def __init__(self, references: Sequence[SignalReference], relations: Relations | None) -> None:
        self._names = [reference.name for reference in references]
        self._mean = _column([reference.mean for reference in references])
        self._per_std = _column([1 / reference.std for reference in references])
        self._widths = [len(reference.shares) for reference in references]
        self.width = max(self._widths)
        limits = [
            [*reference.edges, *[np.inf] * (self.width - len(reference.edges)), reference.tail]
            for reference in references
        ]
        self._limits = np.array(limits, dtype=np.float32)
        self.inputs = sum(name.startswith("input:") for name in self._names)
        self._weights = np.array(relations.weights if relations else np.zeros((0, self.inputs)), dtype=np.float32)
        self._centre = _column(relations.centre if relations else [])
        self.components = len(self._weights)
        self._pairs = np.triu_indices(self.components)

    def __len__(self) -> int:
        return len(self._names)

    def add(self, parts: Sequence[PartitionSums], starts: np.ndarray, signals: np.ndarray, raw: np.ndarray) -> None:
        """Add events to the sums of their partitions.

        Args:
            parts: Sums of the partitions that have any.
            starts: int64 [parts], first column of each.
            signals: float32 [signals, n], ordered by partition, NaN where missing.
            raw: float32 [inputs, n], the inputs in their own units, NaN where missing.
        """
        centred = signals - self._mean
        missing = np.isnan(signals)
        if missing.any():
            centred[missing] = 0.0
            raw = np.nan_to_num(raw)
        clipped = np.clip(centred * self._per_std, -CLIP, CLIP)
        raw = np.clip(raw, -LARGEST, LARGEST)
        components = self._weights @ clipped[1 : self.inputs + 1] - self._centre
        np.clip(components, -CLIP_COMPONENT, CLIP_COMPONENT, out=components)
        ends = [*starts[1:].tolist(), signals.shape[1]]
        for sums, start, end in zip(parts, starts.tolist(), ends, strict=True):
            sums.scored += end - start
            sums.moments += _moments(centred[:, start:end], clipped[:, start:end])
            sums.at_most += self._at_most(signals[:, start:end])
            sums.products += components[:, start:end] @ components[:, start:end].T
            sums.raw += raw[:, start:end].sum(axis=1, dtype=np.float64)

    def _at_most(self, signals: np.ndarray) -> np.ndarray:
        """Int64 [signals, width + 1], how many values are at most each edge, infinity, and the tail's beginning.

        Sorting a row costs a fraction of searching a bin for each value. NaN is sorted behind infinity.
        """
        rows = zip(np.sort(signals, axis=1), self._limits, strict=True)
        return np.array([row.searchsorted(limits, side="right") for row, limits in rows])

    def summary(
        self, partition: int, span: tuple[int, int], sums: PartitionSums, model_sha256: str, worker: str
    ) -> DriftSummary:
        """The record of one partition and its span of offsets."""
        return DriftSummary(
            partition=partition,
            from_offset=span[0],
            to_offset=span[1],
            scored=sums.scored,
            dead_lettered=sums.dead_lettered,
            anomalies=sums.anomalies,
            model_sha256=model_sha256,
            worker=worker,
            event_time_min=sums.first_event,
            event_time_max=sums.last_event,
            signals=self._names,
            sums=self._signal_sums(sums),
        )

    def segment(self, sums: PartitionSums) -> SegmentSummary:
        """The part of a partition's record that is about one segment."""
        return SegmentSummary(sums.scored, sums.anomalies, self._signal_sums(sums))

    def _signal_sums(self, sums: PartitionSums) -> SignalSums:
        present = sums.at_most[:, -2]
        centred, clipped, squares = sums.moments
        histogram = np.diff(sums.at_most[:, :-1], prepend=0)
        return SignalSums(
            missing=(sums.scored - present).tolist(),
            mean=(self._mean[:, 0] + centred / np.maximum(present, 1)).round(DIGITS_OF_MEAN).tolist(),
            tail=(present - sums.at_most[:, -1]).tolist(),
            histogram=[row[:width] for row, width in zip(histogram.tolist(), self._widths, strict=True)],
            clipped=clipped.round(DIGITS).tolist(),
            squares=squares.round(DIGITS).tolist(),
            products=sums.products[self._pairs].round(DIGITS).tolist(),
            raw=sums.raw.tolist(),
            hours=sums.hours,
        )


def _column(values: Sequence[float]) -> np.ndarray:
    return np.array(values, dtype=np.float32)[:, None]


def _moments(centred: np.ndarray, clipped: np.ndarray) -> list[np.ndarray]:
    """Sums over the columns: of both matrices, and of the squares of the clipped values."""
    ones = np.ones(centred.shape[1], dtype=np.float32)
    return [centred @ ones, clipped @ ones, np.vecdot(clipped, clipped)]
