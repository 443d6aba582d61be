"""`stream-app deploy` and `rollback`: what serves, by commands onto `model-swap`."""

from typing import Annotated

import typer

from stream_app.cli.commanded import check_reason, commanded, gates
from stream_app.cli.model_argument import resolve_model
from stream_app.cli.options import PLACES, GateData, Json, OverrideReason, Reason, Timeout
from stream_app.rollout import commands

app = typer.Typer(rich_markup_mode=None)


@app.command(epilog='Example: stream-app deploy models/7.pt --reason "weekly retraining"')
def deploy(
    *,
    model: Annotated[str, typer.Argument(metavar="MODEL", help=f"Where workers read it: {PLACES}.")],
    reason: Reason = "",
    timeout: Timeout = None,
    gate_data: GateData = None,
    override: OverrideReason = None,
    as_json: Json = False,
) -> None:
    """Have every worker fetch, check and warm up MODEL; serve it when all could, change nothing when one could not.

    With --gate-data (or the setting gate_data), MODEL is first compared with what serves, as `stream-app gate` does.
    """
    check_reason(override)
    commanded(
        "deploying",
        lambda settings, order: commands.deploy(
            settings, order, resolve_model(settings, model), gates(settings, gate_data, override)
        ),
        reason,
        timeout,
        as_json,
    )


@app.command(epilog='Example: stream-app rollback --reason "false positives up by 30 %"')
def rollback(
    reason: Reason = "",
    to: Annotated[
        str | None, typer.Option(metavar="MODEL", help="Back to this version or digest. Default: one step back.")
    ] = None,
    timeout: Timeout = None,
    as_json: Json = False,
) -> None:
    """Drop the candidate or, where there is none, serve the previous model again, from warm memory.

    It never returns to what was rolled back from, unless --to names it or it was deployed again. A model from further
    back is staged again first.
    """
    commanded("rolling back", lambda settings, order: commands.rollback(settings, order, to), reason, timeout, as_json)
