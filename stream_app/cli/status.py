"""`stream-app status`: workers, partitions, lag, rate, latency, model and drift, once or as it changes."""

from contextlib import suppress
from typing import TYPE_CHECKING, Annotated

import typer

from stream_app.cli.configured import connected_settings
from stream_app.cli.terminal import console, figure, out_json

if TYPE_CHECKING:
    from rich.console import Group

    from stream_app.cli.overview import Overview
    from stream_app.settings import Settings

app = typer.Typer(rich_markup_mode=None)

REFRESH_S = 1.0


@app.command(epilog="Example: stream-app status --watch")
def status(
    watch: Annotated[bool, typer.Option("--watch", help="Refresh every second, until Ctrl-C.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="As JSON; with --watch, one document a second.")] = False,
) -> None:
    """Show workers, lag, rate, latency, the model that serves, and drift."""
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
    """The overview as a person reads it: the model, a table of workers, the latest alerts."""
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False)
    table.add_column("worker")
    for heading in ("partitions", "lag", "events/s", "p50 ms", "p99 ms", "scored", "anomalies", "refused", "model"):
        table.add_column(heading, justify="right")
    for w in seen.workers:
        table.add_row(
            w.id if w.ready else f"{w.id} (not ready)",
            ",".join(map(str, w.partitions)) or "-",
            f"{w.lag:,}",
            figure(w.events_per_second, 0),
            figure(w.latency_p50_ms, 1),
            figure(w.latency_p99_ms, 1),
            f"{w.scored:,}",
            f"{w.anomalies:,}",
            f"{w.dead_lettered:,}",
            (w.model_sha256 or "none")[:12],
        )
    lines = [
        *(Text(line) for line in _model_lines(seen)),
        *(Text(line) for line in _trial_lines(seen)),
        table if seen.workers else Text("no worker is alive: start one with stream-app worker"),
    ]
    return Group(*lines, *(Text(line) for line in [*seen.input, *_drift_lines(seen)]))


def _model_lines(seen: "Overview") -> list[str]:
    from stream_app.cli.readable import clean, moment

    if seen.model is None:
        return ["no model serves: deploy one with stream-app deploy MODEL"]
    m = seen.model
    before = f", rollback returns to {m.previous_sha256[:12]}" if m.previous_sha256 else ""
    line = f"model {m.name} {m.version} ({m.sha256[:12]}){before}"
    if m.swap is None:
        return [line]
    how = f"rolled back from {m.swap.left}" if m.swap.left is not None else "put in service"
    by = f"  {how} by {m.swap.issuer} at {moment(m.swap.at)} UTC"
    return [line, clean(": ".join(filter(None, (by, m.swap.reason))))]


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


def _drift_lines(seen: "Overview") -> list[str]:
    from stream_app.cli.readable import moment

    if not seen.drift.alerts:
        return ["no drift alert"]
    head = f"{seen.drift.total} drift alerts, the latest:"
    return [head, *(f"  {moment(a.raised_at)}  {a.severity}  {a.cause}" for a in seen.drift.alerts)]
