"""What an artefact remembers of undrifted rows: the distribution of every signal, and scores that must reproduce."""

import numpy as np
from torch.jit import ScriptModule

from models.manifest import GoldenRow, Input, SignalReference, signal_layout
from models.runtime import Scored, run

BINS = 16
TAIL_QUANTILE = 0.999
SMALLEST_STD = 1e-6
GOLDEN_ROWS = 8
FAR_OUT = 1e6  # times the largest value seen


def signals(inputs: list[Input], raw: np.ndarray, scored: Scored) -> list[SignalReference]:
    """The reference distribution of every signal, in the order of `signal_layout`.

    Args:
        inputs: The model's, in order.
        raw: float32 [n, inputs], NaN where missing: an input's signals leave its missing rows out.
        scored: What the model says of the same rows.
    """
    present = ~np.isnan(raw)
    everywhere = np.ones(len(raw), dtype=bool)
    columns = [
        (scored.score, everywhere),
        *zip(scored.standardised.T, present.T, strict=True),
        *((latent, everywhere) for latent in scored.latent.T),
        *zip(scored.residual.T, present.T, strict=True),
    ]
    layout = signal_layout(inputs, scored.latent.shape[1])
    return [_signal(name, values[kept]) for name, (values, kept) in zip(layout, columns, strict=True)]


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


def _signal(name: str, values: np.ndarray) -> SignalReference:
    edges = inner_edges(values)
    counts = np.bincount(np.searchsorted(edges, values), minlength=len(edges) + 1)
    return SignalReference(
        name=name,
        mean=float(values.mean(dtype=np.float64)),
        std=max(float(values.std(dtype=np.float64)), SMALLEST_STD),
        tail=float(np.quantile(values, TAIL_QUANTILE)),
        edges=edges.tolist(),
        shares=(counts / counts.sum()).tolist(),
    )


def inner_edges(values: np.ndarray) -> np.ndarray:
    """Inner edges of at most `BINS` bins of about equal count; a flag has two, a heavy zero its own.

    Edges stand halfway between values that occur, so a discrete value is always clearly inside its bin.
    """
    distinct, counts = np.unique(values, return_counts=True)
    halfway = ((distinct[:-1] + distinct[1:]) / 2).astype(np.float32)
    filled = np.floor(np.cumsum(counts)[:-1] * BINS / len(values))
    return np.unique(halfway[np.diff(filled, prepend=0) > 0])
