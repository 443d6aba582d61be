"""A small simulated week and a model trained on it: for what does not depend on how good a model is."""

from pathlib import Path
from types import SimpleNamespace

import polars as pl
import pytest
import torch

from models import artefact
from models.data.simulator import Simulation, simulate
from models.definition import cards
from models.recipe import TrainingConfig
from models.runtime import Runtime
from models.training import train


@pytest.fixture(scope="session", autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def week() -> pl.DataFrame:
    return simulate(Simulation(days=7, customers=700, seed=1))


@pytest.fixture(scope="session")
def trained(week: pl.DataFrame, tmp_path_factory: pytest.TempPathFactory) -> SimpleNamespace:
    """`path`, `sha256`, `manifest`, `runtime`, and the `losses` of its epochs."""
    losses: list[float] = []
    path: Path = tmp_path_factory.mktemp("model") / "small.pt"
    graph, manifest = train(week, cards(), TrainingConfig(epochs=4), "small", "1", lambda _, loss: losses.append(loss))
    sha256 = artefact.save(path, graph, manifest)
    runtime = artefact.load(path, sha256)
    return SimpleNamespace(path=path, sha256=sha256, manifest=manifest, runtime=runtime, losses=losses)


@pytest.fixture(scope="session")
def runtime(trained: SimpleNamespace) -> Runtime:
    model: Runtime = trained.runtime
    return model
