"""`stream-app rekey`: a worker that scores nothing, and writes a topic keyed by the entity."""

import logging
import os
import socket
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from typing import Annotated

import typer

from schemas.errors import UserError
from schemas.topics import DEAD_LETTERS, TRANSACTIONS
from stream_app.cli.configured import connected_settings
from stream_app.cli.detector import Detector, serving_detector
from stream_app.cli.signals import stop_on_signal
from stream_app.cli.terminal import is_interactive, out, say, waiting
from stream_app.kafka import clients, offsets, topics
from stream_app.kafka.roles import REKEYING
from stream_app.settings import Settings

app = typer.Typer(rich_markup_mode=None)

STATUS_EVERY_S = 10.0


@app.command(epilog="Example: stream-app rekey payments --detector detector.toml")
def rekey(
    source: Annotated[str, typer.Argument(metavar="SOURCE", help="The topic that is read, by its full name.")],
    target: Annotated[
        str | None, typer.Argument(metavar="TARGET", help="The topic that is written. Default: the workers' input.")
    ] = None,
    detector: Detector = None,
) -> None:
    """Write a topic keyed by the entity, exactly once, until Ctrl-C or SIGTERM.

    Records go on as they are; one whose entity cannot be read is a dead letter. Any number of these share the
    partitions of SOURCE. The order within each partition of SOURCE is kept.
    """
    from stream_app.pipeline.rekey import Rekey

    settings = connected_settings()
    target = target or topics.name(settings, TRANSACTIONS)
    if source == target:
        raise UserError(f"{source} cannot be written onto itself: name another TARGET")
    _prepare(settings, source, target)
    own = {
        "app_id": f"{settings.app_id}{REKEYING}",
        "worker_id": settings.worker_id or f"{socket.gethostname()}-{os.getpid()}",
    }
    logging.getLogger("stream_app").addHandler(logging.StreamHandler())
    with stop_on_signal() as stop, waiting(f"joining the group {settings.group}{REKEYING}") as tell:
        worker = Rekey(
            settings.model_copy(update=own), serving_detector(detector, settings), source, target, _status(tell)
        )
        worker.run(stop)
    out(f"{source} to {target}: {worker.written:,} written, {worker.refused:,} refused")


def _prepare(settings: Settings, source: str, target: str) -> None:
    """See that both topics, and that of dead letters, are there."""
    with closing(clients.consumer(settings, None)) as consumer:
        offsets.partitions(consumer, settings, source)
    topics.ensure(settings, (DEAD_LETTERS,))
    topics.ensure(settings.model_copy(update={"topic_prefix": ""}), (replace(TRANSACTIONS, name=target),))


def _status(tell: Callable[[str], None]) -> Callable[[str], None]:
    """On a terminal each sentence, in place of the one before; else a line every few seconds."""
    if is_interactive():
        return tell
    last = -STATUS_EVERY_S

    def line(sentence: str) -> None:
        nonlocal last
        if time.monotonic() - last >= STATUS_EVERY_S:
            last = time.monotonic()
            say(sentence)

    return line
