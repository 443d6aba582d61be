"""`stream-app shadow`, `canary`, `promote`, `abort`, `freeze`, `unfreeze`: a model beside the one that serves."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from stream_app.cli.invocation import connected_settings
from stream_app.cli.rollout import (
    GateData,
    Json,
    OverrideReason,
    Reason,
    Timeout,
    check_reason,
    conclude,
    issuer,
    judged,
)
from stream_app.cli.source import located
from stream_app.cli.terminal import waiting

if TYPE_CHECKING:
    from schemas.rollout import GateVerdict
    from stream_app.rollout.watch import Outcome

Model = Annotated[
    str | None,
    typer.Argument(metavar="[MODEL]", help="A model artefact, as for `deploy`. Default: the candidate that there is."),
]


def shadow(
    model: Model = None,
    reason: Reason = "",
    timeout: Timeout = None,
    gate_data: GateData = None,
    override: OverrideReason = None,
    as_json: Json = False,
) -> None:
    """Let MODEL score every transaction beside the one that serves, and decide nothing."""
    _try_out(model, None, (reason, timeout), (gate_data, override), as_json)


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
    _try_out(model, percent, (reason, timeout), (gate_data, override), as_json)


def promote(reason: Reason = "", timeout: Timeout = None, as_json: Json = False) -> None:
    """Serve the candidate, from warm memory. The model that served becomes the previous one."""
    settings = connected_settings()
    from stream_app.kafka import topics
    from stream_app.rollout import commands

    topics.ensure(settings)
    with waiting("promoting") as tell:
        outcome = commands.promote(settings, issuer(), reason, timeout, tell)
    conclude(settings, outcome, as_json)


def abort(reason: Reason = "", timeout: Timeout = None, as_json: Json = False) -> None:
    """Drop what is staged or, where nothing is, the candidate. What serves goes on serving."""
    settings = connected_settings()
    from stream_app.kafka import topics
    from stream_app.rollout import commands

    topics.ensure(settings)
    with waiting("aborting") as tell:
        outcome = commands.abort(settings, issuer(), reason, timeout, tell)
    conclude(settings, outcome, as_json)


def freeze(reason: Reason = "", as_json: Json = False) -> None:
    """Forbid the guard to act: it goes on reporting. What people command has its effect as before."""
    _freeze(True, reason, as_json)


def unfreeze(reason: Reason = "", as_json: Json = False) -> None:
    """Allow the guard to act again, as its setting says."""
    _freeze(False, reason, as_json)


def _try_out(
    model: str | None,
    percent: float | None,
    how: tuple[str, float | None],
    gating: tuple[Path | None, str | None],
    as_json: bool,
) -> None:
    """A new candidate passes the gates first, as a deploy does; one that is there has passed them."""
    check_reason(gating[1])
    settings = connected_settings()
    source = None if model is None else located(settings, model)
    from stream_app.kafka import topics
    from stream_app.rollout import commands

    topics.ensure(settings)
    with waiting("trying out") as tell:

        def issue(verdict: "GateVerdict | None") -> "Outcome":
            return commands.try_out(settings, source, percent, issuer(), *how, tell, gates=verdict)

        outcome = issue(None) if source is None else judged(settings, source, *gating, tell, issue)
    conclude(settings, outcome, as_json)


def _freeze(frozen: bool, reason: str, as_json: bool) -> None:
    settings = connected_settings()
    from stream_app.kafka import topics
    from stream_app.rollout import commands

    topics.ensure(settings)
    conclude(settings, commands.freeze(settings, frozen, issuer(), reason), as_json)


def register(app: typer.Typer) -> None:
    """Add the commands of this module."""
    app.command(epilog="Example: stream-app shadow models/8.pt")(shadow)
    app.command(epilog="Example: stream-app canary models/8.pt --percent 5")(canary)
    app.command(epilog='Example: stream-app promote --reason "a day without findings"')(promote)
    app.command(epilog='Example: stream-app abort --reason "wrong file"')(abort)
    app.command(epilog='Example: stream-app freeze --reason "holiday season"')(freeze)
    app.command(epilog="Example: stream-app unfreeze")(unfreeze)
