"""`stream-app demo`, `broker`, `worker`, `verify`: what runs, and the proof that it lost nothing."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from stream_app.cli.errors import Failure
from stream_app.cli.invocation import connected_settings, settings
from stream_app.cli.signals import stop_on_signal
from stream_app.cli.terminal import out, out_json, say, waiting

if TYPE_CHECKING:
    from stream_app.verify.cluster import LedgerVerdict

DEFAULT_KAFKA_PORT = 9092
BROKER_CHECK_S = 0.5


def demo() -> None:
    """Tell the whole story on an embedded broker, in about three minutes.

    A person gets the address of the page, and it stays up until Ctrl-C. Piped, it ends by itself.
    """
    from stream_app.cli.demo.story import run_demo

    raise typer.Exit(run_demo(settings()) or 0)


def broker(
    port: Annotated[
        int, typer.Option(min=0, max=65_535, help="Where it listens on this machine; 0 takes a free one.")
    ] = DEFAULT_KAFKA_PORT,
    data_dir: Annotated[
        Path | None, typer.Option(metavar="FOLDER", help="Keep the log here. Default: a folder that goes with it.")
    ] = None,
) -> None:
    """Run a real single-node Apache Kafka in the foreground, until Ctrl-C. Its address is the one line on stdout."""
    from stream_app.embedded.broker import EmbeddedBroker

    with EmbeddedBroker(data_dir, port, say) as kafka, stop_on_signal() as stop:
        out(kafka.bootstrap_servers)
        say(f"Kafka is ready: export KAFKA_BOOTSTRAP_SERVERS={kafka.bootstrap_servers}   (Ctrl-C ends it)")
        while not stop.wait(BROKER_CHECK_S):
            if not kafka.running:
                raise Failure("Kafka ended by itself; with --data-dir FOLDER, FOLDER/broker.log says why")
    say("Kafka is down")


def worker(
    web_port: Annotated[
        int | None, typer.Option(min=1, max=65_535, help="The page, /metrics and /health; a free one for each worker.")
    ] = None,
) -> None:
    """Run a worker: score the input topic until Ctrl-C or SIGTERM."""
    chosen = settings(web_port=web_port)
    from stream_app.host.worker import run

    raise typer.Exit(run(chosen) or 0)


def verify(as_json: Annotated[bool, typer.Option("--json", help="As JSON.")] = False) -> None:
    """Prove that every committed input offset was scored or dead-lettered; exit code 1 names those that were not."""
    from stream_app.verify.cluster import verify as prove

    chosen = connected_settings()
    with waiting("reading the ledger") as tell:
        verdict = prove(chosen, tell)
    if as_json:
        out_json(verdict)
    else:
        _tell(verdict)
    if not verdict.ok:
        raise typer.Exit(1)


def _tell(verdict: "LedgerVerdict") -> None:
    """The sum, and every place where it does not come out."""
    out(
        f"conservation {'holds' if verdict.ok else 'is BROKEN'}: {verdict.committed:,} committed offsets = "
        f"{verdict.scored:,} scored + {verdict.dead_lettered:,} dead-lettered + {verdict.empty:,} without a record"
    )
    if verdict.unverifiable:
        out(f"{verdict.unverifiable:,} of the offsets without a record are older than what the input still holds")
    for b in verdict.breaks:
        out(f"  partition {b.partition}, offsets {b.from_offset} to {b.to_offset}: {b.what}")


def register(app: typer.Typer) -> None:
    """Add the commands of this module."""
    app.command(epilog="Example: stream-app demo")(demo)
    app.command(epilog="Example: stream-app broker --port 9092 --data-dir build/kafka")(broker)
    app.command(epilog="Example: stream-app worker --web-port 6067")(worker)
    app.command(epilog="Example: stream-app verify --json")(verify)
