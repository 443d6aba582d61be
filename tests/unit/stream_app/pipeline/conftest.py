"""Two tiny models for all tests of the pipeline."""

from pathlib import Path

import pytest

from models.runtime import Runtime
from schemas.scoring import ModelRef
from tests.unit.stream_app.pipeline.rig import Rig, model, served

Model = tuple[Runtime, ModelRef]


@pytest.fixture(scope="package")
def first(tmp_path_factory: pytest.TempPathFactory) -> Model:
    """Finds amounts far from 0 anomalous."""
    return model(Path(tmp_path_factory.mktemp("first")), "1")


@pytest.fixture(scope="package")
def second(tmp_path_factory: pytest.TempPathFactory) -> Model:
    """Finds everything else anomalous: its centre is far away."""
    return model(Path(tmp_path_factory.mktemp("second")), "2", centre=40.0)


@pytest.fixture
def rig(first: Model) -> Rig:
    """A pipeline that serves the first model."""
    return Rig(served(first))
