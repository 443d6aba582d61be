"""How alike two representations of the same rows are."""

import numpy as np


def linear_cka(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Linear centred kernel alignment: 1 for the same up to rotation, mirroring and scale, 0 for unrelated ones.

    Kornblith et al. 2019, Similarity of neural network representations revisited, equation 3, by way of its equation 1.

    Args:
        x: float64 [..., n, a].
        y: float64 [..., n, b], of the same rows.

    Returns:
        float64 [...]; NaN where one of them is constant.
    """
    x, y = x - x.mean(axis=-2, keepdims=True), y - y.mean(axis=-2, keepdims=True)
    cross, own_x, own_y = _norm(x, y), _norm(x, x), _norm(y, y)
    scale = np.sqrt(own_x * own_y)
    return np.where(scale > 0, np.minimum(cross / np.where(scale > 0, scale, 1.0), 1.0), np.nan)


def _norm(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Squared Frobenius norm of x' y, float64 [...]."""
    return np.asarray(np.square(np.matmul(x.swapaxes(-1, -2), y)).sum(axis=(-2, -1)))
