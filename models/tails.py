"""How rare a value is in training, as the negative logarithm of the chance of one as far out: a piecewise-linear curve.

A feature that leans to one side is strange on that side alone (its skewness decides, as in Li et al. 2022, ECOD); any
other on both. Beyond the rows that training has, the tail is exponential, so that it goes on growing with the distance.
"""

import numpy as np
import torch
from torch import Tensor, nn

LEANS = 1.0  # skewness from which on only the long side is strange
KNOTS = 8
TAIL_ROWS = 10  # the fewest that a tail is fitted on
BEYOND = 0.999  # share of the rows below the tail, where rows are many
STEEPEST = 0.05  # mean excess of a tail, at least, in standard deviations


class Tails(nn.Module):
    """The curves of some features.

    Args:
        judged: bool [features], of the others only what lies beyond what was ever seen is a surprise.
        standardised: float32 [features, rows], training rows.
    """

    lows: Tensor
    highs: Tensor
    slopes: Tensor
    constant: Tensor

    def __init__(self, judged: np.ndarray, standardised: np.ndarray) -> None:
        super().__init__()
        rows = standardised.astype(np.float64)
        curves = [curve(row) if one else _edges(row) for row, one in zip(rows, judged, strict=True)]
        knots = np.stack([knots for knots, _ in curves])
        heights = np.stack([heights for _, heights in curves])
        slopes = np.diff(heights, axis=1) / np.diff(knots, axis=1)
        lows, highs = knots[:, :-1].copy(), knots[:, 1:].copy()
        constant = heights[:, 0] - (slopes * lows).sum(axis=1)
        lows[:, 0], highs[:, -1] = -np.inf, np.inf
        for name, values in (("lows", lows), ("highs", highs), ("slopes", slopes)):
            self.register_buffer(name, torch.from_numpy(values.T[:, :, None].astype(np.float32)).contiguous())
        self.register_buffer("constant", torch.from_numpy(constant.astype(np.float32)).unsqueeze(1))

    def forward(self, standardised: Tensor) -> Tensor:
        """Surprise of each feature, float32 [features, n], in nats, not negative.

        Args:
            standardised: float32 [features, n].
        """
        surprise = self.constant
        for low, high, slope in zip(self.lows.unbind(0), self.highs.unbind(0), self.slopes.unbind(0)):  # noqa: B905
            surprise = torch.addcmul(surprise, torch.minimum(torch.maximum(standardised, low), high), slope)
        return surprise.clamp_min(0)


def curve(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Knots and heights of the curve of one feature.

    Args:
        values: float64 [rows], standardised.

    Returns:
        Both float64 [KNOTS + 2], the knots increasing; straight lines go on beyond the first and the last.
    """
    spread = max(values.std(), 1e-9)
    skewness = ((values - values.mean()) ** 3).mean() / spread**3
    if skewness > LEANS:
        return _resampled(*_leaning(values))
    if skewness < -LEANS:
        knots, heights = _leaning(-values)
        return _resampled(-knots[::-1], heights[::-1])
    up, down = _side(values), _side(-values)
    middle = float(np.median(values))
    right, left = up[0] > middle, -down[0] < middle
    knots = np.r_[(-down[0][left])[::-1], middle, up[0][right]]
    heights = np.r_[down[1][left][::-1], np.log(2), up[1][right]] - np.log(2)
    return _resampled(knots, heights.clip(0))


def _edges(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The curve of a feature that is not judged: nothing within what was seen, and rising beyond."""
    low, high, rise = values.min(), values.max(), np.log(values.size)
    middle = [low, high] if high > low else [low]
    return _resampled(np.r_[low - 1, middle, high + 1], np.r_[rise, np.zeros(len(middle)), rise])


def _leaning(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Of a feature that leans to high values; low ones are strange only below what was ever seen."""
    knots, heights = _side(values)
    return np.r_[knots[0] - 1, knots], np.r_[heights[0] + np.log(values.size), heights]


def _side(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Surprise of the values on one side: at shares of the rows, and one step into the tail.

    Where many rows share the value at which the tail begins, as of what is nearly always 0, the tail begins at the next
    value that there is: it is the rare ones that say how far is far.
    """
    ordered, rows = np.sort(values), values.size
    beyond = max(min(BEYOND, 1 - TAIL_ROWS / rows), 0.5)
    shares = 1 - np.geomspace(1, 1 - beyond, KNOTS // 2)
    knots = np.unique(ordered[(shares * (rows - 1)).astype(int)])
    heights = -np.log((rows - np.searchsorted(ordered, knots, side="left") + 1) / (rows + 2))
    onset = ordered[int(beyond * (rows - 1))]
    above = ordered[ordered > onset]
    if not above.size:  # nothing was ever beyond: one deviation further is rarer than any row
        return np.r_[knots, onset + 1], np.r_[heights, heights[-1] + np.log(rows)]
    if above.size < (1 - beyond) * rows / 2:
        knots, heights = np.r_[knots, above[0]], np.r_[heights, np.log((rows + 2) / (above.size + 1))]
    step = max(float((ordered[ordered >= knots[-1]] - knots[-1]).mean()), STEEPEST)
    return np.r_[knots, knots[-1] + step], np.r_[heights, heights[-1] + 1]


def _resampled(knots: np.ndarray, heights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The same curve with as many knots as any other: the last one again, further on along the same line."""
    more = KNOTS + 3 - knots.size
    step, rise = knots[-1] - knots[-2], heights[-1] - heights[-2]
    further = np.arange(1, more + 1)
    return np.r_[knots, knots[-1] + step * further], np.r_[heights, heights[-1] + rise * further]
