"""`stream-app shadow`, `canary`, `promote`, `abort`, `freeze`, `unfreeze`: a model beside the one that serves."""

from typing import Annotated

import typer

from stream_app.cli.commanded import check_reason, commanded, gates
from stream_app.cli.model_argument import resolve_model
from stream_app.cli.options import GateData, Json, OverrideReason, Reason, Timeout
from stream_app.rollout import commands
from stream_app.rollout.client import Order, Outcome
from stream_app.settings import Settings

app = typer.Typer(rich_markup_mode=None)

Model = Annotated[
    str | None,
    typer.Argument(metavar="[MODEL]", help="A model artefact, as for `deploy`. Default: the candidate that there is."),
]


@app.command(epilog="Example: stream-app shadow models/8.pt")
def shadow(
    model: Model = None,
    reason: Reason = "",
    timeout: Timeout = None,
    gate_data: GateData = None,
    override: OverrideReason = None,
    as_json: Json = False,
) -> None:
    """Let MODEL score every event beside the one that serves, and decide nothing."""

    def command(settings: Settings, order: Order) -> Outcome:
        source = None if model is None else resolve_model(settings, model)
        return commands.try_out(settings, order, source, None, gates(settings, gate_data, override))

    check_reason(override)
    commanded("trying out", command, reason, timeout, as_json)


@app.command(epilog="Example: stream-app canary models/8.pt --percent 5")
def canary(
    model: Model = None,
    percent: Annotated[
        float, typer.Option(min=0.01, max=100.0, help="Share of the customers; a larger one holds the smaller.")
    ] = 5.0,
    reason: Reason = "",
    timeout: Timeout = None,
    gate_data: GateData = None,
    override: OverrideReason = None,
    as_json: Json = False,
) -> None:
    """Let MODEL decide for a share of the customers, by hash of their ids, and score beside the others."""

    def command(settings: Settings, order: Order) -> Outcome:
        source = None if model is None else resolve_model(settings, model)
        return commands.try_out(settings, order, source, percent, gates(settings, gate_data, override))

    check_reason(override)
    commanded("trying out", command, reason, timeout, as_json)


@app.command(epilog='Example: stream-app promote --reason "a day without findings"')
def promote(reason: Reason = "", timeout: Timeout = None, as_json: Json = False) -> None:
    """Serve the candidate, from warm memory. The model that served becomes the previous one."""
    commanded("promoting", commands.promote, reason, timeout, as_json)


@app.command(epilog='Example: stream-app abort --reason "wrong file"')
def abort(reason: Reason = "", timeout: Timeout = None, as_json: Json = False) -> None:
    """Drop what is staged or, where nothing is, the candidate. What serves goes on serving."""
    commanded("aborting", commands.abort, reason, timeout, as_json)


@app.command(epilog='Example: stream-app freeze --reason "holiday season"')
def freeze(reason: Reason = "", as_json: Json = False) -> None:
    """Forbid the guard to act: it goes on reporting. What people command has its effect as before."""
    commanded("freezing", lambda settings, order: commands.freeze(settings, order, True), reason, None, as_json)


@app.command(epilog="Example: stream-app unfreeze")
def unfreeze(reason: Reason = "", as_json: Json = False) -> None:
    """Allow the guard to act again, as its setting says."""
    commanded("unfreezing", lambda settings, order: commands.freeze(settings, order, False), reason, None, as_json)
