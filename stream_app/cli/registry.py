"""`stream-app registry sync`: the registry's aliases follow the swap log."""

import typer

from schemas.errors import UserError
from stream_app.cli.configured import connected_settings
from stream_app.cli.terminal import out, waiting
from stream_app.rollout.registry_sync import sync

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

    The worker that runs the controller does this after every command: this is for where none runs, or could reach it.
    """
    chosen = connected_settings()
    if not chosen.tracking_uri:
        raise UserError("there is no registry: set tracking_uri")
    with waiting("telling the registry"):
        moved = sync(chosen)
    for line in moved or ["every alias names what the swap log says"]:
        out(line)
