"""Directions in which a broken relation between inputs shows: uncorrelated components and their products.

Principal components of the clipped inputs, each scaled to unit variance. Those of small variance are the relations that
hold between inputs, and watching them reveals a change that no input shows by itself (Kuncheva and Faithfull 2014, PCA
feature extraction for change detection in multidimensional unlabelled data).
"""

from collections.abc import Sequence

import numpy as np

from models.manifest import CLIP_COMPONENT, Relations
from models.season import DIGITS, Hours, profile
from schemas.definition import Input

SMALLEST_VARIANCE = 1e-3  # of a component, in units of an input's: below is rounding


def relations(inputs: Sequence[Input], clipped: np.ndarray, hours: Hours | None = None) -> Relations | None:
    """The relations of the reference.

    Args:
        inputs: The model's; calendar inputs are left out.
        clipped: float [n, inputs], clipped inputs, 0 where missing.
        hours: Of each row. None: the season stays unknown.

    Returns:
        None where there are fewer than two inputs that vary.
    """
    varying = clipped.std(axis=0) > 0
    columns = [i for i, entry in enumerate(inputs) if entry.role != "calendar" and varying[i]]
    if len(columns) < 2:
        return None
    chosen = clipped[:, columns].astype(np.float64)
    variances, directions = np.linalg.eigh(np.corrcoef(chosen, rowvar=False))
    kept = variances > SMALLEST_VARIANCE
    weights = np.zeros((np.count_nonzero(kept), len(inputs)))
    weights[:, columns] = (directions[:, kept] / np.sqrt(variances[kept]) / chosen.std(axis=0)[:, None]).T
    centre = weights @ clipped.mean(axis=0, dtype=np.float64)
    products = products_of(clipped, weights, centre)
    season = None if hours is None else np.array([profile(product, hours) for product in products.T])
    around = products.mean(axis=0) if season is None or hours is None else season.T[hours.cells]
    return Relations(
        weights=weights.tolist(),
        centre=centre.tolist(),
        mean=products.mean(axis=0).tolist(),
        std=(products - around).std(axis=0).tolist(),
        season=None if season is None else season.round(DIGITS).tolist(),
    )


def products_of(clipped: np.ndarray, weights: np.ndarray, centre: np.ndarray) -> np.ndarray:
    """The products of every pair of components, float64 [n, pairs].

    Args:
        clipped: float [n, inputs], clipped inputs, 0 where missing.
        weights: float64 [components, inputs].
        centre: float64 [components].
    """
    components = np.clip(clipped @ weights.T - centre, -CLIP_COMPONENT, CLIP_COMPONENT)
    first, second = np.triu_indices(len(weights))
    products: np.ndarray = components[:, first] * components[:, second]
    return products
