"""A training and its record in the registry, which is logged where the registry answers: nothing fails where not."""

import tempfile
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import polars as pl
import typer

from models import artefact, training
from models.archive import Archive
from models.manifest import Manifest
from models.recipe import TrainingConfig
from models.registry import rerun
from models.registry.address import Registered, RegistryError
from models.registry.record import Training, record
from models.registry.registry import Registry, connect
from schemas.definition import Definition
from stream_app.cli.terminal import out, out_json, progress, say, say_unlogged, waiting
from stream_app.settings import Settings

VERSION_BY_TIME = "%Y%m%d-%H%M%S"


class Tracker:
    """The registry, for one training. Where it cannot be reached, that is said once, and the training goes on.

    Args:
        uri: The tracking URI; empty: nothing is logged.
        name: Of the model.

    Attributes:
        name: Of the model.
        next_version: The number that the registry gives next; without one, the time (UTC), which no other model has.
    """

    def __init__(self, uri: str, name: str) -> None:
        self.name = name
        self.next_version = datetime.now(UTC).strftime(VERSION_BY_TIME)
        self._registry: Registry | None = None
        if not uri:
            return
        try:
            with waiting("asking the registry"):
                registry = connect(uri)
                self.next_version = registry.next_version(name)
        except RegistryError as error:
            say_unlogged(error)
        else:
            self._registry = registry

    def record(self, training: Training) -> Registered | None:
        """Log it and register its model; None where that was not possible."""
        if self._registry is None:
            return None
        try:
            with waiting("logging to the registry"):
                return record(self._registry, training)
        except RegistryError as error:
            say(f"{training.path} is written, but this training is not logged, nor is its model registered: {error}")
            return None


@dataclass(frozen=True)
class Job:
    """What is to be trained.

    Attributes:
        name: Of the model.
        version: Of the model.
        frame: The rows.
        definition: What it reads.
        config: How to train.
        source: Where the rows are from, for people.
        created_at: None: now.
        before: The model whose latents the manifest leads back to; None: it leads nowhere.
    """

    name: str
    version: str
    frame: pl.DataFrame
    definition: Definition
    config: TrainingConfig
    source: str
    created_at: datetime | None = None
    before: Archive | None = None


def fit(job: Job, destination: Path) -> tuple[Manifest, Training]:
    """Train under a progress bar, and write the artefact."""
    losses: list[float] = []
    with progress("training", job.config.epochs) as advance:

        def on_epoch(epoch: int, loss: float) -> None:
            losses.append(loss)
            advance(epoch)

        graph, manifest = training.train(
            job.frame, job.definition, job.config, job.name, job.version, on_epoch, job.created_at
        )
    if job.before is not None:
        manifest = training.aligned_to(artefact.run(job.before), graph, manifest, job.frame)
    sha256 = artefact.save(destination, graph, manifest)
    return manifest, Training(destination, sha256, job.frame, job.definition, job.config, losses, job.source)


def repeat(settings: Settings, run: str, destination: Path, as_json: bool) -> None:
    """Train again what a run has on record, and compare; exit code 1 where the scores are others."""
    with tempfile.TemporaryDirectory() as folder:
        with waiting("fetching the record"):
            known = rerun.recorded(connect(settings.tracking_uri), run, Path(folder))
        how = known.how
        job = Job(how.name, how.version, known.frame, how.definition, how.config, known.run_id, how.created_at)
        manifest, done = fit(job, destination)
        ours = artefact.load(destination, done.sha256)
        apart = rerun.disagreement(ours, known.runtime, known.frame)
    agrees = apart <= rerun.TOLERANCE
    if as_json:
        about = {"run": known.run_id, "sha256": done.sha256, "recorded_sha256": how.sha256, "path": str(destination)}
        out_json({**about, "rows": known.frame.height, "largest_difference": apart, "agrees": agrees})
    else:
        out(f"{how.name} {how.version} ({done.sha256[:12]}) in {destination}, from the record of run {known.run_id}")
        out(f"its scores of {known.frame.height:,} events differ from the recorded ones by at most {apart:.1e}")
    if not agrees:
        theirs = known.runtime.manifest
        say(
            f"that is more than {rerun.TOLERANCE:g}: recorded was code {theirs.code_version} with {theirs.libraries}, "
            f"this is {manifest.code_version} with {manifest.libraries}"
        )
        raise typer.Exit(1)
