"""`stream-app drift list` and `drift explain`: the alerts that were raised."""

from collections.abc import Iterator
from typing import Annotated

import msgspec
import typer
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from schemas.drift import DriftAlert
from schemas.scoring import ModelRef
from schemas.topics import DRIFT_ALERTS
from stream_app.cli.configured import connected_settings
from stream_app.cli.readable import clean, moment
from stream_app.cli.terminal import console, out, out_json, table
from stream_app.drift.published import RaisedAlert, ended, published
from stream_app.kafka.clients import NotAuthorised, TopicMissing
from stream_app.kafka.log import read_to_end
from stream_app.report.alerts import choose
from stream_app.report.words import alert_rate, bar, duration, levels, retraining, shift_words, signal_name, to_do
from stream_app.rollout.swap_log import read_swap_log

Json = Annotated[bool, typer.Option("--json", help="As JSON.")]

app = typer.Typer(rich_markup_mode=None)
group = typer.Typer(name="drift", epilog="Example: stream-app drift explain", rich_markup_mode=None)
app.add_typer(group)


@group.callback(invoke_without_command=True)
def drift(context: typer.Context) -> None:
    """Drift alerts: which there are, and what one of them means."""
    if context.invoked_subcommand is None:
        typer.echo(context.get_help())
        raise typer.Exit(2)


@group.command("list", epilog="Example: stream-app drift list")
def list_alerts(as_json: Json = False) -> None:
    """Show every drift alert that was raised, the newest last: since when, how severe, what moved furthest."""
    raised, serving = _read()
    if as_json:
        out_json([_document(incident, serving) for incident in raised])
    elif raised:
        console().print(_overview(raised, serving))
    else:
        out("there is no drift alert: nothing has left the model's reference so far")


@group.command(epilog="Example: stream-app drift explain drift:3f1c60a2b7d4:48210")
def explain(
    alert_id: Annotated[
        str | None, typer.Argument(metavar="ID", help="Of the alert, see `drift list`. Default: the newest.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Explain a drift alert: what moved, since when, how far, the likely cause with its evidence, and what to do."""
    raised, serving = _read()
    incident = choose(raised, alert_id)
    if as_json:
        out_json(_document(incident, serving))
    else:
        _tell(incident, serving)


def _read() -> tuple[list[RaisedAlert], ModelRef | None]:
    """The incidents that `drift-alerts` holds, oldest first, and the model that serves; None for who may not know it.

    Raises:
        BrokerError: they cannot be read.
    """
    settings = connected_settings()
    raised = published(read_to_end(settings, DRIFT_ALERTS))
    try:
        serving = read_swap_log(settings).rollout.serving
    except (NotAuthorised, TopicMissing):
        return raised, None
    return raised, serving.model if serving is not None else None


def _document(incident: RaisedAlert, serving: ModelRef | None) -> dict[str, object]:
    """The alert, when it was raised by the clock on the wall, and why it is over (empty while it lasts)."""
    alert: dict[str, object] = msgspec.to_builtins(incident.alert)
    return {**alert, "published_at": incident.at, "ended": ended(incident.alert, serving)}


def _overview(raised: list[RaisedAlert], serving: ModelRef | None) -> Table:
    overview = table("id", "raised (UTC)", "began (event time)", "severity", "state", "furthest", "likely cause")
    for incident in raised:
        a, over = incident.alert, ended(incident.alert, serving)
        furthest = a.signals[0] if a.signals else None
        what = f"{signal_name(furthest.signal)} {shift_words(furthest)}" if furthest else "-"
        state = f"over: {over}" if over else "lasts"
        cells = (a.alert_id, moment(incident.at), moment(a.since), a.severity, state, what, a.cause)
        overview.add_row(*map(clean, cells))
    return overview


def _tell(incident: RaisedAlert, serving: ModelRef | None) -> None:
    """The alert as a person reads it: a head, what moved as bars, then words."""
    screen, alert = console(), incident.alert
    screen.print(Text(clean(f"{alert.alert_id}  {alert.severity}  {alert.model}"), style="bold"))
    facts = Table.grid(padding=(0, 2))
    facts.add_column(no_wrap=True)
    facts.add_column(overflow="fold")
    for name, text in _facts(incident, serving):
        facts.add_row(Text(name, style="dim"), Text(clean(text)))
    screen.print(Padding(_moved(alert), (1, 0, 1, 0), expand=False))
    screen.print(facts)


def _moved(alert: DriftAlert) -> Table:
    """Every signal with a bar: furthest first, all on one scale."""
    moved = table("what moved", "how far", "", "reference → now, as the model sees it", "PSI", right=("", "PSI"))
    largest = max((abs(s.shift) for s in alert.signals), default=0.0)
    for s in alert.signals:
        psi = f"{s.psi:.2f}" if s.psi else "-"
        colour = "red" if s.shift > 0 else "blue"
        moved.add_row(
            Text(clean(signal_name(s.signal))), Text(bar(s.shift, largest), colour), shift_words(s), levels(s), psi
        )
    return moved


def _facts(incident: RaisedAlert, serving: ModelRef | None) -> Iterator[tuple[str, str]]:
    alert, over = incident.alert, ended(incident.alert, serving)
    yield "raised", f"{moment(incident.at)} UTC, began at event time {moment(alert.since)}"
    if over:
        yield "over", over
    else:
        yield "seen", f"{duration(alert.raised_at - alert.since)} later, at event time {moment(alert.raised_at)}"
    if alert.segment:
        yield "where", alert.segment
    yield "offsets", ", ".join(f"partition {p} from {offset}" for p, offset in alert.since_offsets.items())
    yield "alert rate", alert_rate(alert)
    yield "cause", alert.cause
    yield "to do", to_do(alert, over)
    yield "retraining", retraining(alert)
