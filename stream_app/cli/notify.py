"""`stream-app notify`: tells people and their tools of anomalies and drift, by webhook, Slack and Teams."""

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from stream_app.cli.configured import connected_settings
from stream_app.cli.signals import stop_on_signal
from stream_app.cli.terminal import out, say

if TYPE_CHECKING:
    from stream_app.notify.destinations import Destinations
    from stream_app.notify.sending import Sender

app = typer.Typer(rich_markup_mode=None)

WATCH_S = 0.2
STOP_S = 15.0


@app.command(epilog="Example: stream-app notify destinations.toml --test")
def notify(
    destinations: Annotated[Path, typer.Argument(metavar="FILE", help="Who is told, of what and how: docs/notify.md.")],
    test: Annotated[bool, typer.Option("--test", help="Send each a message that says so, and end.")] = False,
    metrics_port: Annotated[int | None, typer.Option(min=1, max=65_535, help="Serve /metrics on this port.")] = None,
) -> None:
    """Tell destinations of anomalies and drift until Ctrl-C or SIGTERM.

    Each is told at least once, in order, under keys by which it drops what it has; what cannot be delivered is kept in
    a file.
    """
    from stream_app.notify import destinations as known
    from stream_app.notify.sending import Sender, post

    found = known.read(destinations)
    senders = [Sender(destination, post) for destination in found.each]
    if test:
        raise typer.Exit(_test(found, senders))
    _run(found, senders, metrics_port)


def _test(found: "Destinations", senders: "Sequence[Sender]") -> int:
    """Send each a message; 1 if one did not take it."""
    from stream_app.notify.notification import of_a_test
    from stream_app.notify.sending import Undeliverable
    from stream_app.pipeline.clock import SYSTEM

    def no_more(_: float) -> None:
        raise Undeliverable("it does not answer, or not well: its line is above")

    failed = 0
    for destination, sender in zip(found.each, senders, strict=True):
        try:
            sender(of_a_test(destination.name, SYSTEM.now()), no_more)
            out(f"{destination.name}: ok")
        except Undeliverable as error:
            failed = 1
            out(f"{destination.name}: WRONG: {error}")
    return failed


def _run(found: "Destinations", senders: "Sequence[Sender]", metrics_port: int | None) -> None:
    from prometheus_client import CollectorRegistry, start_http_server

    from schemas.topics import ANOMALIES, DRIFT_ALERTS
    from stream_app import threads
    from stream_app.kafka import topics
    from stream_app.kafka.clients import BrokerError
    from stream_app.metrics import NotifyMetrics
    from stream_app.notify.courier import Courier

    settings, registry = connected_settings(), CollectorRegistry()
    topics.ensure(settings, (ANOMALIES, DRIFT_ALERTS))
    if metrics_port is not None:
        start_http_server(metrics_port, registry=registry)
    logging.getLogger("stream_app").addHandler(logging.StreamHandler())
    metrics = NotifyMetrics(registry)
    couriers = [
        Courier(settings, destination, found.undelivered, sender, metrics)
        for destination, sender in zip(found.each, senders, strict=True)
    ]
    running = [
        threads.Supervised(f"notify {d.name}", courier.step, courier.stop)
        for d, courier in zip(found.each, couriers, strict=True)
    ]
    try:
        with stop_on_signal() as stop:
            for thread in running:
                thread.start()
            say(f"telling {', '.join(destination.name for destination in found.each)}")
            while not stop.wait(WATCH_S):
                threads.check(running, (BrokerError,))
    finally:
        threads.stop(running, STOP_S)
        for courier in couriers:
            courier.close()
