"""Fits preprocessing, networks and tails to rows that stand for what is usual."""

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from models.features import features_of
from models.network import FAR, Networks, ScoringGraph
from models.preprocessing import Preprocessing
from models.pseudo import pseudo_anomalies
from models.recipe import TrainingConfig
from models.runtime import torchscript
from models.tails import Tails
from schemas.definition import Definition

MADE_ROWS = 200_000  # rows that never happened, from which each step draws

Progress = Callable[[int, float], None]


def fit(
    raw: np.ndarray, definition: Definition, config: TrainingConfig, progress: Progress | None = None
) -> torch.jit.ScriptModule:
    """Fit the graph.

    Args:
        raw: float32 [n, inputs], NaN where missing.
        definition: What the columns are.
        config: How to fit.
        progress: Called after each epoch with its number, from 1, and its mean loss.
    """
    preprocessing = Preprocessing(definition, raw)
    rows = torch.from_numpy(raw)
    features = preprocessing(rows)[0]
    standardised = _seen(preprocessing, features)
    rng = np.random.default_rng(config.seed)
    cleaned = preprocessing.clean(rows).values
    made = torch.from_numpy(pseudo_anomalies(cleaned.T.numpy(), definition, MADE_ROWS, rng))
    made = _seen(preprocessing, preprocessing.standardise(preprocessing.features(made.T.contiguous())[0]))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)
        networks = Networks(len(standardised), config.hidden, config.latent)
        _descend(networks, standardised, made, config, progress)
    networks.requires_grad_(requires_grad=False)
    residuals = networks.autoencoder(standardised)[0] - standardised
    judged = np.array([feature.judged for feature in features_of(definition)])
    tails = Tails(judged, features.numpy())
    graph = ScoringGraph(preprocessing, networks, tails, int(judged.sum()), residuals)
    with torchscript():
        return torch.jit.script(graph.eval())


def _seen(preprocessing: Preprocessing, standardised: Tensor) -> Tensor:
    """Features as the networks see them, float32 [features, rows]."""
    return (standardised * preprocessing.varies).clamp(-FAR, FAR)


def _descend(networks: Networks, seen: Tensor, made: Tensor, config: TrainingConfig, progress: Progress | None) -> None:
    """Minimise the loss over all rows but the strangest, which change from epoch to epoch; float32 [features, rows]."""
    rows, made = seen.T.contiguous(), made.T.contiguous()
    kept_count = max(1, int(len(rows) * (1 - config.trim)))
    steps = -(-kept_count // config.batch)
    optimiser = torch.optim.Adam(networks.parameters())
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, config.learning_rate, total_steps=config.epochs * steps)
    strangeness = seen.abs().amax(dim=0)  # until there is an error to go by
    for epoch in range(1, config.epochs + 1):
        kept = rows[strangeness.argsort()[:kept_count]]
        total = 0.0
        for batch in torch.split(kept[torch.randperm(kept_count)], config.batch):
            loss = networks.loss(batch.T, made[torch.randint(len(made), (len(batch),))].T, config.noise)
            optimiser.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimiser.step()
            schedule.step()
            total += loss.item() / steps
        with torch.no_grad():
            strangeness = (networks.autoencoder(seen)[0] - seen).square().sum(dim=0)
        if progress is not None:
            progress(epoch, total)
