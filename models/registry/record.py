"""Records a finished training in MLflow: parameters, figures, plots, the artefact, and all that repeating it takes.

The rows are in the record too: data that has to be found elsewhere is data that is gone when the question comes.
"""

import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import msgspec
import polars as pl
from msgspec import Struct

from models import artefact
from models.data import frame as frames
from models.manifest import Manifest
from models.recipe import TrainingConfig
from models.registry import facts, flavour
from models.registry.address import Registered
from models.registry.registry import DIGEST, Registry, answered
from schemas.definition import Definition

CANDIDATE = "candidate"
DATA, HOW = "data/transactions.parquet", "rerun.json"


class How(Struct, frozen=True):
    """What, beside the rows, decides what a training makes: `rerun.json` of the record."""

    name: str
    version: str
    created_at: datetime
    config: TrainingConfig
    definition: Definition
    data_sha256: str
    sha256: str


@dataclass(frozen=True, slots=True)
class Training:
    """A training that is done.

    Attributes:
        path: The artefact.
        sha256: Its digest.
        frame: The rows.
        definition: What it reads.
        config: How it was trained.
        losses: Mean loss of each epoch.
        source: Where the rows came from, for people.
    """

    path: Path
    sha256: str
    frame: pl.DataFrame
    definition: Definition
    config: TrainingConfig
    losses: Sequence[float]
    source: str


def record(registry: Registry, training: Training) -> Registered:
    """Log a training as a run, and register its model as the candidate.

    A run that could not be completed stays in MLflow as failed, and nothing is registered.

    Raises:
        RegistryError: the registry did not take it.
    """
    runtime = artefact.load(training.path, training.sha256)
    name = runtime.manifest.name
    rows = facts.held_out(runtime, training.frame, training.config.held_out)
    experiment = registry.experiment(name)
    tags = {
        DIGEST: training.sha256,
        "data_sha256": runtime.manifest.data_sha256,
        "manifest_version": runtime.manifest.version,
    }
    with answered(registry.uri), tempfile.TemporaryDirectory() as temporary:
        of_run, of_model = Path(temporary) / "run", Path(temporary) / "model"
        run = registry.client.create_run(experiment, run_name=f"{name} {runtime.manifest.version}").info
        done = False
        try:
            _write(of_run, training, runtime.manifest, rows)
            (of_run / "latents.json").write_bytes(msgspec.json.encode(facts.latents(runtime, rows)))
            flavour.save(training.path, runtime.manifest, rows.frame, of_model)
            model = registry.log_model(run.run_id, of_model, name, tags)
            _log(registry, run, model.model_id, training, runtime.manifest, facts.metrics(runtime, rows))
            registry.client.log_artifacts(run.run_id, str(of_run))
            done = True
        finally:
            registry.client.set_terminated(run.run_id, "FINISHED" if done else "FAILED")
    registered = registry.register(model)
    registry.point(name, CANDIDATE, registered.version)
    return registered


def _write(folder: Path, training: Training, manifest: Manifest, rows: facts.HeldOut) -> None:
    """Every file of the run, where MLflow takes them from."""
    from models.registry import plots

    (folder / "plots").mkdir(parents=True)
    frames.store(training.frame, folder / DATA)
    plots.draw(rows, manifest.calibration, folder / "plots")
    how = How(
        name=manifest.name,
        version=manifest.version,
        created_at=manifest.created_at,
        config=training.config,
        definition=training.definition,
        data_sha256=manifest.data_sha256,
        sha256=training.sha256,
    )
    (folder / HOW).write_bytes(msgspec.json.format(msgspec.json.encode(how)))
    (folder / "manifest.json").write_bytes(manifest.encode())


def _log(
    registry: Registry, run: Any, model_id: str, training: Training, manifest: Manifest, figures: dict[str, float]
) -> None:
    """Parameters, figures and tags of the run; the figures also stand with the model, and name the rows they are of."""
    from mlflow.entities import Dataset, DatasetInput, InputTag, Metric, Param, RunTag

    now = int(time.time() * 1000)
    rows = Dataset(
        name=training.source[:500],
        digest=manifest.data_sha256[:36],
        source_type="local",
        source=msgspec.json.encode({"uri": f"{run.artifact_uri}/{DATA}"}).decode(),
        profile=msgspec.json.encode({"num_rows": manifest.rows}).decode(),
    )
    registry.client.log_inputs(run.run_id, [DatasetInput(rows, [InputTag("mlflow.data.context", "training")])])
    params = {
        **manifest.training,
        "name": manifest.name,
        "version": manifest.version,
        "source": training.source,
        "rows": manifest.rows,
        "trained_from": manifest.trained_from,
        "trained_until": manifest.trained_until,
        "inputs": ", ".join(entry.name for entry in manifest.inputs),
        **{f"library_{library}": version for library, version in manifest.libraries.items()},
    }
    tags = {DIGEST: training.sha256, "data_sha256": manifest.data_sha256, "code_version": manifest.code_version}
    of = {"model_id": model_id, "dataset_name": rows.name, "dataset_digest": rows.digest, "run_id": run.run_id}
    losses = [Metric("training_loss", loss, now, epoch) for epoch, loss in enumerate(training.losses, start=1)]
    registry.client.log_batch(
        run.run_id,
        metrics=[Metric(name, value, now, 0, **of) for name, value in figures.items()] + losses,
        params=[Param(name, str(value)) for name, value in params.items()],
        tags=[RunTag(name, value) for name, value in tags.items()],
    )
