"""`stream-app deploy`, `rollback` and `models`: what serves, by commands onto `model-swap`, and what the log says."""

import getpass
import socket
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from stream_app.cli.invocation import connected_settings
from stream_app.cli.source import PLACES, located
from stream_app.cli.terminal import console, out, out_json, waiting
from stream_app.cli.tracking import tell_registry

if TYPE_CHECKING:
    from schemas.rollout import GateVerdict
    from stream_app.rollout.cache import Source
    from stream_app.rollout.watch import Outcome
    from stream_app.settings import Settings

Reason = Annotated[str, typer.Option(help="Why, for the audit trail.")]
Timeout = Annotated[
    float | None,
    typer.Option(min=0.1, metavar="SECONDS", help="How long to wait. Default: as long as workers may take."),
]
GateData = Annotated[
    Path | None,
    typer.Option(metavar="DATA", help="Recent transactions: the gates must let MODEL pass. Default: the setting."),
]
OverrideReason = Annotated[
    str | None, typer.Option(metavar="REASON", help="Put MODEL through whatever the gates say; goes on record.")
]
Json = Annotated[bool, typer.Option("--json", help="As JSON.")]


def deploy(
    *,
    model: Annotated[
        str,
        typer.Argument(
            metavar="MODEL",
            help=f"Where workers read it: {PLACES}.",
        ),
    ],
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
    settings = connected_settings()
    source = located(settings, model)
    from stream_app.kafka import topics
    from stream_app.rollout import commands

    topics.ensure(settings)
    with waiting("deploying") as tell:

        def issue(verdict: "GateVerdict | None") -> "Outcome":
            return commands.deploy(settings, source, issuer(), reason, timeout, tell, gates=verdict)

        outcome = judged(settings, source, gate_data, override, tell, issue)
    conclude(settings, outcome, as_json)


def check_reason(override: str | None) -> None:
    """An override without a reason is called wrongly."""
    if override is not None and not override.strip():
        raise typer.BadParameter("say why", param_hint="--override")


def judged(
    settings: "Settings",
    model: "Source",
    data: Path | None,
    override: str | None,
    tell: Callable[[str], None],
    issue: "Callable[[GateVerdict | None], Outcome]",
) -> "Outcome":
    """Ask the gates, where there is data to ask them with; issue the command with their verdict unless they refuse."""
    from stream_app.rollout import gating
    from stream_app.rollout.watch import Outcome

    forced = gating.Override(issuer(), override) if override else None
    try:
        return issue(gating.admit(settings, model, issuer(), data or settings.gate_data, forced, tell))
    except gating.Refused as refused:
        return Outcome(ok=False, sentence=str(refused))


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
    conclude(settings, outcome, as_json)


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


def conclude(settings: "Settings", outcome: "Outcome", as_json: bool) -> None:
    """Print the outcome, tell the registry if the log has changed; the exit code says the outcome too."""
    if as_json:
        out_json(outcome)
    else:
        out(outcome.sentence)
    if outcome.command_id:
        tell_registry(settings)
    if not outcome.ok:
        raise typer.Exit(1)


def register(app: typer.Typer) -> None:
    """Add the commands of this module."""
    app.command(epilog='Example: stream-app deploy models/7.pt --reason "weekly retraining"')(deploy)
    app.command(epilog='Example: stream-app rollback --reason "false positives up by 30 %"')(rollback)
    app.command(epilog="Example: stream-app models --json")(models)
