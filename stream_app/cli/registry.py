"""`stream-app registry sync`: the registry's aliases follow what the swap log says."""

import typer

from stream_app.cli.errors import Failure
from stream_app.cli.invocation import connected_settings
from stream_app.cli.terminal import out
from stream_app.cli.tracking import follow_in_registry

registry = typer.Typer(
    name="registry",
    help="Models in MLflow, where `train` registers them.",
    epilog="Example: stream-app registry sync",
    rich_markup_mode=None,
    no_args_is_help=True,
)


def sync() -> None:
    """Let `champion`, `previous` and `candidate` name what the swap log prescribes, and print what has moved.

    Commands do this by themselves, and so does the worker that runs the controller: this is for a registry that neither
    could reach.
    """
    chosen = connected_settings()
    if not chosen.tracking_uri:
        raise Failure("there is no registry: set tracking_uri")
    moved = follow_in_registry(chosen)
    for line in moved or ["every alias names what the swap log says"]:
        out(line)


def register(app: typer.Typer) -> None:
    """Add the commands of this module."""
    registry.command("sync", epilog="Example: stream-app registry sync")(sync)
    app.add_typer(registry)
