"""What an artefact says of itself: all that serving, calibration and drift need, readable without loading the graph."""

from datetime import datetime
from typing import Annotated, Literal

import msgspec
import numpy as np
from msgspec import Meta, Struct

Missing = Literal["impute", "reject"]


class Input(Struct, frozen=True):
    """One column of the graph's input.

    Attributes:
        name: Short name, used in explanations and signals.
        path: Where the value stands in the event: `amount`, `features.customer_nb_tx_1d`.
        unit: For people: `EUR`, `1/day`, `share`.
        missing: `impute`: a missing value enters the graph as NaN and is imputed there. `reject`: the record is a dead
            letter.
    """

    name: str
    path: Annotated[str, Meta(pattern=r"^[A-Za-z_]\w*(\.[A-Za-z_]\w*)?$")]
    unit: str
    missing: Missing


class Calibration(Struct, frozen=True):
    """Score to p-value, alert budget to threshold.

    Attributes:
        budget: Share of calibration transactions that may alert.
        threshold: The score that this budget buys; at or above it is an anomaly.
        scores: Ascending score quantiles of the calibration rows.
        exceedance: Share of calibration rows that score at least as high, one for each of `scores`, descending.
    """

    budget: float
    threshold: float
    scores: list[float]
    exceedance: list[float]

    def p_values(self, scores: np.ndarray) -> np.ndarray:
        """Share of calibration rows that score at least as high, by linear interpolation.

        Args:
            scores: float array [n].

        Returns:
            float64 array [n], in (0, 1].
        """
        return np.asarray(np.interp(scores, self.scores, self.exceedance))


class SignalReference(Struct, frozen=True):
    """Distribution of one signal over the reference rows (undrifted, as the model sees it).

    Attributes:
        name: `score`, `input:NAME`, `latent:I` or `residual:NAME`.
        mean: Reference mean.
        std: Reference standard deviation, > 0.
        tail: 99.9 % quantile.
        edges: Inner bin edges, ascending; k edges make k + 1 bins, the outer ones open.
        shares: Share of the reference in each bin, k + 1 values.
    """

    name: str
    mean: float
    std: float
    tail: float
    edges: list[float]
    shares: list[float]


class GoldenRow(Struct, frozen=True):
    """Raw inputs and the score they must give on every machine."""

    inputs: list[float | None]
    score: float


class Quality(Struct, frozen=True):
    """Figures on labelled rows (definitions: `models.evaluation`)."""

    auc_roc: float
    average_precision: float
    card_precision_at_100: float


class Manifest(Struct, frozen=True):
    """The manifest of DESIGN §6, stored as `manifest.json` inside the TorchScript archive."""

    name: str
    version: str
    created_at: datetime
    inputs: list[Input]
    latent_size: int
    trained_from: str
    trained_until: str
    rows: int
    data_sha256: str
    seed: int
    code_version: str
    libraries: dict[str, str]
    training: dict[str, float | int | str | list[int]]
    metrics: dict[str, Quality]
    calibration: Calibration
    signals: list[SignalReference]
    latent_mean: list[float]
    latent_covariance: list[list[float]]
    golden: list[GoldenRow]

    @property
    def signal_names(self) -> list[str]:
        """Names of the signals, in the order of the columns of every drift summary."""
        return [signal.name for signal in self.signals]

    def encode(self) -> bytes:
        """As JSON."""
        return msgspec.json.encode(self)

    @classmethod
    def decode(cls, data: bytes) -> "Manifest":
        """From JSON.

        Raises:
            msgspec.ValidationError: a field is missing or of the wrong type.
        """
        return msgspec.json.decode(data, type=cls)


def signal_layout(inputs: list[Input], latent_size: int) -> list[str]:
    """The order of the signals everywhere: score, inputs, latents, residuals."""
    names = [entry.name for entry in inputs]
    return [
        "score",
        *(f"input:{name}" for name in names),
        *(f"latent:{i}" for i in range(latent_size)),
        *(f"residual:{name}" for name in names),
    ]
