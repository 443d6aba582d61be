"""`stream-app broker`: a real Kafka on this machine."""

from pathlib import Path
from typing import Annotated

import typer

from schemas.errors import UserError
from stream_app.cli.signals import stop_on_signal
from stream_app.cli.terminal import out, say
from stream_app.embedded.broker import EmbeddedBroker

app = typer.Typer(rich_markup_mode=None)

DEFAULT_KAFKA_PORT = 9092
BROKER_CHECK_S = 0.5


@app.command(epilog="Example: stream-app broker --port 9092 --data-dir build/kafka")
def broker(
    port: Annotated[
        int, typer.Option(min=0, max=65_535, help="Where it listens on this machine; 0 takes a free one.")
    ] = DEFAULT_KAFKA_PORT,
    data_dir: Annotated[
        Path | None, typer.Option(metavar="FOLDER", help="Keep the log here. Default: a folder that goes with it.")
    ] = None,
) -> None:
    """Run a real single-node Apache Kafka in the foreground, until Ctrl-C. Its address is the one line on stdout."""
    with EmbeddedBroker(data_dir, port, say) as kafka, stop_on_signal() as stop:
        out(kafka.bootstrap_servers)
        say(f"Kafka is ready: export KAFKA_BOOTSTRAP_SERVERS={kafka.bootstrap_servers}   (Ctrl-C ends it)")
        while not stop.wait(BROKER_CHECK_S):
            if not kafka.running:
                raise UserError("Kafka ended by itself; with --data-dir FOLDER, FOLDER/broker.log says why")
    say("Kafka is down")
