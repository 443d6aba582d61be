"""Evidence for a cause: which statistics have moved since a change, how far, and in which units."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from models.distances import Distances
from models.manifest import Manifest
from schemas.drift import SignalShift, StatisticKind
from stream_app.drift.merge import Sums
from stream_app.drift.standardise import RELATION, Reference, Statistic

# Standard errors: with two hundred statistics, chance alone reaches 4 once in a hundred looks.
SURE = 4.5
LISTED = 12


@dataclass(frozen=True, eq=False)
class Evidence:
    """The statistics of all events since a change.

    Attributes:
        statistics: What the columns are.
        shift: float64 [statistics], 0 where nothing was observed.
        moved: bool [statistics]: members of the incident, and others that are surely and far enough away.
        tails: Signal to how many times its usual share is beyond the reference's tail quantile.
        events: Events since.
    """

    statistics: Sequence[Statistic]
    shift: np.ndarray
    moved: np.ndarray
    tails: Mapping[str, float]
    events: int

    def of(self, signal: str, *kinds: StatisticKind) -> float:
        """The largest shift of a signal by any of these statistics, without its sign; 0 where it has not moved."""
        return max(
            (
                abs(float(shift))
                for statistic, shift, moved in zip(self.statistics, self.shift, self.moved, strict=True)
                if moved and statistic.signal == signal and statistic.kind in kinds
            ),
            default=0.0,
        )

    @property
    def moved_signals(self) -> list[str]:
        """The signals that moved by any of their statistics, each once."""
        found = (s.signal for s, moved in zip(self.statistics, self.moved, strict=True) if moved)
        return list(dict.fromkeys(found))

    def names(self, prefix: str, *kinds: StatisticKind) -> list[str]:
        """Names behind `prefix:` of the signals that moved by one of these statistics, the furthest first."""
        found = {
            s.signal: self.of(s.signal, *kinds)
            for s, moved in zip(self.statistics, self.moved, strict=True)
            if moved and s.signal.startswith(f"{prefix}:") and s.kind in kinds
        }
        return [signal.partition(":")[2] for signal in sorted(found, key=lambda s: (-found[s], s))]


def gather(
    reference: Reference, manifest: Manifest, total: Sums, members: set[int], others: set[int], effect: float
) -> Evidence:
    """The evidence in the sums since a change.

    Args:
        total: Sums since the change.
        members: Columns of the statistics that the detectors found.
        others: Columns that belong to another incident.
        effect: Smallest shift that matters.
    """
    observation = reference.of(total)
    shift = np.nan_to_num(observation.shift)
    moved = np.abs(shift) >= np.maximum(effect, SURE * observation.noise)
    moved[list(others)] = False
    moved[list(members)] = True
    share = total.tail / np.maximum(total.present, 1)
    tails = {
        signal.name: float(found / max(signal.beyond, 2e-4))
        for signal, found in zip(manifest.signals, share, strict=True)
    }
    return Evidence(reference.statistics, shift, moved, tails, total.scored)


def signal_shifts(
    evidence: Evidence, manifest: Manifest, total: Sums, far: Mapping[str, Distances]
) -> list[SignalShift]:
    """The statistics that moved, as alerts list them, the furthest first; of the relations only the clearest."""
    columns = np.flatnonzero(evidence.moved).tolist()
    columns.sort(key=lambda column: -abs(evidence.shift[column]))
    products = [column for column in columns if evidence.statistics[column].kind is StatisticKind.PRODUCT]
    kept = [column for column in columns if column not in products[1:]][:LISTED]
    return [_shift(evidence, column, manifest, total, far) for column in kept]


def _shift(
    evidence: Evidence, column: int, manifest: Manifest, total: Sums, far: Mapping[str, Distances]
) -> SignalShift:
    statistic, shift = evidence.statistics[column], float(evidence.shift[column])
    names = manifest.signal_names
    if statistic.signal not in names:
        pair = "+".join(broken_pair(manifest, total))
        name = f"{RELATION}:{pair}" if statistic.signal == RELATION else statistic.signal
        return SignalShift(name, statistic.kind, shift, 0.0, shift, 0.0)
    place = names.index(statistic.signal)
    reference = manifest.signals[place]
    is_input = reference.raw_mean is not None and 1 <= place <= len(manifest.inputs)
    present = int(total.present[place])
    return SignalShift(
        signal=statistic.signal,
        detector=statistic.kind,
        shift=shift,
        reference=reference.mean,
        current=float(total.mean[place]),
        psi=far[statistic.signal].psi,
        unit=manifest.inputs[place - 1].unit if is_input else "",
        reference_value=reference.raw_mean if is_input else None,
        current_value=float(total.raw[place - 1] / present) if is_input and present else None,
    )


def broken_pair(manifest: Manifest, total: Sums) -> list[str]:
    """The two inputs whose covariance has changed most: the products of the components, turned back to the inputs."""
    relations = manifest.relations
    if relations is None:
        return []
    back = np.linalg.pinv(np.array(relations.weights))
    size = back.shape[1]
    change = np.zeros((size, size))
    change[np.triu_indices(size)] = total.products / max(total.scored, 1) - np.array(relations.mean)
    change += np.triu(change, 1).T
    covariance = np.abs(np.triu(back @ change @ back.T, 1))
    pair = np.unravel_index(covariance.argmax(), covariance.shape)
    return [manifest.inputs[int(i)].name for i in pair]


def input_correlation(manifest: Manifest) -> np.ndarray:
    """Correlation of the reference's clipped inputs, float64 [inputs, inputs]; 0 if the manifest has no relations."""
    n = len(manifest.inputs)
    if manifest.relations is None:
        return np.zeros((n, n))
    back = np.linalg.pinv(np.array(manifest.relations.weights))
    covariance = back @ back.T
    deviation = np.sqrt(np.maximum(np.diag(covariance), 1e-9))
    correlation: np.ndarray = covariance / np.outer(deviation, deviation)
    return correlation
