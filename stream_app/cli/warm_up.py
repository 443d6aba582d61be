"""`stream-app warm-up`: windows that know what happened before the log begins, from a file."""

from contextlib import closing
from datetime import timedelta
from typing import TYPE_CHECKING, Annotated, Any

import typer

from schemas.errors import UserError
from schemas.topics import AUDIT, WINDOW_STATE
from stream_app.audit.record import audit_record
from stream_app.cli.configured import connected_settings
from stream_app.cli.invocation import issuer
from stream_app.cli.model_argument import manifest_of
from stream_app.cli.options import DataFiles, Json, Reason, named
from stream_app.cli.terminal import console, out, out_json, progress, say, table, waiting
from stream_app.kafka import topics
from stream_app.kafka.partitioning import Partitioner
from stream_app.rollout.control_producer import ControlProducer

if TYPE_CHECKING:
    from stream_app.cli.past_of_file import WarmUp

app = typer.Typer(rich_markup_mode=None)

GAP = timedelta(hours=1)


@app.command("warm-up", epilog="Example: stream-app warm-up history.parquet --dry-run")
def warm_up(
    *,
    data: DataFiles,
    model: Annotated[
        str | None, typer.Option(metavar="MODEL", help="The model whose windows these are. Default: what serves.")
    ] = None,
    partitioner: Annotated[
        Partitioner | None,
        typer.Option(help="How producers spread keys. Default: the one by which the latest records lie, else murmur2."),
    ] = None,
    replace: Annotated[
        bool, typer.Option("--replace", help="Also where windows are checkpointed: count them anew, from DATA and log.")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be done, and write nothing.")] = False,
    reason: Reason = "",
    as_json: Json = False,
) -> None:
    """Fill the windows' state from DATA: its events before the first of the input's log, while no worker runs.

    A worker that starts afterwards counts the log from there, as if it had seen them. Goes on record on `audit`.
    """
    from stream_app.cli.past_of_file import prepare

    settings = connected_settings()
    with waiting("reading the model") as tell:
        topics.ensure(settings, () if dry_run else (WINDOW_STATE, AUDIT))
        found = prepare(settings, manifest_of(settings, model), data, partitioner, tell)
    _refuse_known(found, replace)
    if not dry_run:
        with progress("counting", found.events) as advance:
            found.write(settings, advance)
        with closing(ControlProducer(settings)) as trail:
            subject = f"windows of {found.manifest.name} {found.manifest.version}"
            effect = f"{found.events:,} events of {named(data)} counted before the log"
            trail.audit(audit_record(issuer(), "warm-up", subject, reason=reason, effect=effect))
    if as_json:
        out_json(_figures(found, dry_run))
    else:
        _tell(_figures(found, dry_run))
    _tell_gaps(found)


def _refuse_known(found: "WarmUp", replace: bool) -> None:
    cuts = {p: there.checkpoint.cut for p, there in found.there.items() if there.entities or there.checkpoint.cut}
    if cuts and not replace:
        shown = ", ".join(f"{p} at offset {cut}" if cut is not None else f"{p}, unfinished" for p, cut in cuts.items())
        raise UserError(
            f"windows of these partitions are checkpointed already: {shown}; --replace counts them anew, from DATA up "
            "to where the log begins, and from the log"
        )


def _figures(found: "WarmUp", dry_run: bool) -> dict[str, Any]:
    partitions = [
        {
            "partition": partition,
            "offset": past.start.offset,
            "log_begins": past.start.first,
            "events": past.rows.height,
            "entities": past.rows["entity"].n_unique(),
            "from": past.span and past.span[0],
            "to": past.span and past.span[1],
        }
        for partition, past in sorted(found.pasts.items())
    ]
    return {
        "model": f"{found.manifest.name} {found.manifest.version}",
        "written": not dry_run,
        "partitioner": found.partitioner,
        "records": found.keying.keyed,
        "partitions": partitions,
    }


def _tell(figures: dict[str, Any]) -> None:
    seen = f"as the latest {figures['records']:,} records lie" if figures["records"] else "the log has no record yet"
    out(f"windows of {figures['model']}, keys spread by {figures['partitioner']} ({seen})")
    shown = table("partition", "log begins", "events before it", "entities", "from", "to")
    for entry in figures["partitions"]:
        first = "no event yet" if entry["log_begins"] is None else f"{entry['log_begins']:%Y-%m-%d %H:%M}"
        times = ["-" if entry[end] is None else f"{entry[end]:%Y-%m-%d %H:%M}" for end in ("from", "to")]
        counts = f"{entry['events']:,}", f"{entry['entities']:,}"
        shown.add_row(str(entry["partition"]), f"{first}, offset {entry['offset']}", *counts, *times)
    console().print(shown)
    out("written: start the workers" if figures["written"] else "nothing was written: --dry-run")


def _tell_gaps(found: "WarmUp") -> None:
    """What a person should know of windows that are short all the same."""
    from stream_app.cli.past_of_file import own_windows

    definition = found.manifest.definition
    reach, own = timedelta(seconds=definition.reach_s), own_windows(definition)
    if others := [entry.name for entry in definition.windows if entry not in own]:
        say(f"{', '.join(others)}: windows of other entities, or of labels, are not filled; they know the log alone")
    spans = [past.span for past in found.pasts.values() if past.span is not None]
    begins, ends = min(first for first, _ in spans), max(last for _, last in spans)
    firsts = [past.start.first for past in found.pasts.values() if past.start.first is not None]
    if firsts and min(firsts) - ends > GAP:
        log_begins = f"{min(firsts):%Y-%m-%d %H:%M}"
        say(f"DATA ends {ends:%Y-%m-%d %H:%M} and the log begins {log_begins}: what was between is missing")
    if not firsts or begins > min(firsts) - reach:
        full = f"{begins + reach:%Y-%m-%d %H:%M}"
        say(f"DATA begins {begins:%Y-%m-%d %H:%M}: of events before {full} the longest windows are short")
