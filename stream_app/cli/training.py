"""`stream-app train` and `evaluate`: a model from labelled events, and how good it is.

What computes is imported after everything that may be refused: it takes seconds, and a wrong file needs none.
"""

from collections.abc import Mapping, Sequence
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from models import signing
from models.manifest import Manifest, Quality, Segments
from models.registry import registry
from models.registry.address import Registered, RegistryError
from models.replacing import require_place
from stream_app.cli.configured import settings
from stream_app.cli.detector import Detector, chosen_detector
from stream_app.cli.model_argument import existing_model, resolve_model
from stream_app.cli.options import (
    DATA_HELP,
    PLACES,
    Budget,
    DataFiles,
    Destination,
    FirstDay,
    Json,
    LastDay,
    SignWith,
    day,
    named,
)
from stream_app.cli.terminal import console, out, out_json, say, say_unlogged, table, waiting
from stream_app.rollout import artefacts
from stream_app.settings import Settings

if TYPE_CHECKING:
    import polars as pl

    from models.evaluation import Evaluation
    from models.recipe import TrainingConfig
    from schemas.definition import Definition

app = typer.Typer(rich_markup_mode=None)

Data = Annotated[list[Path] | None, typer.Argument(metavar="DATA", help=DATA_HELP)]
Seed = Annotated[int | None, typer.Option(min=0, help="Same seed and data, same model. Default: 0.")]
Config = Annotated[
    Path | None, typer.Option(metavar="TOML", help="A table [training]: epochs, hidden, latent, budget and more.")
]
Name = Annotated[str | None, typer.Option(help="Name of the model. Default: the detector's.")]
Version = Annotated[
    str | None,
    typer.Option(help="Its version. Default: the registry's next, or else the time."),
]
Rerun = Annotated[
    str | None,
    typer.Option(metavar="RUN", help="Repeat a run from its record alone: its id, or models:/NAME/VERSION."),
]
SegmentBy = Annotated[
    str | None,
    typer.Option(metavar="PATH", help="Watch drift by this field of the event too, in place of [segments]: country."),
]
AlignTo = Annotated[
    str | None,
    typer.Option(
        metavar="MODEL",
        help="The model whose latents others read: a linear map to them is put into the manifest.",
        callback=existing_model,
    ),
]


@app.command(epilog="Example: stream-app train history.parquet --out models/1.pt --until 2018-04-21")
def train(  # noqa: PLR0913 - one parameter for each option is typer's way
    *,
    data: Data = None,
    destination: Destination,
    detector: Detector = None,
    since: FirstDay = None,
    until: LastDay = None,
    seed: Seed = None,
    config: Config = None,
    budget: Budget = None,
    name: Name = None,
    version: Version = None,
    sign_with: SignWith = None,
    rerun: Rerun = None,
    segment_by: SegmentBy = None,
    align_to: AlignTo = None,
    as_json: Json = False,
) -> None:
    """Train an autoencoder on DATA without its labels, calibrate it to its alert budget, and write it as one file.

    What is read of DATA, and what the model sees of it, is the detector's definition; it stands in the artefact.

    The training is logged to MLflow (setting tracking_uri), and the model registered there as the candidate. With
    --rerun, a logged training is repeated: exit code 1 if the scores differ from the recorded model's.
    """
    require_place(destination)
    chosen = settings()
    if rerun is not None:
        how = (seed, config, budget, segment_by, align_to)
        own = (data or None, detector, since, until, name, version, sign_with, *how)
        _repeat(chosen, rerun, destination, as_json, own)
        return
    if not data:
        raise typer.BadParameter("name the events to train on", param_hint="DATA")
    before = None if align_to is None else artefacts.read(resolve_model(chosen, align_to))
    key, uri = None if sign_with is None else signing.read_key(sign_with), _answering(chosen.tracking_uri)
    from models.recipe import load_config

    recipe, definition = load_config(config, seed, budget), _definition(detector, chosen, segment_by)
    frame = _read(data, chosen, definition, (day(since), day(until)))
    _say_doubts(frame, recipe)
    from stream_app.cli.tracking import Job, Tracker, fit

    tracker = Tracker(uri, name or definition.name)
    job = Job(tracker.name, version or tracker.next_version, frame, definition, recipe, named(data), before=before)
    manifest, done = fit(job, destination)
    if key is not None:
        signing.sign_artefact(destination, done.sha256, key)
    _print_training(manifest, destination, done.sha256, tracker.record(done), as_json)


def _read(
    data: Sequence[Path], chosen: Settings, definition: "Definition", days: tuple[date | None, date | None]
) -> "pl.DataFrame":
    from models.data.frame import read
    from stream_app.cli.topic_data import of_topics, on_disk

    with waiting(f"reading {named(data)}") as tell, on_disk(data, chosen, of_topics(definition, tell)) as files:
        return read(files, *days, definition=definition, labels_needed=bool(definition.label))


def _answering(uri: str) -> str:
    """The address of the registry; empty where it is away, which is said before anything is read or computed."""
    try:
        registry.look(uri)
    except RegistryError as error:
        say_unlogged(error)
        return ""
    return uri


def _say_doubts(frame: "pl.DataFrame", recipe: "TrainingConfig") -> None:
    from models.training import frauds_above_budget

    if doubt := frauds_above_budget(frame, recipe):
        say(doubt)


def _definition(detector: str | None, chosen: Settings, segment_by: str | None) -> "Definition":
    from models.definition import segmented

    own = chosen_detector(detector, chosen)
    return own if segment_by is None else segmented(own, segment_by)


def _repeat(chosen: Settings, run: str, destination: Path, as_json: bool, given: Sequence[object]) -> None:
    if any(option is not None for option in given):
        raise typer.BadParameter("a rerun takes all from the record: give nothing but --out with --rerun")
    from stream_app.cli.tracking import repeat

    repeat(chosen, run, destination, as_json)


def _print_training(manifest: Manifest, path: Path, sha256: str, registered: Registered | None, as_json: bool) -> None:
    name, version = manifest.name, manifest.version
    address = None if registered is None else f"models:/{registered.name}/{registered.version}"
    if as_json:
        described = {"name": name, "version": version, "sha256": sha256, "path": str(path)}
        where = {"registered": address, "run": None if registered is None else registered.run_id}
        figures = {"rows": manifest.rows, "threshold": manifest.calibration.threshold, "metrics": manifest.metrics}
        out_json({**described, **where, **figures})
        return
    out(f"{name} {version} ({sha256[:12]}) in {path}, trained on {manifest.rows:,} events")
    if registered is not None:
        out(f"registered as {address}, the candidate now; run {registered.run_id}")
    if manifest.segments is not None:
        out(f"drift is watched by {manifest.segments.field} too: {_named(manifest.segments)}")
    if manifest.alignment is not None:
        to = manifest.alignment
        out(f"its manifest leads to the latents of {to.name} {to.version}, {to.explained:.0%} of their variance")
    if manifest.metrics:
        out("on the last part of them, which it was not fitted to:")
        _print_quality(manifest.metrics)


def _named(segments: Segments) -> str:
    """What is watched, and how much of the rows that is."""
    if segments.groups:
        return f"{len(segments.watched)} groups of its values"
    rest = 1 - sum(segment.share for segment in segments.watched)
    return ", ".join(f"{segment.value} {segment.share:.1%}" for segment in segments.watched) + f", others {rest:.1%}"


@app.command(epilog="Example: stream-app evaluate models/1.pt history.parquet --from 2018-04-29")
def evaluate(
    model: Annotated[str, typer.Argument(metavar="MODEL", help=f"A model artefact: {PLACES}.")],
    data: DataFiles,
    detector: Detector = None,
    since: FirstDay = None,
    until: LastDay = None,
    as_json: Json = False,
) -> None:
    """Measure a model on labelled events, beside what trivial rules reach on the same rows.

    Days of DATA before --from are history: they fill the windows and, where [label] has blocks = true, customers known
    as compromised from them are not measured, as in the Fraud Detection Handbook.
    """
    with waiting(f"looking at {model}") as tell:
        chosen = settings()
        archive = artefacts.read(resolve_model(chosen, model))
        definition = chosen_detector(detector, chosen, archive.manifest.definition)
        name = archive.manifest.name
        tell(f"reading {named(data)}")
        from models.data.frame import read
        from stream_app.cli.topic_data import of_topics, on_disk

        with on_disk(data, chosen, of_topics(definition, tell)) as files:
            frame = read(files, until=day(until), definition=definition)
        tell(f"scoring with {name}")
        from models import artefact
        from models.evaluation import evaluate as measure

        found = measure(artefact.run(archive), frame, day(since), day(until))
    if as_json:
        out_json(found)
    else:
        _print_evaluation(found)


def _print_evaluation(found: "Evaluation") -> None:
    out(f"{found.model} {found.version} ({found.sha256[:12]}) on {found.rows:,} events, {found.frauds:,} frauds")
    out(f"{found.since} to {found.until}, {found.left_out:,} events of known compromised customers left out")
    own = Quality(found.auc_roc, found.average_precision, found.card_precision_at_100)
    _print_quality({"model": own, **found.baselines})
    precision = "" if found.alert_precision is None else f", {found.alert_precision:.1%} of the alerts are frauds"
    out(f"alerts on {found.alert_rate:.2%} of them{precision}, {found.alert_recall:.1%} of the frauds alert")
    out(f"{found.us_per_event:.2f} us for each event, on one thread")


def _print_quality(figures: Mapping[str, Quality]) -> None:
    """The three figures of each, as a table."""
    headings = ("AUC ROC", "average precision", "card precision@100")
    shown = table("", *headings, right=headings)
    for name, of in figures.items():
        values = (of.auc_roc, of.average_precision, of.card_precision_at_100)
        shown.add_row(name.replace("_", " "), *(f"{value:.3f}" for value in values))
    console().print(shown)
