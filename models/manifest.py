"""The manifest of an artefact: all that serving, calibration and drift need, readable without loading the graph."""

from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING

import msgspec
from msgspec import Struct

from schemas.definition import Definition, Input, Path

if TYPE_CHECKING:
    import numpy as np

CLIP = 4.0  # standard deviations; the attack of a few is then seen in the second moment, and does not drown the first
# Of the reference beyond its tail quantile: with fewer, as where a share reaches 1, there is no tail to be heavier.
LEAST_BEYOND = 5e-4
CLIP_COMPONENT = 6.0  # of `Relations`
HOURS = 48  # of the day, on weekdays and on weekends


class Category(Struct, frozen=True):
    """How rare the values of a category were in training; the model sees a value as that share.

    Attributes:
        shares: Value to its share of the rows that have one, the most frequent values.
        other: Share that every other value counts as.
    """

    shares: dict[str, float]
    other: float


class Calibration(Struct, frozen=True):
    """Score to p-value, alert budget to threshold.

    Attributes:
        budget: Share of calibration events that may alert.
        threshold: The score that this budget buys; at or above it is an anomaly.
        scores: Ascending score quantiles of the calibration rows.
        exceedance: Share of calibration rows that score at least as high, one for each of `scores`, descending.
        promise: The words in which the budget was asked for, as `200 a day`; empty where it was this share.
    """

    budget: float
    threshold: float
    scores: list[float]
    exceedance: list[float]
    promise: str = ""

    def p_values(self, scores: "np.ndarray") -> "np.ndarray":
        """Share of calibration rows that score at least as high, by linear interpolation.

        Args:
            scores: float array [n].

        Returns:
            float64 array [n], in (0, 1].
        """
        import numpy as np  # takes a tenth of a second, and most who read a manifest ask for no such value

        return np.asarray(np.interp(scores, self.scores, self.exceedance))


class Recalibration(Struct, frozen=True):
    """Where the calibration of a model comes from that was calibrated anew.

    Attributes:
        sha256: Of the model that it was made of: inputs, networks and references are that one's, to the last byte.
        since: First event.
        until: Last event.
        rows: How many.
    """

    sha256: str
    since: str
    until: str
    rows: int


class SignalSeason(Struct, frozen=True):
    """How one signal follows the clock: a value for each hour of the day (UTC), weekdays first, then the weekend.

    Attributes:
        clipped: 48 means of the clipped signal.
        square: 48 means of its square.
        shares: 48 times the share of each bin.
    """

    clipped: list[float]
    square: list[float]
    shares: list[list[float]]


class SignalReference(Struct, frozen=True):
    """Distribution of one signal over the reference rows (undrifted, as the model sees it).

    "Clipped" is the signal in reference standard deviations, limited to +-`CLIP`: heavy tails do not drown its mean.

    Attributes:
        name: `score`, `input:NAME`, `latent:I` or `residual:NAME`.
        mean: Reference mean.
        std: Reference standard deviation, > 0.
        tail: 99.9 % quantile.
        edges: Inner bin edges, ascending; k edges make k + 1 bins, the outer ones open.
        shares: Share of the reference in each bin, k + 1 values.
        beyond: Share of the values above `tail`.
        missing: Share of the rows in which it was missing.
        clipped: Mean of the clipped signal.
        clipped_std: Its standard deviation, season taken out.
        square: Mean of its square.
        square_std: Standard deviation of that, season taken out.
        raw_mean: Of an input, the mean in its own unit; None for other signals.
        season: None where the reference is too short to know it.
    """

    name: str
    mean: float
    std: float
    tail: float
    edges: list[float]
    shares: list[float]
    beyond: float = 0.001
    missing: float = 0.0
    clipped: float = 0.0
    clipped_std: float = 1.0
    square: float = 1.0
    square_std: float = 1.4142
    raw_mean: float | None = None
    season: SignalSeason | None = None


class Relations(Struct, frozen=True):
    """How the inputs belong together: directions in which they are uncorrelated, and what their products look like.

    Component i of a row is `weights[i]` times its clipped inputs, about standard normal; under the reference a product
    of two is 0 on average, of one with itself 1. A product that moves is a relation that broke, however still every
    input is by itself.

    Attributes:
        weights: One row for each component, one value for each of the model's inputs.
        centre: Mean of each component before it is centred.
        mean: Of each product, pairs in the order of `numpy.triu_indices`.
        std: Standard deviation of each product, season taken out.
        season: 48 means of each product, hours as in `SignalSeason`; None where the reference is too short.
    """

    weights: list[list[float]]
    centre: list[float]
    mean: list[float]
    std: list[float]
    season: list[list[float]] | None = None


class Segment(Struct, frozen=True):
    """What is usual in one part of the stream; lists are by signal. Bins, clipping and tails are the whole model's.

    Attributes:
        value: Of the field; where values are in groups, the number of the group.
        rows: How many reference rows are in it.
        share: Which part of the reference that is.
        mean: As the model sees the signal.
        shares: Share of each bin.
        beyond: Share above the tail quantile.
        missing: Share of the rows in which it was missing.
        clipped: How far the mean of the clipped signal stands from what is usual in the whole at the same hours.
        clipped_std: Standard deviation of the clipped signal, season taken out.
        square: As `clipped`, of the square.
        square_std: Of that.
        raw_mean: Of each input, in its own unit.
        products: As `clipped`, of each product of the relations.
        products_std: Of those.
    """

    value: str
    rows: int
    share: float
    mean: list[float]
    shares: list[list[float]]
    beyond: list[float]
    missing: list[float]
    clipped: list[float]
    clipped_std: list[float]
    square: list[float]
    square_std: list[float]
    raw_mean: list[float]
    products: list[float]
    products_std: list[float]


class Segments(Struct, frozen=True):
    """Parts of the stream that are watched each by itself, by a text field of the event.

    Attributes:
        field: Its path.
        groups: 0: a segment is a value. Otherwise values are dealt to so many groups (`models.segments`).
        watched: What is watched; everything else is in none of them.
    """

    field: Path
    groups: int
    watched: list[Segment]

    def label(self, segment: Segment) -> str:
        """As people read it: `currency=USD`, `terminal_id=group 3 of 16`."""
        value = f"group {segment.value} of {self.groups}" if self.groups else segment.value
        return f"{self.field}={value}"


class GoldenRow(Struct, frozen=True):
    """Raw inputs and the score they must give on every machine."""

    inputs: list[float | None]
    score: float


class Quality(Struct, frozen=True):
    """Figures on labelled rows (definitions: `models.evaluation`)."""

    auc_roc: float
    average_precision: float
    card_precision_at_100: float


class Alignment(Struct, frozen=True):
    """A map from this model's latents to those of the model before it, so that what reads latents survives a swap.

    Attributes:
        name: Of the other model.
        version: Of the other model.
        sha256: Of the other model.
        weights: One row for each latent of this model, one value for each of the other's.
        offset: One value for each latent of the other.
        explained: Share of the variance of the other's latents that the map gives, on rows it was not fitted to.
    """

    name: str
    version: str
    sha256: str
    weights: list[list[float]]
    offset: list[float]
    explained: float

    def aligned(self, latent: "np.ndarray") -> "np.ndarray":
        """Latents of this model in the other's space.

        Args:
            latent: float array [n, latents of this model].

        Returns:
            float64 array [n, latents of the other].
        """
        import numpy as np  # as above

        return np.asarray(latent @ np.array(self.weights) + np.array(self.offset))


class Manifest(Struct, frozen=True):
    """The manifest of DESIGN §6, stored as `manifest.json` inside the TorchScript archive.

    Attributes:
        definition: What the detector is, whole: what it reads, and what the model sees of it.
        constant: Inputs that had one value in training: they hardly enter the score (`models.network`).
        categories: Of each input that is one, what its values were in training.
        recalibrated: None where the calibration is that of the training.
        alignment: Leads to the latents of the model that it was aligned to (`train --align-to`).
    """

    name: str
    version: str
    created_at: datetime
    definition: Definition
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
    relations: Relations | None = None
    segments: Segments | None = None
    constant: list[str] = []
    categories: dict[str, Category] = {}
    recalibrated: Recalibration | None = None
    alignment: Alignment | None = None

    @property
    def inputs(self) -> tuple[Input, ...]:
        """The columns of the model, in order."""
        return self.definition.inputs

    @property
    def has_season(self) -> bool:
        """Whether the reference knows how its signals follow the clock."""
        return all(signal.season is not None for signal in self.signals)

    @property
    def signal_names(self) -> list[str]:
        """Names of the signals, in the order of the columns of every drift summary."""
        return [signal.name for signal in self.signals]

    def reads_as(self, other: "Manifest") -> bool:
        """Whether the other model sees the same numbers of every record."""
        mine, theirs = self.definition, other.definition
        same = mine.event == theirs.event and mine.inputs == theirs.inputs
        return same and self.categories == other.categories

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


def signal_layout(inputs: Sequence[Input], latent_size: int) -> list[str]:
    """The order of the signals everywhere: score, inputs, latents, residuals."""
    names = [entry.name for entry in inputs]
    return [
        "score",
        *(f"input:{name}" for name in names),
        *(f"latent:{i}" for i in range(latent_size)),
        *(f"residual:{name}" for name in names),
    ]
