"""`stream-app status`: how things are in one sentence; workers, lag, rate, latency, model and drift below it."""

from contextlib import suppress
from typing import TYPE_CHECKING, Annotated

import typer

from stream_app.cli.configured import connected_settings
from stream_app.cli.terminal import SEVERITIES, console, figure, out_json

if TYPE_CHECKING:
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    from stream_app.cli.overview import Overview
    from stream_app.settings import Settings

app = typer.Typer(rich_markup_mode=None)

REFRESH_S = 1.0
LEVELS = {"good": "green", "idle": "green", "attention": "yellow", "bad": "bold red"}


@app.command(epilog="Example: stream-app status --watch")
def status(
    watch: Annotated[bool, typer.Option("--watch", help="Refresh every second, until Ctrl-C.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="As JSON; with --watch, one document a second.")] = False,
) -> None:
    """Say in one sentence how things are; show workers, lag, rate, latency, model and drift."""
    settings = connected_settings()
    show = out_json if as_json else _print
    if not watch:
        show(observe(settings))
        return
    with suppress(KeyboardInterrupt):
        _watch(settings, as_json)


def observe(settings: "Settings") -> "Overview":
    """The cluster now.

    Raises:
        BrokerUnavailable, TopicMissing: with one line that says what to do.
    """
    from stream_app.cli.overview import Observer

    with Observer(settings) as observer:
        return observer.overview()


def _print(seen: "Overview") -> None:
    console().print(picture(seen))


def _watch(settings: "Settings", as_json: bool) -> None:
    """Until Ctrl-C."""
    from rich.live import Live

    from stream_app.cli.overview import Observer

    with Observer(settings) as observer:
        if as_json:
            while True:
                out_json(observer.overview())
                observer.follow(REFRESH_S)
        with Live(picture(observer.overview()), console=console(), auto_refresh=False) as live:
            while True:
                observer.follow(REFRESH_S)
                live.update(picture(observer.overview()), refresh=True)


def picture(seen: "Overview") -> "Group":
    """The overview as a person reads it: the sentence, the model, a table of workers, the latest alerts."""
    from rich.console import Group
    from rich.text import Text

    from stream_app.cli.readable import clean

    return Group(
        Text(clean(seen.verdict.sentence), style=LEVELS[seen.verdict.level]),
        *(Text(clean(condition.sentence), style=LEVELS[condition.level]) for condition in seen.wrong[1:]),
        *(Text(clean(line)) for line in [*_model_lines(seen), *_trial_lines(seen)]),
        _workers(seen) if seen.workers else Text("no worker is alive: start one with stream-app worker"),
        *_drift_lines(seen),
    )


def _workers(seen: "Overview") -> "Table":
    from rich.text import Text

    from stream_app.cli.readable import clean
    from stream_app.cli.terminal import table

    figures = ("partitions", "lag", "events/s", "p50 ms", "p99 ms", "scored", "anomalies", "refused", "model")
    made = table("worker", *figures, right=figures)
    for w in seen.workers:
        is_lost = w.presence != "live"
        aside = f" ({w.presence} since {w.seen_at:%H:%M:%S})" if is_lost else "" if w.ready else " (not ready)"
        made.add_row(
            Text(clean(f"{w.id}{aside}")),
            ",".join(map(str, w.partitions)) or "-",
            f"{w.lag:,}",
            figure(w.events_per_second, 0),
            figure(w.latency_p50_ms, 1),
            figure(w.latency_p99_ms, 1),
            f"{w.scored:,}",
            f"{w.anomalies:,}",
            f"{w.dead_lettered:,}",
            (w.model_sha256 or "none")[:12],
            style="red" if w.presence == "lost" else "" if w.ready else "yellow",
        )
    return made


def _model_lines(seen: "Overview") -> list[str]:
    from stream_app.cli.readable import moment

    if seen.model is None:
        return ["no model serves: deploy one with stream-app deploy MODEL"]
    m = seen.model
    before = f", rollback returns to {m.previous_sha256[:12]}" if m.previous_sha256 else ""
    line = f"model {m.name} {m.version} ({m.sha256[:12]}){before}"
    if m.swap is None:
        return [line]
    how = f"rolled back from {m.swap.left}" if m.swap.left is not None else "put in service"
    by = f"  {how} by {m.swap.issuer} at {moment(m.swap.at)} UTC"
    return [line, ": ".join(filter(None, (by, m.swap.reason)))]


def _trial_lines(seen: "Overview") -> list[str]:
    """What is tried out, and what the guard finds."""
    t = seen.trial
    if t is None:
        return []
    what = {
        "shadow": "shadow",
        "canary": f"canary for {t.percent:g} % of the customers",
        "watch": "new in service, watched",
    }[t.mode]
    head = f"{what}: {t.model.name} {t.model.version} ({t.model.sha256[:12]})"
    said = t.guard.sentence if t.guard is not None else "nothing yet"
    return [head, f"  guard{' (frozen)' if t.frozen else ''}: {said}"]


def _drift_lines(seen: "Overview") -> "list[Text]":
    from rich.text import Text

    from stream_app.cli.readable import clean, moment
    from stream_app.drift.published import ended

    if not seen.drift.alerts:
        return [Text("no drift alert")]
    lines = [Text(f"{seen.drift.total} drift alert{'' if seen.drift.total == 1 else 's'}, the latest:")]
    for incident in seen.drift.alerts:
        alert, over = incident.alert, ended(incident.alert, seen.serving)
        times = f"  raised {moment(incident.at)} UTC, began at event time {moment(alert.since)}  "
        state = (f"over: {over}", "dim") if over else (str(alert.severity), SEVERITIES[alert.severity])
        lines.append(Text.assemble(times, state, f"  {clean(alert.cause)}", style="dim" if over else ""))
    return lines
