"""What the networks see of an event: inputs completed, means shrunk, values beside what is usual, all standardised.

Every input is one feature, and a value of which another input tells what is usual is a second one by itself: 200 is
much for one and little for another, and 2,000 is much for anybody.

A mean over few events says little, so it is shrunk as if one more event had happened that was as usual as the longest
window over the same thing has it, or else the training rows (the mean of a normal with a normal prior; Efron and Morris
1977, Stein's paradox in statistics); a risk always as these have it. An event that its own mean counts is taken out of
it first. A mean of an unknown number of events counts as one of one.
"""

from collections.abc import Iterable
from typing import Final, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from models.features import Feature, Mean, features_of, is_deviation, means_of
from schemas.definition import Definition

LIMIT = 1e4
LARGEST = 1e30
RAREST = 1e-9  # share of a category's value
PRIOR_EVENTS = 1.0  # that a mean is shrunk by
MOST_EVENTS = 1e6  # of a mean; more make no difference
CONSTANT = 1e-5  # spread of a feature, relative to its size: below is the rounding of float32


class Cleaned(NamedTuple):
    """Inputs without gaps.

    Attributes:
        values: float32 [inputs, n], in the inputs' own units, means shrunk.
        present: float32 [inputs, n], 1 where the event has the input, else 0.
        given: float32 [inputs, n], in the inputs' own units, means as they came.
    """

    values: Tensor
    present: Tensor
    given: Tensor


class Beside(NamedTuple):
    """What features stand beside: the feature is (value - offset) / scale.

    Attributes:
        offset: float32 [relative features, n].
        scale: The same; positive.
        freedom: float32 [deviations, n], one less than the number of events of each.
    """

    offset: Tensor
    scale: Tensor
    freedom: Tensor


class Preprocessing(nn.Module):
    """Raw inputs to features, and back.

    Inside, a table has one row for each input or feature: what each needs is then one number beside many values, which
    is some times faster than the other way round.

    A missing input is its median, and contributes nothing to a score. A category is how rare its value is, as the
    logarithm of its share. What is relative to the usual is the ratio to it where neither is ever negative in training,
    else the difference.

    A deviation from the mean of n events, in their standard deviations, says less the fewer they are: of two, one of 20
    is nothing. With d / sqrt(1 + 1 / n) it is a t statistic of n - 1 degrees of freedom, and where the number of events
    is an input too, it is seen as the normal deviate that is about as rare (Wallace 1959, Bounds on normal
    approximations to Student's and the chi-square distributions): sqrt((n - 1) log(1 + t^2 / (n - 1))).

    Args:
        definition: What the columns are.
        raw: float32 [rows, inputs], training rows, NaN where missing; no column is all NaN.
    """

    largest: Final[float] = LARGEST  # TorchScript reads no module constants
    limit: Final[float] = LIMIT
    rarest: Final[float] = RAREST
    prior_events: Final[float] = PRIOR_EVENTS
    most_events: Final[float] = MOST_EVENTS
    fill: Tensor
    mean_columns: Tensor
    mean_counts: Tensor
    mean_owns: Tensor
    counts_own: Tensor
    least_total: Tensor
    mean_usual: Tensor
    has_usual: Tensor
    prior: Tensor
    source: Tensor
    roots: Tensor
    shares: Tensor
    deviations: Tensor
    deviation_counts: Tensor
    relative: Tensor
    beside: Tensor
    takes_off: Tensor
    divides: Tensor
    floor: Tensor
    mean: Tensor
    std: Tensor
    varies: Tensor
    altered: Tensor
    given_mean: Tensor
    given_std: Tensor

    def __init__(self, definition: Definition, raw: np.ndarray) -> None:
        super().__init__()
        self.inputs: Final[int] = len(definition.inputs)
        self._declare_means(means_of(definition), raw)
        self.register_buffer("fill", _each(np.nanmedian(raw, axis=0)))
        cleaned = self.clean(torch.from_numpy(raw))
        self._declare_features(definition, features_of(definition), cleaned.values)
        mean, std, varies = _scale(self.features(cleaned.values)[0])
        self.register_buffer("varies", varies)
        self.register_buffer("mean", mean)
        self.register_buffer("std", std)
        relative = {int(place) for place in self.relative if place < self.inputs}
        self.register_buffer("altered", _columns(sorted(relative | {int(column) for column in self.mean_columns})))
        mean, std, _ = _scale(cleaned.given[self.altered])
        self.register_buffer("given_mean", mean)
        self.register_buffer("given_std", std)

    def forward(self, raw: Tensor) -> tuple[Tensor, Beside, Tensor, Tensor]:
        """Raw inputs as the networks' own.

        Args:
            raw: float32 [n, inputs], NaN where missing.

        Returns:
            Standardised features, float32 [features, n]; what they stand beside; 1 where there is one, else 0, the same
            shape; and each input by itself, standardised, float32 [inputs, n]: what stands beside it does not move it.
        """
        cleaned = self.clean(raw)
        features, beside = self.features(cleaned.values)
        standardised = self.standardise(features)
        given = (cleaned.given.index_select(0, self.altered) - self.given_mean) / self.given_std
        alone = standardised[: self.inputs].index_copy(0, self.altered, given.clamp(-self.limit, self.limit))
        return standardised, beside, cleaned.present.index_select(0, self.source), alone

    def standardise(self, features: Tensor) -> Tensor:
        """Features in standard deviations of the training rows, clipped where their square is far from overflow."""
        return ((features - self.mean) / self.std).clamp(-self.limit, self.limit)

    def clean(self, raw: Tensor) -> Cleaned:
        """Complete what is missing, and shrink the means.

        Args:
            raw: float32 [n, inputs], NaN where missing.
        """
        columns = raw.t().contiguous()
        there = columns == columns  # noqa: PLR0124 - false for NaN
        values = torch.where(there, columns, self.fill).clamp(-self.largest, self.largest)
        present = there.float()
        if self.mean_columns.size(0) > 0:
            known = present.index_select(0, self.mean_columns)
            more = values.index_select(0, self.mean_counts).clamp(1, self.most_events) - 1
            events = (1 + more * present.index_select(0, self.mean_counts)) * known
            total = values.index_select(0, self.mean_columns) * events
            own = values.index_select(0, self.mean_owns) * (self.counts_own * known)
            total = torch.maximum(total - own, torch.minimum(total, self.least_total))
            total = total.clamp(-self.largest, self.largest)
            events = (events - self.counts_own).clamp_min(0)
            alone = (total + self.prior_events * self.prior) / (events + self.prior_events)
            prior = alone.index_select(0, self.mean_usual) * self.has_usual + self.prior * (1 - self.has_usual)
            shrunk = (total + self.prior_events * prior) / (events + self.prior_events)
            return Cleaned(values.index_copy(0, self.mean_columns, shrunk), present, values)
        return Cleaned(values, present, values)

    def features(self, values: Tensor) -> tuple[Tensor, Beside]:
        """Features of cleaned inputs, float32 [features, n], and what they stand beside."""
        features = values.index_select(0, self.source)
        others = values.index_select(0, self.beside)
        offset, scale = others * self.takes_off, torch.maximum(others * self.divides, self.floor)
        relative = (features.index_select(0, self.relative) - offset) / scale
        rooted = features.index_select(0, self.roots)
        rare = -features.index_select(0, self.shares).clamp_min(self.rarest).log10()
        features = features.index_copy(0, self.relative, relative)
        features = features.index_copy(0, self.roots, rooted.sign() * rooted.abs().sqrt())
        features = features.index_copy(0, self.shares, rare)
        freedom = values.index_select(0, self.deviation_counts)
        if self.deviations.size(0) > 0:
            freedom = (freedom - 1).clamp_min(1)
            deviate = self._deviate(features.index_select(0, self.deviations), freedom)
            features = features.index_copy(0, self.deviations, deviate)
        return features, Beside(offset, scale, freedom)

    def invert(self, standardised: Tensor, beside: Beside) -> Tensor:
        """Standardised features in the inputs' own units, finite; both float32 [features, n]."""
        raw = standardised * self.std + self.mean
        relative = raw.index_select(0, self.relative) * beside.scale + beside.offset
        rooted = raw.index_select(0, self.roots)
        share = torch.pow(10.0, -raw.index_select(0, self.shares)).clamp_max(1.0)
        raw = raw.index_copy(0, self.relative, relative).index_copy(0, self.roots, rooted * rooted.abs())
        raw = raw.index_copy(0, self.shares, share)
        if self.deviations.size(0) > 0:
            deviation = self._deviation(raw.index_select(0, self.deviations), beside.freedom)
            raw = raw.index_copy(0, self.deviations, deviation)
        return raw.clamp(-self.largest, self.largest)

    def _deviate(self, deviation: Tensor, freedom: Tensor) -> Tensor:
        """The normal deviate of a deviation from the mean of `freedom` + 1 events."""
        square = deviation.clamp(-self.limit, self.limit).square() * (freedom + 1) / (freedom + 2)
        return deviation.sign() * (freedom * (square / freedom).log1p()).sqrt()

    def _deviation(self, deviate: Tensor, freedom: Tensor) -> Tensor:
        """The deviation of a normal deviate, at most the largest that is told apart."""
        square = freedom * (deviate.square() / freedom).clamp_max(30.0).expm1()
        return deviate.sign() * (square * (freedom + 2) / (freedom + 1)).sqrt().clamp_max(self.limit)

    @torch.jit.unused
    def _declare_means(self, means: list[Mean], raw: np.ndarray) -> None:
        """How each mean is shrunk; its prior without a usual is the mean over all events of the training rows."""
        columns, counts, owns, usual = (np.array([mean[i] for mean in means], dtype=np.int64) for i in range(4))
        weights = np.nan_to_num(raw[:, counts], nan=0.0).clip(0)
        values = raw[:, columns].astype(np.float64)
        known = np.isfinite(values)
        total = np.where(known, values * weights, 0).sum(axis=0)
        prior = total / np.maximum((weights * known).sum(axis=0), 1e-9)
        least = np.nan_to_num(raw[:, owns.clip(0)], nan=0.0).min(axis=0, initial=0)
        self.register_buffer("mean_columns", torch.from_numpy(columns))
        self.register_buffer("mean_counts", torch.from_numpy(counts))
        self.register_buffer("mean_owns", torch.from_numpy(owns.clip(0)))
        self.register_buffer("counts_own", _each(owns >= 0))
        self.register_buffer("least_total", _each(np.where(least < 0, -LARGEST, 0.0)))
        self.register_buffer("mean_usual", torch.from_numpy(usual.clip(0)))
        self.register_buffer("has_usual", _each(usual >= 0))
        self.register_buffer("prior", _each(prior))

    @torch.jit.unused
    def _declare_features(self, definition: Definition, features: list[Feature], values: Tensor) -> None:
        """How each feature is made of the cleaned inputs, float32 [inputs, rows]."""
        inputs = [definition.inputs[feature.column] for feature in features]
        places = range(len(features))
        deviations = [i for i in places if features[i].beside >= 0 and is_deviation(inputs[i])]
        relative = [i for i in places if features[i].beside >= 0 and not is_deviation(inputs[i])]
        roots = [i for i in places if inputs[i].transform == "sqrt" and i not in relative]
        beside = [features[i].beside for i in relative]
        nonnegative = values.amin(dim=1) >= 0
        divides = nonnegative[[features[i].column for i in relative]] & nonnegative[beside]
        usual = (0.01 * values.median(dim=1).values).clamp_min(1e-6)[beside]
        self.register_buffer("source", _columns(feature.column for feature in features))
        self.register_buffer("roots", _columns(roots))
        self.register_buffer("shares", _columns(i for i in places if inputs[i].kind == "category"))
        self.register_buffer("deviations", _columns(deviations))
        self.register_buffer("deviation_counts", _columns(features[i].beside for i in deviations))
        self.register_buffer("relative", _columns(relative))
        self.register_buffer("beside", _columns(beside))
        self.register_buffer("divides", _each(divides.numpy()))
        self.register_buffer("takes_off", _each(~divides.numpy()))
        self.register_buffer("floor", _each(torch.where(divides, usual, 1.0).numpy()))


def _scale(table: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Mean of each row, what it is divided by, and 1 where it varies, else 0; all float32 [rows, 1]."""
    exact = table.double()
    mean, size = exact.mean(dim=1, keepdim=True), exact.abs().amax(dim=1, keepdim=True)
    spread = ((exact - mean).square().sum(dim=1, keepdim=True) / max(table.shape[1] - 1, 1)).sqrt()
    varies = spread > CONSTANT * size
    return mean.float(), torch.where(varies, spread, torch.where(size > 0, size, 1.0)).float(), varies.float()


def _columns(places: Iterable[int]) -> Tensor:
    return torch.tensor(list(places), dtype=torch.int64)


def _each(values: np.ndarray) -> Tensor:
    """One number for each row of a table, float32 [rows, 1]."""
    return torch.from_numpy(values.astype(np.float32)).unsqueeze(1)
