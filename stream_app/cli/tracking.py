"""What `train` and the commands tell the registry, and say where they cannot: nothing fails because it is down."""

import tempfile
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from stream_app.cli.terminal import out, out_json, progress, say, waiting

if TYPE_CHECKING:
    import polars as pl

    from models.features import FeatureSpec
    from models.manifest import Manifest
    from models.registry.address import Registered
    from models.registry.record import Training
    from models.registry.registry import Registry
    from models.training import TrainingConfig
    from stream_app.settings import Settings

FIRST_VERSION = "1"


class Tracker:
    """The registry, for one training. Where it cannot be reached, that is said once, and the training goes on.

    Args:
        uri: The tracking URI; empty: nothing is logged.
        name: Of the model.

    Attributes:
        name: Of the model.
        next_version: The number that the registry gives next.
    """

    def __init__(self, uri: str, name: str) -> None:
        from models.registry.address import RegistryError
        from models.registry.registry import connect

        self.name = name
        self.next_version = FIRST_VERSION
        self._registry: Registry | None = None
        if not uri:
            return
        try:
            with waiting("asking the registry"):
                registry = connect(uri)
                self.next_version = registry.next_version(name)
        except RegistryError as error:
            say(f"this training will not be logged, nor its model registered: {error}")
        else:
            self._registry = registry

    def record(self, training: "Training") -> "Registered | None":
        """Log it and register its model; None where that was not possible."""
        from models.registry.address import RegistryError
        from models.registry.record import record

        if self._registry is None:
            return None
        try:
            with waiting("logging to the registry"):
                return record(self._registry, training)
        except RegistryError as error:
            say(f"{training.path} is written, but this training is not logged, nor is its model registered: {error}")
            return None


def fit(
    destination: Path,
    called: tuple[str, str],
    frame: "pl.DataFrame",
    spec: "FeatureSpec",
    how: "TrainingConfig",
    source: str,
    now: datetime | None = None,
) -> "tuple[Manifest, Training]":
    """Train under a progress bar, and write the artefact.

    Args:
        destination: Where it goes.
        called: Name and version.
        frame: The rows.
        spec: The inputs.
        how: How to train.
        source: Where the rows are from, for people.
        now: Moment of creation. None: the clock's.
    """
    from models import artefact, training
    from models.registry.record import Training

    losses: list[float] = []
    with progress("training", how.epochs) as advance:

        def told(epoch: int, loss: float) -> None:
            losses.append(loss)
            advance(epoch)

        graph, manifest = training.train(frame, spec, how, *called, told, now)
    sha256 = artefact.save(destination, graph, manifest)
    return manifest, Training(destination, sha256, frame, spec, how, losses, source)


def repeat(settings: "Settings", run: str, destination: Path, as_json: bool) -> None:
    """Train again what a run has on record, and compare; exit code 1 where the scores are others."""
    from models import artefact
    from models.registry import rerun
    from models.registry.registry import connect

    with tempfile.TemporaryDirectory() as folder:
        with waiting("fetching the record"):
            known = rerun.recorded(connect(settings.tracking_uri), run, Path(folder))
        how = known.how
        called = (how.name, how.version)
        manifest, done = fit(destination, called, known.frame, how.spec, how.config, known.run_id, how.created_at)
        ours = artefact.load(destination, done.sha256)
        apart = rerun.disagreement(ours, known.runtime, known.frame)
    agrees = apart <= rerun.TOLERANCE
    if as_json:
        about = {"run": known.run_id, "sha256": done.sha256, "recorded_sha256": how.sha256, "path": str(destination)}
        out_json({**about, "rows": known.frame.height, "largest_difference": apart, "agrees": agrees})
    else:
        out(f"{how.name} {how.version} ({done.sha256[:12]}) in {destination}, from the record of run {known.run_id}")
        out(f"its scores of {known.frame.height:,} transactions differ from the recorded ones by at most {apart:.1e}")
    if not agrees:
        theirs = known.runtime.manifest
        say(
            f"that is more than {rerun.TOLERANCE:g}: recorded was code {theirs.code_version} with {theirs.libraries}, "
            f"this is {manifest.code_version} with {manifest.libraries}"
        )
        raise typer.Exit(1)


def tell_registry(settings: "Settings") -> None:
    """Let the aliases follow what a command has done; where that is not possible, a worker does it later."""
    from models.registry.address import RegistryError

    try:
        for line in follow_in_registry(settings):
            say(line)
    except RegistryError as error:
        say(f"the registry's aliases are not up to date: {error}; later: stream-app registry sync")


def follow_in_registry(settings: "Settings") -> list[str]:
    """Let the aliases follow the swap log: what has moved. A registry that is down fails before anything is loaded.

    Raises:
        RegistryError: it cannot be told.
    """
    from models.registry.registry import connect, in_use

    if not in_use(settings.tracking_uri):
        return []
    with waiting("telling the registry"):
        registry = connect(settings.tracking_uri)
        from stream_app.rollout import aliases

        return aliases.follow(settings, registry)
