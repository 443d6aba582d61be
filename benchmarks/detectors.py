"""Detectors of anomalies beside the model: each is fitted on ordinary rows, and scores others."""

from collections.abc import Callable

import numpy as np
import torch
from sklearn.ensemble import IsolationForest
from sklearn.neighbors import LocalOutlierFactor, NearestNeighbors

from models.fitting import fit
from models.network import Autoencoder
from models.recipe import TrainingConfig
from models.runtime import one_thread, run
from schemas.definition import Definition

NEIGHBOURS = 5
KEPT = 5000  # rows that methods keep which compare with each of them

Scores = Callable[[np.ndarray], np.ndarray]
Contestant = Callable[[np.ndarray, Definition, int], Scores]


def model(rows: np.ndarray, definition: Definition, seed: int) -> Scores:
    """The model of this project, by its default configuration; no row is trimmed, as all are known to be ordinary."""
    with one_thread():
        graph = fit(rows, definition, TrainingConfig(seed=seed, trim=0.0))
    return lambda others: run(graph, others).score


def autoencoder(rows: np.ndarray, definition: Definition, seed: int) -> Scores:
    """Of the same size and steps, without noise: its squared error on standardised inputs."""
    config = TrainingConfig(seed=seed)
    scaled = _scaling(rows)
    known = torch.from_numpy(scaled(rows)).T
    with torch.random.fork_rng(devices=[]), one_thread():
        torch.manual_seed(seed)
        network = Autoencoder(len(known), config.hidden, config.latent)
        optimiser = torch.optim.Adam(network.parameters(), 1e-3)
        for _ in range(config.epochs):
            for chosen in torch.split(torch.randperm(len(rows)), config.batch):
                loss = (network(known[:, chosen])[0] - known[:, chosen]).square().mean()
                optimiser.zero_grad()
                loss.backward()
                optimiser.step()

    def scores(others: np.ndarray) -> np.ndarray:
        with torch.inference_mode():
            seen = torch.from_numpy(scaled(others)).T
            found: np.ndarray = (network(seen)[0] - seen).square().mean(dim=0).numpy()
        return found

    return scores


def nearest_neighbours(rows: np.ndarray, definition: Definition, seed: int) -> Scores:
    """Distance to the fifth nearest of 5,000 rows."""
    scaled = _scaling(rows)
    search = NearestNeighbors(n_neighbors=NEIGHBOURS).fit(_some(scaled(rows), seed))
    return lambda others: search.kneighbors(scaled(others))[0][:, -1]


def isolation_forest(rows: np.ndarray, definition: Definition, seed: int) -> Scores:
    """scikit-learn's, with its defaults."""
    scaled = _scaling(rows)
    forest = IsolationForest(random_state=seed).fit(scaled(rows))
    return lambda others: -forest.score_samples(scaled(others))


def local_outlier_factor(rows: np.ndarray, definition: Definition, seed: int) -> Scores:
    """scikit-learn's, with its defaults, of 5,000 rows."""
    scaled = _scaling(rows)
    factor = LocalOutlierFactor(novelty=True).fit(_some(scaled(rows), seed))
    return lambda others: -factor.score_samples(scaled(others))


def ecod(rows: np.ndarray, definition: Definition, seed: int) -> Scores:
    """Sum of empirical tail probabilities (Li et al. 2022), on the side to which an input leans, or the largest sum."""
    scaled = _scaling(rows)
    known = np.sort(scaled(rows), axis=0)
    lean = ((known - known.mean(axis=0)) ** 3).mean(axis=0) / (known.std(axis=0) ** 3 + 1e-9)

    def scores(others: np.ndarray) -> np.ndarray:
        seen, size = scaled(others), len(known)
        columns = range(seen.shape[1])
        below = np.stack([np.searchsorted(known[:, j], seen[:, j], side="right") for j in columns], axis=1)
        above = size - np.stack([np.searchsorted(known[:, j], seen[:, j], side="left") for j in columns], axis=1)
        left, right = (-np.log((count + 1) / (size + 2)) for count in (below, above))
        leaning = np.where(lean > 0, right, left)
        found: np.ndarray = np.max([part.sum(axis=1) for part in (left, right, leaning)], axis=0)
        return found

    return scores


CONTESTANTS: dict[str, Contestant] = {
    "this model": model,
    "plain autoencoder": autoencoder,
    "kNN": nearest_neighbours,
    "isolation forest": isolation_forest,
    "ECOD": ecod,
    "LOF": local_outlier_factor,
}


def _scaling(rows: np.ndarray) -> Callable[[np.ndarray], np.ndarray]:
    """Imputes and standardises as these rows have it."""
    fill = np.nanmedian(rows, axis=0)
    complete = np.where(np.isnan(rows), fill, rows)
    mean, spread = complete.mean(axis=0), complete.std(axis=0)
    spread[spread < 1e-9] = 1.0

    def scaled(others: np.ndarray) -> np.ndarray:
        found: np.ndarray = ((np.where(np.isnan(others), fill, others) - mean) / spread).astype(np.float32)
        return found

    return scaled


def _some(rows: np.ndarray, seed: int) -> np.ndarray:
    return rows[np.random.default_rng(seed).permutation(len(rows))[:KEPT]]
