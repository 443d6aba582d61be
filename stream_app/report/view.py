"""The plot data of an incident and the blocks around it, as plain numbers that a test can check."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

import numpy as np

from models.distances import Distances, distances
from models.manifest import Manifest, SignalReference
from schemas.drift import DriftAlert, SignalShift, StatisticKind
from stream_app.drift.blocks import Block
from stream_app.drift.merge import Sums
from stream_app.drift.standardise import DEAD_LETTERS
from stream_app.report.history import total
from stream_app.report.words import shift_words, signal_name

MOST_TRACES = 5
MOST_DISTRIBUTIONS = 6
# Blocks after the change that count as "now". With more, an incident that has ended would look half as large.
NOW_BLOCKS = 64


@dataclass(frozen=True)
class Trace:
    """One statistic over time.

    Attributes:
        title: Display name of the signal.
        unit: Unit of the values.
        note: How far it has moved, in words.
        values: One for each block; NaN if nothing was observed.
        usual: The value without drift.
    """

    title: str
    unit: str
    note: str
    values: Sequence[float]
    usual: float


@dataclass(frozen=True)
class Distribution:
    """One signal in the reference's bins.

    Attributes:
        title: Display name of the signal.
        edges: Inner bin edges, as the model sees the signal.
        reference: Share of each bin in the reference.
        current: Share of each bin now.
        psi: Distance between the two (population stability index).
    """

    title: str
    edges: Sequence[float]
    reference: Sequence[float]
    current: Sequence[float]
    psi: float


@dataclass(frozen=True)
class View:
    """Data of the pictures of one incident.

    Attributes:
        times: Middle of each block.
        traces: The signals that moved furthest, the furthest first, then the alert rate.
        distributions: Of the same signals.
        events: Events in the current distributions.
    """

    times: Sequence[datetime]
    traces: Sequence[Trace]
    distributions: Sequence[Distribution]
    events: int


def of_incident(alert: DriftAlert, manifest: Manifest, blocks: Sequence[Block]) -> View:
    """The view of an incident on at least one block; in a segment, manifest and blocks are those of the segment."""
    after = [block for block in blocks if block.ends > alert.since][:NOW_BLOCKS]
    return _view(alert.signals, manifest, blocks, after or blocks[-1:])


def of_window(manifest: Manifest, blocks: Sequence[Block]) -> View:
    """The view of a window without an incident: its signals that are furthest from the reference."""
    now = total(blocks)
    shifts = [
        SignalShift(s.name, StatisticKind.MEAN, (mean - s.mean) / s.std, s.mean, mean, 0.0)
        for s, mean in zip(manifest.signals, now.mean.tolist(), strict=True)
    ]
    return _view(sorted(shifts, key=lambda s: -abs(s.shift)), manifest, blocks, blocks)


def signal_distances(manifest: Manifest, sums: Sums) -> Mapping[str, Distances]:
    """Distance of each signal from the reference."""
    return {
        signal.name: distances(counts, np.array(signal.shares))
        for signal, counts in zip(manifest.signals, _histograms(manifest, sums), strict=True)
    }


def _view(shifts: Sequence[SignalShift], manifest: Manifest, blocks: Sequence[Block], now: Sequence[Block]) -> View:
    references = {reference.name: (i, reference) for i, reference in enumerate(manifest.signals)}
    drawn = [s for s in shifts if s.signal in references or s.signal == DEAD_LETTERS]
    kept = [s for s in drawn if s.detector in STATISTICS][:MOST_TRACES]
    names = list(dict.fromkeys(s.signal for s in drawn if s.signal in references))[:MOST_DISTRIBUTIONS]
    sums = total(now)
    histograms = _histograms(manifest, sums)
    traces = [_trace(s, blocks, *references.get(s.signal, (-1, None))) for s in kept]
    return View(
        times=[block.begins + (block.ends - block.begins) / 2 for block in blocks],
        traces=[*traces, _alert_rate(manifest, blocks)],
        distributions=[_distribution(references[name][1], histograms[references[name][0]]) for name in names],
        events=sums.scored,
    )


def _trace(shift: SignalShift, blocks: Sequence[Block], column: int, reference: SignalReference | None) -> Trace:
    unit, usual, value = STATISTICS[shift.detector]
    values = [value(block.sums, column, reference) if reference else _refused(block.sums) for block in blocks]
    return Trace(signal_name(shift.signal), unit, shift_words(shift), values, usual)


def _mean(sums: Sums, column: int, reference: SignalReference) -> float:
    return (sums.mean[column] - reference.mean) / reference.std if sums.present[column] else float("nan")


def _spread(sums: Sums, column: int, _: SignalReference) -> float:
    present = sums.present[column]
    if not present:
        return float("nan")
    variance = sums.squares[column] / present - (sums.clipped[column] / present) ** 2
    return float(max(variance, 0.0) ** 0.5)  # rounding makes the variance of a stuck field negative


def _missing(sums: Sums, column: int, _: SignalReference) -> float:
    return 1 - float(sums.present[column]) / sums.scored


def _refused(sums: Sums) -> float:
    return sums.dead_lettered / (sums.scored + sums.dead_lettered)


STATISTICS: dict[StatisticKind, tuple[str, float, Callable[[Sums, int, SignalReference], float]]] = {
    StatisticKind.MEAN: ("mean, in reference sd", 0.0, _mean),
    StatisticKind.SPREAD: ("spread, in reference sd, values limited to 4", 1.0, _spread),
    StatisticKind.SHARE: ("share of records", 0.0, _missing),
}
"""Statistic to its unit, its value without drift, and its computation from the sums of a block."""


def _alert_rate(manifest: Manifest, blocks: Sequence[Block]) -> Trace:
    rates = [block.sums.anomalies / block.sums.scored for block in blocks]
    budget = manifest.calibration.budget
    return Trace("alert rate", "share of records", f"budget {budget:.1%}", rates, budget)


def _histograms(manifest: Manifest, sums: Sums) -> list[np.ndarray]:
    ends = np.cumsum([len(signal.shares) for signal in manifest.signals])
    return np.split(sums.histogram, ends[:-1])


def _distribution(reference: SignalReference, counts: np.ndarray) -> Distribution:
    shares = (counts / max(counts.sum(), 1)).tolist()
    psi = distances(counts, np.array(reference.shares)).psi
    return Distribution(signal_name(reference.name), reference.edges, reference.shares, shares, psi)
