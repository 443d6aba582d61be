"""`stream-app drift list`, `drift explain` and `drift-report`: the alerts that were raised, as text and as pictures."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from stream_app.cli.invocation import connected_settings
from stream_app.cli.terminal import console, out, out_json, progress, waiting

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rich.table import Table

    from schemas.drift import DriftAlert

Json = Annotated[bool, typer.Option("--json", help="As JSON.")]

app = typer.Typer(
    name="drift",
    epilog="Example: stream-app drift explain",
    rich_markup_mode=None,
)


@app.callback(invoke_without_command=True)
def drift(context: typer.Context) -> None:
    """Drift alerts: which there are, and what one of them means."""
    if context.invoked_subcommand is None:
        typer.echo(context.get_help())
        raise typer.Exit(2)


@app.command("list", epilog="Example: stream-app drift list")
def list_alerts(as_json: Json = False) -> None:
    """Show every drift alert that was raised, the newest last: since when, how severe, what moved furthest."""
    alerts = read_alerts()
    if as_json:
        out_json(alerts)
    elif alerts:
        console().print(_overview(alerts))
    else:
        out("there is no drift alert: nothing has left the model's reference so far")


@app.command(epilog="Example: stream-app drift explain drift:3f1c60a2b7d4:48210")
def explain(
    alert_id: Annotated[
        str | None, typer.Argument(metavar="ID", help="Of the alert, see `drift list`. Default: the newest.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Explain a drift alert: what moved, since when, how far, the likely cause with its evidence, and what to do."""
    from stream_app.report.alerts import choose

    alert = choose(read_alerts(), alert_id)
    if as_json:
        out_json(alert)
    else:
        _tell(alert)


def drift_report(
    window: Annotated[
        str, typer.Option(metavar="WINDOW", help="24h, 7d, 20000 (the last transactions) or FROM/UNTIL, in event time.")
    ] = "24h",
    destination: Annotated[Path, typer.Option("--out", metavar="FILE", help="Where the page goes.")] = Path(
        "drift-report.html"
    ),
    reference: Annotated[
        Path | None,
        typer.Option(metavar="DATA", help="Training data. Default: the first rows that the input topic still holds."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the key figures as JSON, too.")] = False,
) -> None:
    """Make one page of a window: its drift incidents as pictures, and Evidently's report against the reference.

    The page holds everything that it needs: it can be sent, kept, and opened without a network.
    """
    from stream_app.report import page, report

    report.check_installed()
    settings = connected_settings()
    with waiting("reading what was scored") as tell:
        gathered = report.gather(settings, window, tell)
    with progress("re-scoring", gathered.events) as advance:
        before, now = report.rescore(settings, gathered, reference, advance)
    with waiting("comparing and drawing"):
        made = report.compose(gathered, before, now)
        destination.write_text(page.html(made), encoding="utf-8")
    if as_json:
        out_json(made.figures)
    else:
        found = len(made.figures.incidents)
        out(f"{destination}: {found} incident{'' if found == 1 else 's'} in {made.figures.events:,} transactions")


def read_alerts() -> "list[DriftAlert]":
    """What `drift-alerts` holds, oldest first.

    Raises:
        BrokerError: it cannot be read.
    """
    settings = connected_settings()
    from schemas.topics import DRIFT_ALERTS
    from stream_app.kafka.log import read_to_end
    from stream_app.report.alerts import published

    return published(read_to_end(settings, DRIFT_ALERTS))


def _overview(alerts: "list[DriftAlert]") -> "Table":
    from rich.table import Table

    from stream_app.cli.readable import clean, moment
    from stream_app.report.words import shift_words, signal_name

    table = Table(box=None, pad_edge=False)
    for heading in ("id", "raised (UTC)", "since (UTC)", "severity", "furthest", "likely cause"):
        table.add_column(heading, overflow="fold")
    for a in alerts:
        furthest = a.signals[0] if a.signals else None
        what = f"{signal_name(furthest.signal)} {shift_words(furthest)}" if furthest else "-"
        cells = (a.alert_id, moment(a.raised_at), moment(a.since), a.severity, what, a.cause)
        table.add_row(*map(clean, cells))
    return table


def _tell(alert: "DriftAlert") -> None:
    """The alert as a person reads it: a head, what moved as bars, then words."""
    from rich.padding import Padding
    from rich.table import Table
    from rich.text import Text

    from stream_app.cli.readable import clean, model

    screen = console()
    screen.print(Text(clean(f"{alert.alert_id}  {alert.severity}  {model(alert.model)}"), style="bold"))
    facts = Table.grid(padding=(0, 2))
    facts.add_column(no_wrap=True)
    facts.add_column(overflow="fold")
    for name, text in _facts(alert):
        facts.add_row(Text(name, style="dim"), Text(clean(text)))
    screen.print(Padding(_moved(alert), (1, 0, 1, 0), expand=False))
    screen.print(facts)


def _moved(alert: "DriftAlert") -> "Table":
    """Every signal with a bar: furthest first, all on one scale."""
    from rich.table import Table
    from rich.text import Text

    from stream_app.cli.readable import clean
    from stream_app.report.words import bar, levels, shift_words, signal_name

    table = Table(box=None, pad_edge=False)
    table.add_column("what moved")
    table.add_column("how far")
    table.add_column("", justify="right")
    table.add_column("reference → now, as the model sees it")
    table.add_column("PSI", justify="right")
    largest = max((abs(s.shift) for s in alert.signals), default=0.0)
    for s in alert.signals:
        psi = f"{s.psi:.2f}" if s.psi else "-"
        colour = "red" if s.shift > 0 else "blue"
        table.add_row(
            Text(clean(signal_name(s.signal))), Text(bar(s.shift, largest), colour), shift_words(s), levels(s), psi
        )
    return table


def _facts(alert: "DriftAlert") -> "Iterator[tuple[str, str]]":
    from stream_app.cli.readable import moment
    from stream_app.report.words import alert_rate, duration, retraining

    later = duration(alert.raised_at - alert.since)
    yield "since", f"{moment(alert.since)} UTC, seen {later} later at {moment(alert.raised_at)} (event time)"
    if alert.segment:
        yield "where", alert.segment
    yield "offsets", ", ".join(f"partition {p} from {offset}" for p, offset in alert.since_offsets.items())
    yield "alert rate", alert_rate(alert)
    yield "cause", alert.cause
    yield "to do", alert.action
    yield "retraining", retraining(alert)


def register(program: typer.Typer) -> None:
    """Add the commands of this module."""
    program.add_typer(app)
    program.command(
        "drift-report",
        epilog="Example: stream-app drift-report --window 24h --reference history.parquet --out drift.html",
    )(drift_report)
