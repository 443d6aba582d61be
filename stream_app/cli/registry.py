"""`stream-app registry sync`: the registry's aliases follow the swap log."""

import typer

from models.registry.address import RegistryError
from schemas.errors import UserError
from stream_app.cli.configured import connected_settings
from stream_app.cli.terminal import out, say, waiting
from stream_app.rollout.registry_sync import sync
from stream_app.rollout.swap_log import SwapLog
from stream_app.settings import Settings

app = typer.Typer(rich_markup_mode=None)
group = typer.Typer(
    name="registry",
    help="Models in MLflow, where `train` registers them.",
    epilog="Example: stream-app registry sync",
    rich_markup_mode=None,
    no_args_is_help=True,
)
app.add_typer(group)


@group.command("sync", epilog="Example: stream-app registry sync")
def sync_now() -> None:
    """Let `champion`, `previous` and `candidate` name what the swap log prescribes, and print what has moved.

    Commands do this by themselves, and so does the worker that runs the controller: this is for a registry that neither
    could reach.
    """
    chosen = connected_settings()
    if not chosen.tracking_uri:
        raise UserError("there is no registry: set tracking_uri")
    for line in _synced(chosen) or ["every alias names what the swap log says"]:
        out(line)


def update_aliases(settings: Settings, log: SwapLog | None) -> None:
    """Let the aliases follow what a command has done; where that is not possible, a worker does it later."""
    try:
        for line in _synced(settings, log):
            say(line)
    except RegistryError as error:
        say(f"the registry's aliases are not up to date: {error}; later: stream-app registry sync")


def _synced(settings: Settings, log: SwapLog | None = None) -> list[str]:
    with waiting("telling the registry"):
        return sync(settings, log)
