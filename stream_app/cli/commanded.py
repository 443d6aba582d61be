"""What all commands onto the swap log share: settings, topics, the order, the outcome on stdout and the exit code."""

from collections.abc import Callable
from pathlib import Path

import typer

from models.registry import registry
from stream_app.cli.configured import connected_settings
from stream_app.cli.invocation import issuer
from stream_app.cli.terminal import out, out_json, say, waiting
from stream_app.kafka import topics
from stream_app.rollout.client import Order, Outcome
from stream_app.rollout.commands import Gate, Refused, ungated
from stream_app.settings import Settings

GOES_ON = "it is on the log, and goes on: `stream-app status` shows it, `stream-app abort` drops what is staged"


def commanded(
    doing: str, command: Callable[[Settings, Order], Outcome], reason: str, timeout_s: float | None, as_json: bool
) -> None:
    """Give a command and print its outcome; the exit code tells too. The registry follows by itself.

    Args:
        doing: What is shown while it is waited for.
        command: One of `stream_app.rollout.commands`, with its own arguments.
        reason: Why, for the audit trail.
        timeout_s: How long to wait.
        as_json: Print the outcome as JSON.
    """
    settings = connected_settings()
    topics.ensure(settings)
    news: list[str] = []
    with waiting(doing) as on_progress:

        def tell(sentence: str) -> None:  # nothing comes before the command is on the log
            news.append(sentence)
            on_progress(sentence)

        try:
            outcome = command(settings, Order(issuer(), reason, timeout_s, tell))
        except Refused as refused:
            outcome = Outcome(ok=False, sentence=str(refused))
        except KeyboardInterrupt:
            if news:
                say(f"{news[-1]}: {GOES_ON}")
            raise
    if as_json:
        out_json(outcome)
    else:
        (out if outcome.ok else say)(outcome.sentence)
    if outcome.command_id and registry.in_use(settings.tracking_uri):
        say("the registry's aliases follow within a minute: a worker moves them")
    if not outcome.ok:
        raise typer.Exit(1)


def check_reason(override: str | None) -> None:
    """Refuse an override without a reason as a wrong call."""
    if override is not None and not override.strip():
        raise typer.BadParameter("say why", param_hint="--override")


def gates(settings: Settings, data: Path | None, override: str | None) -> Gate:
    """The gates, where there is data to ask them with or an override to put on record."""
    data = data or settings.gate_data
    if data is None and not override:
        return ungated
    from stream_app.rollout.gating import Gates  # torch and polars: only where models are compared

    return Gates(settings, data, override or "")
