"""Maps from one model's latent space to another's, and how much of it they give.

Two trainings have no common axes. Where the spaces say the same, a rotation or a linear map leads from one to the
other, and what was built on the old latents goes on working behind it.
"""

import numpy as np

from models.manifest import Alignment
from schemas.scoring import ModelRef


def rotation(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """The rotation, perhaps with a mirroring, that brings centred x closest to centred y.

    Orthogonal Procrustes (Schönemann 1966). With fewer dimensions on one side, its best partial isometry.

    Args:
        x: float64 [n, a], centred.
        y: float64 [n, b], centred, of the same rows.

    Returns:
        float64 [a, b].
    """
    left, _, right = np.linalg.svd(x.T @ y, full_matrices=False)
    return np.asarray(left @ right)


def rotated(x: np.ndarray, y: np.ndarray, onto: np.ndarray) -> np.ndarray:
    """Rows in y's space by the best rotation with one scale and a shift, fitted to x and y.

    Args:
        x: float64 [n, a].
        y: float64 [n, b], of the same rows.
        onto: float64 [m, a], what is mapped.

    Returns:
        float64 [m, b].
    """
    centred, target = x - x.mean(axis=0), y - y.mean(axis=0)
    turn = rotation(centred, target)
    turned = centred @ turn
    size = float((turned**2).sum())
    scale = float((turned * target).sum()) / size if size else 0.0
    return np.asarray(scale * ((onto - x.mean(axis=0)) @ turn) + y.mean(axis=0))


def least_squares(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The linear map with an offset that predicts y of x best.

    Args:
        x: float64 [n, a].
        y: float64 [n, b], of the same rows.

    Returns:
        Weights float64 [a, b] and offset float64 [b]: y is about `x @ weights + offset`.
    """
    weights = np.linalg.lstsq(x - x.mean(axis=0), y - y.mean(axis=0), rcond=1e-6)[0]
    return weights, y.mean(axis=0) - x.mean(axis=0) @ weights


def explained(y: np.ndarray, predicted: np.ndarray) -> float:
    """Share of the variance of y that the prediction gives, 1 for all of it, negative where the mean would be closer.

    The coefficient of determination over all columns together; NaN where y is constant.

    Args:
        y: float64 [n, b].
        predicted: float64 [n, b].
    """
    spread = float(((y - y.mean(axis=0)) ** 2).sum())
    return 1 - float(((y - predicted) ** 2).sum()) / spread if spread else float("nan")


def align(ours: np.ndarray, theirs: np.ndarray, other: ModelRef) -> Alignment:
    """The least-squares map, fitted to every second row and measured on the others.

    Args:
        ours: float64 [n, a], latents of the new model.
        theirs: float64 [n, b], latents of the model before it, of the same rows.
        other: The model before it.
    """
    weights, offset = least_squares(ours[::2], theirs[::2])
    given = explained(theirs[1::2], ours[1::2] @ weights + offset)
    return Alignment(other.name, other.version, other.sha256, weights.tolist(), offset.tolist(), given)
