"""Reads the record of a run: its rows and configuration, enough to train the model again and to compare."""

from dataclasses import dataclass
from pathlib import Path

import msgspec
import numpy as np
import polars as pl

from models import archive, artefact
from models.data import frame as frames
from models.data.files import DataError
from models.inputs import matrix
from models.registry.address import SCHEME, RegistryError
from models.registry.record import DATA, HOW, How
from models.registry.registry import Registry, answered
from models.runtime import Runtime, one_thread

TOLERANCE = 1e-5


@dataclass(frozen=True, slots=True)
class Recorded:
    """A training on record.

    Attributes:
        run_id: Its run.
        how: All that decides it, but for the rows.
        frame: The rows, checked against the digest of the rows that it was trained on.
        runtime: The model that it made.
    """

    run_id: str
    how: How
    frame: pl.DataFrame
    runtime: Runtime


def recorded(registry: Registry, run: str, folder: Path) -> Recorded:
    """Fetch the record of a run.

    Args:
        registry: Where it is.
        run: The run's id, or a `models:/` address of what came of it.
        folder: Where files are put meanwhile.

    Raises:
        RegistryError: no such run, or its record is not complete or not what it was.
    """
    run_id = registry.find(run).run_id if run.startswith(SCHEME) else run
    with answered(registry.uri):
        files = {name: Path(registry.client.download_artifacts(run_id, name, str(folder))) for name in (HOW, DATA)}
    model = registry.artefact(run_id, folder)
    try:
        how = msgspec.json.decode(files[HOW].read_bytes(), type=How)
        frame = frames.restore(files[DATA])
        runtime = artefact.load(model, how.sha256)
    except (msgspec.DecodeError, DataError, archive.ArtefactError) as error:
        raise RegistryError(f"the record of run {run_id} is damaged: {error}") from error
    if frames.digest(frame) != how.data_sha256:
        raise RegistryError(f"the record of run {run_id} is damaged: its rows are not those that it was trained on")
    return Recorded(run_id, how, frame, runtime)


def disagreement(model: Runtime, other: Runtime, frame: pl.DataFrame) -> float:
    """The largest difference of two models' scores of the same rows, relative where scores are above 1."""
    with one_thread():
        manifests = ((each, each.manifest) for each in (model, other))
        ours, theirs = (each.score(matrix(frame, of.inputs, of.categories)).score for each, of in manifests)
    difference = np.abs(ours.astype(np.float64) - theirs) / np.maximum(np.abs(theirs), 1.0)
    return float(difference.max())
