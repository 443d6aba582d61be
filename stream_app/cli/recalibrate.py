"""`stream-app recalibrate`: the model that serves, or another, with a threshold from recent events."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from models import signing
from models.replacing import replacing, require_place
from models.words import quantity
from stream_app.cli.configured import settings
from stream_app.cli.detector import Detector, chosen_detector
from stream_app.cli.model_argument import archive_of
from stream_app.cli.options import PLACES, Budget, DataFiles, Destination, FirstDay, Json, LastDay, SignWith, day, named
from stream_app.cli.terminal import out, out_json, waiting

if TYPE_CHECKING:
    from models.archive import Archive
    from models.manifest import Calibration

app = typer.Typer(rich_markup_mode=None)


@app.command(epilog="Example: stream-app recalibrate topic:transactions --out models/7b.pt --from 2026-11-14")
def recalibrate(  # noqa: PLR0913 - one parameter for each option is typer's way
    *,
    data: DataFiles,
    destination: Destination,
    model: Annotated[
        str | None, typer.Option("--model", metavar="MODEL", help=f"Default: what serves. {PLACES.capitalize()}.")
    ] = None,
    budget: Budget = None,
    detector: Detector = None,
    since: FirstDay = None,
    until: LastDay = None,
    version: Annotated[
        str | None, typer.Option(help="Of the new model. Default: the old one's, a plus sign and the time.")
    ] = None,
    sign_with: SignWith = None,
    as_json: Json = False,
) -> None:
    """Give a model p-values and a threshold from recent days of DATA, so that it keeps its budget.

    Nothing else changes. The budget is the model's own unless --budget names another. Days before --from fill the
    windows. The new model is deployed, gated and rolled back as any other: the gates compare its alerts with its
    budget, since its scores are the same, and the guard does not watch it.
    """
    require_place(destination)
    chosen, key = settings(), None if sign_with is None else signing.read_key(sign_with)
    with waiting("looking at the model") as tell:
        old = archive_of(chosen, model)
        definition = chosen_detector(detector, chosen, old.manifest.definition)
        tell(f"reading {named(data)}")
        from models.data.frame import read
        from stream_app.cli.topic_data import of_topics, on_disk

        with on_disk(data, chosen, of_topics(definition, tell)) as files:
            frame = read(files, day(since), day(until), definition=definition, labels_needed=False)
        tell(f"scoring {frame.height:,} events with {old.manifest.name} {old.manifest.version}")
        from models.recalibration import recalibrate as calibrate

        made = calibrate(old, frame, budget, version)
        with replacing(destination) as partial:
            partial.write_bytes(made.content)
    if key is not None:
        signing.sign_artefact(destination, made.sha256, key)
    _tell(old, made, destination, as_json)


def _tell(old: "Archive", made: "Archive", path: Path, as_json: bool) -> None:
    then, now, source = old.manifest.calibration, made.manifest.calibration, made.manifest.recalibrated
    rows = source.rows if source is not None else 0
    if as_json:
        described = {"name": made.ref.name, "version": made.ref.version, "sha256": made.sha256, "path": str(path)}
        figures = {"rows": rows, "threshold": now.threshold, "budget": now.budget}
        out_json({**described, "of": old.sha256, **figures, "alert_rate_before": _share(then, now)})
        return
    promise = f"{now.promise}, " if now.promise else ""
    out(f"{made.ref.name} {made.ref.version} ({made.sha256[:12]}) in {path}, calibrated on {rows:,} events")
    out(
        f"threshold {now.threshold:.4g} for {promise}{quantity(now.budget, 'share')} of events; with the one before, "
        f"{then.threshold:.4g}, {quantity(_share(then, now), 'share')} of them alert"
    )
    out(f'next: stream-app deploy {path} --gate-data DATA --reason "calibrated anew"')


def _share(then: "Calibration", now: "Calibration") -> float:
    """Of the events that the new calibration comes from, how many alert with the threshold before."""
    import numpy as np

    return float(now.p_values(np.array([then.threshold]))[0])
