"""`stream-app deploy`, `rollback` and `models`: what serves, by commands onto `model-swap`, and what the log says."""

import getpass
import socket
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from stream_app.cli.invocation import connected_settings
from stream_app.cli.terminal import console, out, out_json, waiting

if TYPE_CHECKING:
    from stream_app.rollout.watch import Outcome

Reason = Annotated[str, typer.Option(help="Why, for the audit trail.")]
Timeout = Annotated[
    float | None,
    typer.Option(min=0.1, metavar="SECONDS", help="How long to wait. Default: as long as workers may take."),
]
Json = Annotated[bool, typer.Option("--json", help="As JSON.")]


def deploy(
    model: Annotated[
        str, typer.Argument(metavar="MODEL", help="A model artefact, where the workers can read it: a path or s3://.")
    ],
    reason: Reason = "",
    timeout: Timeout = None,
    as_json: Json = False,
) -> None:
    """Have every worker fetch, check and warm up MODEL; serve it when all could, change nothing when one could not."""
    settings = connected_settings()
    from stream_app.kafka import topics
    from stream_app.rollout import commands

    topics.ensure(settings)
    with waiting("deploying") as tell:
        outcome = commands.deploy(
            settings, model if model.startswith("s3://") else Path(model), issuer(), reason, timeout, tell
        )
    conclude(outcome, as_json)


def rollback(
    reason: Reason = "",
    to: Annotated[
        str | None, typer.Option(metavar="MODEL", help="Back to this version or digest. Default: one step back.")
    ] = None,
    timeout: Timeout = None,
    as_json: Json = False,
) -> None:
    """Drop the candidate or, where there is none, serve the previous model again, from warm memory.

    A second rollback undoes the first. A model from further back is staged again first.
    """
    settings = connected_settings()
    from stream_app.kafka import topics
    from stream_app.rollout import commands

    topics.ensure(settings)
    with waiting("rolling back") as tell:
        outcome = commands.rollback(settings, issuer(), reason, timeout, tell, to)
    conclude(outcome, as_json)


def models(as_json: Json = False) -> None:
    """Show every model that was ever staged: which serves, which a rollback returns to, what became of the others."""
    settings = connected_settings()
    from stream_app.cli.register import entries
    from stream_app.rollout import commands

    found = entries(commands.models(settings).history)
    if as_json:
        out_json(found)
        return
    if not found:
        out("no model was ever staged: deploy one with stream-app deploy MODEL")
        return
    from rich.table import Table

    table = Table(box=None, pad_edge=False)
    for heading in ("model", "version", "sha256", "state", "staged", "by", "from"):
        table.add_column(heading, overflow="fold")
    for e in found:
        state = f"{e.state}: {e.reason}" if e.reason else e.state
        table.add_row(e.name, e.version, e.sha256[:12], state, f"{e.staged_at:%Y-%m-%d %H:%M}", e.issuer, e.uri)
    console().print(table)


def issuer() -> str:
    """Who gives a command, for the audit trail: user and machine."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):  # a container's user id need not have a name
        user = "unknown"
    return f"{user}@{socket.gethostname()}"


def conclude(outcome: "Outcome", as_json: bool) -> None:
    """Print the outcome; the exit code says it too."""
    if as_json:
        out_json(outcome)
    else:
        out(outcome.sentence)
    if not outcome.ok:
        raise typer.Exit(1)


def register(app: typer.Typer) -> None:
    """Add the commands of this module."""
    app.command(epilog='Example: stream-app deploy models/7.pt --reason "weekly retraining"')(deploy)
    app.command(epilog='Example: stream-app rollback --reason "false positives up by 30 %"')(rollback)
    app.command(epilog="Example: stream-app models --json")(models)
