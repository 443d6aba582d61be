"""The reference in an artefact: the distribution of every signal on undrifted rows, and scores that must reproduce."""

from collections.abc import Sequence

import numpy as np
import polars as pl
from torch.jit import ScriptModule

from models.manifest import CLIP, GoldenRow, Relations, SignalReference, SignalSeason, signal_layout
from models.relations import relations
from models.runtime import Scored, run
from models.season import DIGITS, Hours, bin_shares, hours_of, profile
from schemas.definition import Input

BINS = 16
TAIL_QUANTILE = 0.999
SMALLEST_STD = 1e-5  # as what is constant for a network: below is rounding
# What the clock alone decides has no spread left once the season is out, and an hour that is cut in two must not alarm.
SMALLEST_CLIPPED_STD = 0.2
GOLDEN_ROWS = 8
FAR_OUT = 1e6  # times the largest value seen

Column = tuple[np.ndarray, np.ndarray, np.ndarray | None]
"""Values of a signal [n], in which rows they are there (bool [n]), and of an input the same in its own unit [n]."""


def signals(
    inputs: Sequence[Input], raw: np.ndarray, scored: Scored, event_times: pl.Series | None = None
) -> list[SignalReference]:
    """The reference distribution of every signal, in the order of `signal_layout`.

    Args:
        inputs: The model's, in order.
        raw: float32 [n, inputs], NaN where missing: an input's signals leave its missing rows out.
        scored: The model's outputs on the same rows.
        event_times: Of the rows, in UTC, ascending. None: the season stays unknown.
    """
    hours = _hours(inputs, raw, event_times)
    layout = signal_layout(inputs, scored.latent.shape[1])
    return [
        _signal(name, values[kept], hours and Hours(hours.cells[kept], hours.alike), 1 - float(kept.mean()), own)
        for name, (values, kept, own) in zip(layout, signal_columns(raw, scored), strict=True)
    ]


def signal_columns(raw: np.ndarray, scored: Scored) -> list[Column]:
    """The values of every signal, in the order of `signal_layout`.

    Args:
        raw: float32 [n, inputs], NaN where missing.
        scored: The model's outputs on the same rows.
    """
    present = ~np.isnan(raw)
    everywhere = np.ones(len(raw), dtype=bool)
    return [
        (scored.score, everywhere, None),
        *zip(scored.standardised.T, present.T, raw.T, strict=True),
        *((latent, everywhere, None) for latent in scored.latent.T),
        *((residual, kept, None) for residual, kept in zip(scored.residual.T, present.T, strict=True)),
    ]


def input_relations(
    inputs: Sequence[Input], raw: np.ndarray, scored: Scored, event_times: pl.Series | None = None
) -> Relations | None:
    """How the inputs belong together.

    Args:
        inputs: The model's, in order.
        raw: float32 [n, inputs], NaN where missing.
        scored: The model's outputs on the same rows.
        event_times: As of `signals`.
    """
    seen = np.where(np.isnan(raw), np.nan, scored.standardised)
    mean, std = np.nanmean(seen, axis=0, dtype=np.float64), np.nanstd(seen, axis=0, dtype=np.float64)
    clipped = np.clip((seen - mean) / np.maximum(std, SMALLEST_STD), -CLIP, CLIP)
    return relations(inputs, np.nan_to_num(clipped), _hours(inputs, raw, event_times))


def golden_rows(graph: ScriptModule, raw: np.ndarray) -> list[GoldenRow]:
    """Rows whose scores every machine must reproduce: typical, missing all but the first input, and far out."""
    typical = raw[np.linspace(0, len(raw) - 1, GOLDEN_ROWS).astype(int)]
    missing = raw[0].copy()
    missing[1:] = np.nan
    far = (FAR_OUT * np.maximum(np.nanmax(np.abs(raw), axis=0), 1.0)).astype(np.float32)
    rows = np.vstack([typical, missing, far])
    return [
        GoldenRow([None if np.isnan(value) else float(value) for value in row], float(score))
        for row, score in zip(rows, run(graph, rows).score, strict=True)
    ]


def _hours(inputs: Sequence[Input], raw: np.ndarray, event_times: pl.Series | None) -> Hours | None:
    flags = [column for column, entry in enumerate(inputs) if entry.role == "calendar"]
    return None if event_times is None else hours_of(event_times, raw[:, flags])


def _signal(
    name: str, values: np.ndarray, hours: Hours | None, missing: float, own: np.ndarray | None
) -> SignalReference:
    """Of the values that are there; `own` are all of an input in its own unit, NaN where missing."""
    edges = inner_edges(values)
    bins = np.searchsorted(edges, values)
    shares = np.bincount(bins, minlength=len(edges) + 1) / len(values)
    mean, tail = float(values.mean(dtype=np.float64)), float(np.quantile(values, TAIL_QUANTILE))
    std = max(float(values.std(dtype=np.float64)), SMALLEST_STD)
    clipped = np.clip((values.astype(np.float64) - mean) / std, -CLIP, CLIP)
    square = clipped**2
    season = None
    around, around_square = clipped.mean(), square.mean()
    if hours is not None:
        usual, usual_square = profile(clipped, hours), profile(square, hours)
        around, around_square = usual[hours.cells], usual_square[hours.cells]
        season = SignalSeason(
            clipped=usual.round(DIGITS).tolist(),
            square=usual_square.round(DIGITS).tolist(),
            shares=bin_shares(bins, hours.cells, shares.tolist()).round(DIGITS).tolist(),
        )
    return SignalReference(
        name=name,
        mean=mean,
        std=std,
        tail=tail,
        edges=edges.tolist(),
        shares=shares.tolist(),
        beyond=float((values > tail).mean()),
        missing=missing,
        clipped=float(clipped.mean()),
        clipped_std=max(float((clipped - around).std()), SMALLEST_CLIPPED_STD),
        square=float(square.mean()),
        square_std=max(float((square - around_square).std()), SMALLEST_CLIPPED_STD),
        raw_mean=None if own is None else float(np.nanmean(own, dtype=np.float64)),
        season=season,
    )


def inner_edges(values: np.ndarray) -> np.ndarray:
    """Inner edges of at most `BINS` bins of about equal count; a flag has two, a heavy zero its own.

    Edges stand halfway between values that occur, so a discrete value is always clearly inside its bin.
    """
    distinct, counts = np.unique(values, return_counts=True)
    halfway = ((distinct[:-1] + distinct[1:]) / 2).astype(np.float32)
    filled = np.floor(np.cumsum(counts)[:-1] * BINS / len(values))
    return np.unique(halfway[np.diff(filled, prepend=0) > 0])
