"""`stream-app replay`: the receipt of one anomaly, or what another model or threshold would have decided of a range."""

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from schemas.errors import UserError
from schemas.topics import TRANSACTIONS
from stream_app.cli import readable
from stream_app.cli.configured import connected_settings
from stream_app.cli.model_argument import resolve_model
from stream_app.cli.readable import clean
from stream_app.cli.terminal import console, out, out_json, progress, table, waiting
from stream_app.kafka.offsets import Bounds, Point
from stream_app.kafka.ranges import committed_range
from stream_app.rollout import artefacts
from stream_app.rollout.artefacts import ModelCache
from stream_app.rollout.commands import models
from stream_app.rollout.trust import trust
from stream_app.settings import Settings

if TYPE_CHECKING:
    from models.runtime import Runtime
    from stream_app.replay.receipt import Receipt
    from stream_app.replay.what_if import Alert, WhatIf

app = typer.Typer(rich_markup_mode=None)

SHOWN = 10
PICTURES = (".png", ".svg", ".pdf")


@app.command(
    epilog="Example: stream-app replay --anomaly transactions:3:118204; "
    "stream-app replay --from 2026-07-01 --model models/8.pt --plot build/what-if.png"
)
def replay(  # noqa: PLR0913 - one parameter for each option is typer's way
    *,
    anomaly: Annotated[
        str | None, typer.Option(metavar="ID", help="The receipt of this one: its id, or its event's.")
    ] = None,
    since: Annotated[
        str | None, typer.Option("--from", metavar="TIME|OFFSET", help="UTC, 2026-07-01T09:00. Default: the oldest.")
    ] = None,
    until: Annotated[
        str | None, typer.Option(metavar="TIME|OFFSET", help="Excluded. Default: what the workers have committed.")
    ] = None,
    partition: Annotated[int | None, typer.Option(min=0, help="Only this partition of the input.")] = None,
    model: Annotated[
        str | None,
        typer.Option(metavar="MODEL", help="Default: what serves; for a receipt, what decided."),
    ] = None,
    threshold: Annotated[float | None, typer.Option(help="Another one than the model was calibrated to.")] = None,
    budget: Annotated[
        float | None, typer.Option(min=1e-6, max=1, help="The same as a share of events that may alert.")
    ] = None,
    plot: Annotated[Path | None, typer.Option(metavar="OUT", help="Draw it too: .png, .svg or .pdf.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="As JSON.")] = False,
) -> None:
    """Score what was scored again, through the pipeline's own stages.

    With --anomaly: the same score, threshold and reasons; exit code 1 and what differs where it does. Without: alerts
    gained and lost in a range with this model and threshold, and frauds caught, by the labels there are.
    """
    _refuse_contradictions(anomaly, [since, until, partition, threshold, budget, plot], threshold, budget)
    if plot is not None and plot.suffix not in PICTURES:
        raise typer.BadParameter(f"--plot writes {', '.join(PICTURES)}")
    first, last = _point(since, "--from"), _point(until, "--until")
    settings = connected_settings()
    if anomaly is not None:
        _receipt(settings, anomaly, model, as_json)
        return

    spans = committed_range(settings, TRANSACTIONS, first, last, partition)
    if not spans:
        raise UserError("nothing in this range was scored and is still there: look at `stream-app status`")
    runtime = model_of(settings, model, None)
    if budget is not None:
        from stream_app.replay import rescore

        threshold = rescore.threshold_of(runtime.manifest.calibration, budget)
    _what_if(settings, spans, runtime, threshold, plot, as_json)


def _refuse_contradictions(
    anomaly: str | None, ranged: list[object], threshold: float | None, budget: float | None
) -> None:
    if anomaly is not None and any(option is not None for option in ranged):
        raise typer.BadParameter("--anomaly is about one record: give no range, threshold or plot with it")
    if threshold is not None and budget is not None:
        raise typer.BadParameter("--threshold and --budget say the same in two ways: give one")


def _point(text: str | None, option: str) -> Point | None:
    if text is None or text.isdecimal():
        return None if text is None else int(text)
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        raise typer.BadParameter(f"{option} is an offset, or a time as 2026-07-01T09:00 (UTC)") from None
    return at if at.tzinfo else at.replace(tzinfo=UTC)


def model_of(settings: Settings, given: str | None, sha256: str | None) -> "Runtime":
    """The one given; else the model with this digest, from the cache or where it was staged from; else what serves."""
    from models import artefact

    if given is not None:
        return artefact.run(artefacts.read(resolve_model(settings, given)))
    known = models(settings)
    if sha256 is None:
        if known.rollout.serving is None:
            raise UserError("no model serves: give one with --model MODEL")
        sha256 = known.rollout.serving.model.sha256
    uris = [r.uri for entry in known.entries for r in entry.after.kept if r.model.sha256 == sha256]
    if not uris:
        raise UserError(f"the swap log knows no model {sha256[:12]}: give it with --model MODEL")
    return artefact.load(ModelCache(settings.model_cache, trust(settings)).fetch(uris[-1], sha256), sha256)


def _receipt(settings: Settings, anomaly_id: str, given: str | None, as_json: bool) -> None:
    from stream_app.replay import receipt

    with waiting("looking for the anomaly") as tell:
        anomaly = receipt.published(settings, anomaly_id)
        tell("loading its model")
        runtime = model_of(settings, given, anomaly.model.sha256)
        tell("scoring its record")
        found = receipt.receipt(settings, anomaly, runtime, tell)
    if as_json:
        out_json(found)
    else:
        _tell_receipt(found)
    if found.differences:
        raise typer.Exit(1)


def _tell_receipt(found: "Receipt") -> None:
    from models.passing import sentence

    out(readable.clean(readable.anomaly(found.anomaly)))
    if found.score is not None:
        why = "; ".join(map(readable.reason, found.reasons))
        out(readable.clean(f"now: score {found.score:.4g} over {found.threshold:.4g}, because {why}"))
    if found.passing:
        out(readable.clean(f"  {sentence(found.passing)}"))
    for difference in found.differences:
        out(readable.clean(f"  differs: {difference}"))
    if not found.differences:
        out("the same: score, threshold and reasons follow from the log and the model")


def _what_if(
    settings: Settings, spans: Bounds, runtime: "Runtime", threshold: float | None, plot: Path | None, as_json: bool
) -> None:
    from stream_app.replay.plot import draw
    from stream_app.replay.what_if import what_if

    with progress("replaying", sum(end - first for first, end in spans.values())) as advance:
        found = what_if(settings, spans, runtime, threshold, advance)
    if plot is not None and found.scores.size:
        draw(found, plot)
    if as_json:
        hidden = ("scores", "fraud")
        places = {str(partition): span for partition, span in spans.items()}
        out_json({"spans": places, **{f: getattr(found, f) for f in type(found).__slots__ if f not in hidden}})
    else:
        _tell_what_if(found, spans)


def _tell_what_if(found: "WhatIf", spans: Bounds) -> None:
    where = ", ".join(f"{partition}: {first} to {end - 1}" for partition, (first, end) in spans.items())
    out(f"{found.model}, threshold {found.threshold:.4g}, offsets {where}")
    out(f"{found.events:,} records, {found.refused:,} of them refused; labels for {found.labelled:,}")
    figures = ("as decided", "replayed", "change")
    compared = table("", *figures, right=figures)
    for label, then, now in (
        ("alerts", found.alerts_then, found.alerts_now),
        (f"frauds caught, of {found.frauds:,} known", found.caught_then, found.caught_now),
        ("false alarms known", found.false_then, found.false_now),
    ):
        compared.add_row(label, f"{then:,}", f"{now:,}", f"{now - then:+,}")
    console().print(compared)
    if found.remark:
        out(found.remark)
    _tell_alerts("gained", found.gained)
    _tell_alerts("lost", found.lost)


def _tell_alerts(what: str, alerts: "list[Alert]") -> None:
    verdicts = {True: "fraud", False: "legitimate", None: "no label"}
    out(f"{len(alerts):,} {what}" + (f", the {SHOWN} of the highest score:" if len(alerts) > SHOWN else ""))
    for a in sorted(alerts, key=lambda alert: -alert.score)[:SHOWN]:
        place = f"partition {a.partition}, offset {a.offset}"
        out(clean(f"  score {a.score:<10.4g} event {a.event_id}  {verdicts[a.fraud]}  [{place}]"))
