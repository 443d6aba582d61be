"""What moved between two latent spaces, which events moved most, and whether readers of the one can read the other."""

from collections.abc import Sequence
from datetime import datetime
from enum import StrEnum

import numpy as np
from msgspec import Struct

from models.alignment import explained, least_squares, rotated
from models.gates.comparison import GateComparison, Side
from models.gates.limits import Limits
from models.gates.stability import neighbour_overlap
from models.manifest import Alignment
from models.similarity import linear_cka
from schemas.scoring import ModelRef

ENOUGH = 0.9  # share of the variance that must survive
MOVED_ROWS = 10
MOVED_SHARE = 0.01
INPUTS = 5


class Compatibility(StrEnum):
    """Whether a reader of the old latents can read the new ones."""

    AS_THEY_ARE = "compatible as they are"
    ALIGNED = "compatible through a linear map"
    NO = "not compatible"

    @property
    def advice(self) -> str:
        """What readers of the old latents do."""
        match self:
            case Compatibility.AS_THEY_ARE:
                return "what reads latents of the old model can read those of the new one"
            case Compatibility.ALIGNED:
                return (
                    "what reads latents of the old model can read those of the new one through the map: train it with "
                    "--align-to, and the map stands in its manifest"
                )
        return "what reads latents of the old model must be made anew for the new one"


class MeanShift(Struct, frozen=True):
    """How far the mean of a class moved, after the linear map.

    Attributes:
        label: `legitimate` or `fraud`.
        rows: How many.
        distance: Between the two means, in root mean square spreads of the old space.
    """

    label: str
    rows: int
    distance: float


class MovedRow(Struct, frozen=True):
    """An event that lies elsewhere in the new space, after the linear map.

    Attributes:
        distance: In root mean square spreads of the old space.
        old_score: By the old model, in nats.
        new_score: By the new one.
    """

    event_id: str
    entity: str
    event_time: datetime
    distance: float
    old_score: float
    new_score: float


class MovedInput(Struct, frozen=True):
    """An input in which the events that moved most differ from the others.

    Attributes:
        difference: Of their mean from that of all, in the input's standard deviations.
    """

    name: str
    difference: float


class LatentsReport(Struct, frozen=True):
    """Two latent spaces on the same events.

    Shares of variance are of the old latents, on legitimate events that the map was not fitted to.

    Attributes:
        new: The model whose space is read.
        old: The model whose space readers know.
        rows: Events compared.
        legitimate: Of them, those that maps are fitted to and measured on.
        as_it_is: Share of the variance that the new latents give unchanged; None where their number differs.
        rotated: The same, after a rotation with one scale and a shift.
        linear: The same, after a least-squares map.
        stored: The same, by the map in the new model's manifest; None where it has none to the old model.
        cka: Linear CKA of legitimate events.
        neighbours_kept: Mean share of their nearest neighbours that both spaces agree on.
        means: By class.
        moved: The events that moved most.
        inputs: Where these differ from the others.
    """

    new: ModelRef
    old: ModelRef
    rows: int
    legitimate: int
    as_it_is: float | None
    rotated: float
    linear: float
    stored: float | None
    cka: float
    neighbours_kept: float
    means: list[MeanShift]
    moved: list[MovedRow]
    inputs: list[MovedInput]

    @property
    def compatibility(self) -> Compatibility:
        """By the least that helps: nothing, or a linear map."""
        if self.as_it_is is not None and self.as_it_is >= ENOUGH:
            return Compatibility.AS_THEY_ARE
        return Compatibility.ALIGNED if self.linear >= ENOUGH else Compatibility.NO


def latents_report(comparison: GateComparison, limits: Limits) -> LatentsReport:
    """Compare the latents of the candidate, the new model, with the champion's, the old one's.

    Args:
        comparison: Both on the same rows.
        limits: Give the number of neighbours and the size of the sample in which they are sought.
    """
    new, old = comparison.candidate, comparison.champion
    legitimate = comparison.legitimate
    fitted, measured = legitimate[::2], legitimate[1::2]
    mapped = through_the_map(comparison)
    turned = rotated(new.latent[fitted], old.latent[fitted], new.latent[measured])
    same_size = new.latent.shape == old.latent.shape
    sample = np.random.default_rng(limits.sample.seed).choice(
        legitimate, min(limits.sample.latent_rows, len(legitimate)), replace=False
    )
    distance = distances(comparison, mapped)
    target = old.latent[measured]
    return LatentsReport(
        new=_ref(new),
        old=_ref(old),
        rows=comparison.frame.height,
        legitimate=len(legitimate),
        as_it_is=explained(target, new.latent[measured]) if same_size else None,
        rotated=explained(target, turned),
        linear=explained(target, mapped[measured]),
        stored=_stored(new.runtime.manifest.alignment, comparison, measured),
        cka=float(np.nan_to_num(linear_cka(new.latent[legitimate], old.latent[legitimate]))),
        neighbours_kept=neighbour_overlap(new.latent[sample], old.latent[sample], limits.stability.neighbours),
        means=_means(comparison, mapped),
        moved=_moved(comparison, distance),
        inputs=_inputs(comparison, distance),
    )


def through_the_map(comparison: GateComparison) -> np.ndarray:
    """The new latents in the old space, by the linear map of every second legitimate event: float64 [rows, old's]."""
    new, old, fitted = comparison.candidate.latent, comparison.champion.latent, comparison.legitimate[::2]
    weights, offset = least_squares(new[fitted], old[fitted])
    return np.asarray(new @ weights + offset)


def distances(comparison: GateComparison, mapped: np.ndarray) -> np.ndarray:
    """From where each event was in the old space, in root mean square spreads of it: float64 [rows]."""
    old = comparison.champion
    return np.asarray(np.linalg.norm(mapped - old.latent, axis=1) / _spread(old, comparison.legitimate))


def _ref(side: Side) -> ModelRef:
    manifest = side.runtime.manifest
    return ModelRef(manifest.name, manifest.version, side.runtime.sha256)


def _spread(side: Side, rows: np.ndarray) -> float:
    """Root mean square distance of the rows from their mean; 1 where they are all the same."""
    latent = side.latent[rows]
    return float(np.sqrt(((latent - latent.mean(axis=0)) ** 2).sum(axis=1).mean())) or 1.0


def _stored(alignment: Alignment | None, comparison: GateComparison, measured: np.ndarray) -> float | None:
    old = comparison.champion
    if alignment is None or alignment.sha256 != old.runtime.sha256:
        return None
    return explained(old.latent[measured], alignment.aligned(comparison.candidate.latent[measured]))


def _means(comparison: GateComparison, mapped: np.ndarray) -> list[MeanShift]:
    old = comparison.champion
    spread = _spread(old, comparison.legitimate)
    classes = [("legitimate", comparison.legitimate)]
    if comparison.fraud is not None:
        classes.append(("fraud", np.flatnonzero(comparison.fraud)))
    return [
        MeanShift(
            label,
            len(rows),
            float(np.linalg.norm(mapped[rows].mean(axis=0) - old.latent[rows].mean(axis=0))) / spread,
        )
        for label, rows in classes
    ]


def _moved(comparison: GateComparison, distance: np.ndarray) -> list[MovedRow]:
    most = np.argsort(-distance, kind="stable")[:MOVED_ROWS]
    known = comparison.frame[most].select("event_id", "entity", "event_time").rows()
    sides = (comparison.champion.score[most], comparison.candidate.score[most])
    return [
        MovedRow(event_id, entity, event_time, float(distance[row]), float(before), float(after))
        for (event_id, entity, event_time), row, before, after in zip(known, most, *sides, strict=True)
    ]


def _inputs(comparison: GateComparison, distance: np.ndarray) -> list[MovedInput]:
    """Standardised by all rows; missing values count for nothing."""
    raw = comparison.champion.inputs.astype(np.float64)
    spread = np.nanstd(raw, axis=0)
    known = np.where(spread > 0, spread, np.inf)
    most = np.argsort(-distance, kind="stable")[: max(int(len(raw) * MOVED_SHARE), MOVED_ROWS)]
    difference = np.nan_to_num((_mean(raw[most]) - _mean(raw)) / known)
    names = [entry.name for entry in comparison.champion.runtime.manifest.inputs]
    order: Sequence[int] = np.argsort(-np.abs(difference), kind="stable")[:INPUTS].tolist()
    return [MovedInput(names[place], float(difference[place])) for place in order]


def _mean(raw: np.ndarray) -> np.ndarray:
    """Of each column over its known values, 0 where it has none."""
    known = ~np.isnan(raw)
    return np.asarray(np.where(known, raw, 0.0).sum(axis=0) / np.maximum(known.sum(axis=0), 1))
