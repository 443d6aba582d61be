"""The denoising autoencoder with its preprocessing inside: it turns raw inputs into a score and its reasons.

The score is a pure function of the record, finite for every float32 input, and grows with the distance of an input from
what the others let expect. Three bounds hold that: the network sees inputs clipped to `SEEN`, so its reconstruction
cannot follow an outlier; the error is taken from the input itself, clipped only at `LIMIT`, where its square is still
far from overflow; and raw values beyond `LARGEST` count as that.

An input that was constant in training says nothing of how far is far. The network does not see it, and when it moves it
adds to the score what an ordinary deviation of any other input does: drift reports the input, not every event.
"""

from typing import Final

import numpy as np
import torch
from msgspec.structs import replace
from torch import Tensor, nn

from schemas.definition import Definition, Input, Window

SEEN = 2.0
LIMIT = 1e4
LARGEST = 1e30
RAREST = 1e-9  # share of a category's value
FEWEST_KNOWN = 100  # rows, to find how much a mean of few events is to be believed
STRANGEST = 0.02  # of these rows
MOST_CREDIT = 100.0  # events
SMALLEST_SPREAD = 0.05  # of a residual, in standard deviations of its input
CONSTANT = 1e-5  # spread of an input, relative to its size: below is the rounding of float32


class Preprocessing(nn.Module):
    """Impute, transform, standardise; and back.

    A missing input is its median, so a ratio to a missing denominator is one to the median. A category is how rare its
    value is, as the logarithm of its share. The scaling is fixed by the training rows.

    A mean of n events says less the fewer they are, too. Where the number of events is an input, a ratio to the mean of
    the value's own past is one to (n mean + k prior) / (n + k) (Buehlmann 1967, Experience rating and credibility): the
    prior is the mean of all, and k the variance within an entity over that between entities, as training finds them.

    A deviation from the mean of n events, in their standard deviations, says less the fewer they are: of two, one of 20
    is nothing. With d / sqrt(1 + 1 / n) it is a t statistic of n - 1 degrees of freedom, and where the number of events
    is an input too, it is seen as the normal deviate that is about as rare (Wallace 1959, Bounds on normal
    approximations to Student's and the chi-square distributions): sqrt((n - 1) log(1 + t^2 / (n - 1))).

    Args:
        definition: Transform and kind of each input.
        raw: float32 [rows, inputs], training rows, NaN where missing; no column is all NaN.
    """

    largest: Final[float] = LARGEST  # TorchScript reads no module constants
    limit: Final[float] = LIMIT
    rarest: Final[float] = RAREST
    deviates: Final[bool]
    credits: Final[bool]
    is_sqrt: Tensor
    is_ratio: Tensor
    is_share: Tensor
    is_deviation: Tensor
    beside: Tensor
    count: Tensor
    prior: Tensor
    credit: Tensor
    fill: Tensor
    floor: Tensor
    mean: Tensor
    std: Tensor
    varies: Tensor

    def __init__(self, definition: Definition, raw: np.ndarray) -> None:
        super().__init__()
        transforms = [entry.transform for entry in definition.inputs]
        self.register_buffer("is_sqrt", torch.tensor([transform == "sqrt" for transform in transforms]))
        self.register_buffer("is_ratio", torch.tensor([transform == "ratio" for transform in transforms]))
        denominators = [definition.column(entry.relative_to or entry.name) for entry in definition.inputs]
        events = torch.tensor([_events_of(entry, definition) for entry in definition.inputs])
        self.register_buffer("is_deviation", events >= 0)
        self.deviates = bool((events >= 0).any())
        self.register_buffer("beside", torch.where(events >= 0, events, torch.tensor(denominators)))
        self.register_buffer("is_share", torch.tensor([entry.kind == "category" for entry in definition.inputs]))
        median = torch.from_numpy(np.nanmedian(raw, axis=0).astype(np.float32))
        self.register_buffer("fill", median)
        self.register_buffer("floor", (0.01 * median.abs()).clamp_min(1e-6)[self.beside])
        counts = [_count_of(entry, definition) for entry in definition.inputs]
        believed = [
            _credibility(raw, *columns) for columns in zip(range(len(counts)), denominators, counts, strict=True)
        ]
        self.register_buffer("count", torch.tensor(counts).clamp_min(0))
        self.register_buffer("prior", torch.tensor([prior for prior, _ in believed], dtype=torch.float32))
        self.register_buffer("credit", torch.tensor([credit for _, credit in believed], dtype=torch.float32))
        self.credits = any(credit > 0 for _, credit in believed)
        self.register_buffer("mean", torch.zeros(len(transforms)))
        self.register_buffer("std", torch.ones(len(transforms)))
        transformed, _ = self.forward(torch.from_numpy(raw))
        spread, mean = torch.std_mean(transformed.double(), dim=0)
        size = transformed.double().abs().amax(dim=0)
        self.register_buffer("varies", spread > CONSTANT * size)
        self.mean.copy_(mean)
        self.std.copy_(torch.where(self.varies, spread, torch.where(size > 0, size, 1.0)))

    def forward(self, raw: Tensor) -> tuple[Tensor, Tensor]:
        """Raw inputs as the network's own.

        Args:
            raw: float32 [n, inputs], NaN where missing.

        Returns:
            The standardised inputs, and what each is seen beside: the denominator of a ratio, the degrees of freedom of
            a deviation, else 1; both float32 [n, inputs].
        """
        values = torch.where(raw.isnan(), self.fill, raw).clamp(-self.largest, self.largest)
        others = values.index_select(1, self.beside)
        if self.credits:
            others = torch.where(self.credit > 0, self._believed(raw, values, others), others)
        beside = torch.where(self.is_ratio, torch.maximum(others, self.floor), 1.0)
        if self.deviates:
            beside = torch.where(self.is_deviation, (others - 1).clamp_min(1.0), beside)
        transformed = torch.where(self.is_sqrt, values.sign() * values.abs().sqrt(), values / beside)
        transformed = torch.where(self.is_share, -values.clamp_min(self.rarest).log10(), transformed)
        if self.deviates:
            transformed = torch.where(self.is_deviation, self._deviate(values, beside), transformed)
        return ((transformed - self.mean) / self.std).clamp(-self.limit, self.limit), beside

    def invert(self, standardised: Tensor, beside: Tensor) -> Tensor:
        """Standardised values in the inputs' own units, float32 [n, inputs], finite."""
        transformed = standardised * self.std + self.mean
        raw = transformed * torch.where(self.is_sqrt, transformed.abs(), torch.where(self.is_deviation, 1.0, beside))
        raw = torch.where(self.is_share, torch.pow(10.0, -transformed).clamp_max(1.0), raw)
        if self.deviates:
            raw = torch.where(self.is_deviation, self._deviation(transformed, beside), raw)
        return raw.clamp(-self.largest, self.largest)

    def _believed(self, raw: Tensor, values: Tensor, means: Tensor) -> Tensor:
        """Means of the past, drawn to the mean of all the more the fewer events they are of."""
        missing = raw.index_select(1, self.beside).isnan()
        count = torch.where(missing, 0.0, values.index_select(1, self.count).clamp_min(0.0))
        share = count / (count + self.credit)
        return means * share + self.prior * (1 - share)

    def _deviate(self, deviation: Tensor, freedom: Tensor) -> Tensor:
        """The normal deviate of a deviation from the mean of `freedom` + 1 events."""
        square = deviation.clamp(-self.limit, self.limit).square() * (freedom + 1) / (freedom + 2)
        return deviation.sign() * (freedom * (square / freedom).log1p()).sqrt()

    def _deviation(self, deviate: Tensor, freedom: Tensor) -> Tensor:
        """The deviation of a normal deviate, at most the largest that is told apart."""
        square = freedom * (deviate.square() / freedom).clamp_max(30.0).expm1()
        return deviate.sign() * (square * (freedom + 2) / (freedom + 1)).sqrt().clamp_max(self.limit)


def _count_of(entry: Input, definition: Definition) -> int:
    """The column with the number of events of the mean that a ratio is to, if it is one of the same value; else -1."""
    if entry.transform != "ratio":
        return -1
    window = definition.inputs[definition.column(entry.relative_to)].window
    if window is None or window.aggregate != "mean" or window.of != entry.path:
        return -1
    return _counting(window, definition)


def _credibility(raw: np.ndarray, value: int, mean: int, count: int) -> tuple[float, float]:
    """The mean of all, and how many events weigh as much as it; 0, 0: there is no count.

    The strangest rows are left out, as they are when the network is fitted.
    """
    if count < 0:
        return 0.0, 0.0
    x, m, n = (raw[:, column].astype(np.float64) for column in (value, mean, count))
    known = np.isfinite(x) & np.isfinite(m) & (n > 0)
    if known.sum() < FEWEST_KNOWN:
        return 0.0, 0.0
    x, m, n = x[known], m[known], n[known]
    squares = (x - m) ** 2 / (1 + 1 / n)
    within = squares[squares <= np.quantile(squares, 1 - STRANGEST)].mean()
    between = max(m.var() - within * (1 / n).mean(), within / MOST_CREDIT)
    return (float(m.mean()), float(within / between)) if within > 0 else (0.0, 0.0)


def _events_of(entry: Input, definition: Definition) -> int:
    """The column with the number of events of a deviation; -1: there is none, or it is no deviation."""
    window = entry.window
    if window is None or window.aggregate != "deviation":
        return -1
    return _counting(window, definition)


def _counting(window: Window, definition: Definition) -> int:
    """The column that counts the events of a window, or -1."""
    counting = replace(window, aggregate="count", of="")
    return next((column for column, other in enumerate(definition.inputs) if other.window == counting), -1)


class Autoencoder(nn.Module):
    """Encoder and decoder, each with one hidden layer of rectified units.

    Args:
        inputs: Columns.
        hidden: Units of each hidden layer.
        latent: Units of the bottleneck.
    """

    seen: Final[float] = SEEN

    def __init__(self, inputs: int, hidden: int, latent: int) -> None:
        super().__init__()
        self.encoder = nn.Sequential(nn.Linear(inputs, hidden), nn.ReLU(), nn.Linear(hidden, latent))
        self.decoder = nn.Sequential(nn.Linear(latent, hidden), nn.ReLU(), nn.Linear(hidden, inputs))

    def forward(self, standardised: Tensor) -> tuple[Tensor, Tensor]:
        """Reconstruction [n, inputs] and latent [n, latents] of standardised inputs [n, inputs]."""
        latent = self.encoder(standardised.clamp(-self.seen, self.seen))
        return self.decoder(latent), latent

    @torch.jit.unused
    def denoising_error(self, rows: Tensor, mask: float, noise: float) -> Tensor:
        """Mean squared error of reconstructing clipped rows from corrupted ones.

        Corrupted: noise added, then a share of the inputs set to their mean. The random numbers are the global
            generator's.
        """
        clean = rows.clamp(-self.seen, self.seen)
        corrupted = (clean + noise * torch.randn_like(clean)) * (torch.rand_like(clean) >= mask)
        return (self.forward(corrupted)[0] - clean).square().mean()


class ScoringGraph(nn.Module):
    """What an artefact holds: preprocessing, autoencoder, and the weight of each input's error.

    Args:
        preprocessing: Fitted.
        autoencoder: Trained.
        residuals: float32 [rows, inputs], standardised residuals of the training rows: an input whose error spreads
            widely counts for less.
    """

    weight: Tensor
    most: Tensor

    def __init__(self, preprocessing: Preprocessing, autoencoder: Autoencoder, residuals: Tensor) -> None:
        super().__init__()
        self.preprocessing = preprocessing
        self.autoencoder = autoencoder
        inputs = residuals.shape[1]
        spread = residuals.std(dim=0).clamp_min(SMALLEST_SPREAD)
        self.register_buffer("weight", 1 / (inputs * spread.square()))
        self.register_buffer("most", torch.where(preprocessing.varies, torch.inf, 1 / inputs))

    def forward(self, raw: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor]:
        """Score a batch; the outputs are those of `models.runtime.Scored`, in that order.

        The score is the mean over the inputs of the squared residual in units of its spread: about 1 for an ordinary
        row. A missing input has no residual and contributes nothing.

        Args:
            raw: float32 [n, inputs], NaN where missing.
        """
        standardised, beside = self.preprocessing(raw)
        expected, latent = self.autoencoder(standardised * self.preprocessing.varies)
        expected = expected * self.preprocessing.varies
        residual = torch.where(raw.isnan(), 0.0, expected - standardised)
        contributions = torch.minimum(residual.square() * self.weight, self.most)
        reconstruction = self.preprocessing.invert(expected, beside)
        return contributions.sum(dim=1), contributions, reconstruction, latent, standardised, residual
