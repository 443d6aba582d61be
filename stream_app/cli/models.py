"""`stream-app models`: every model that was ever staged, where it is from, and what became of it."""

from datetime import datetime
from enum import StrEnum

import msgspec
import typer
from msgspec import Struct
from rich.markup import escape

from schemas.rollout import Abort, Stage
from stream_app.cli.configured import connected_settings
from stream_app.cli.options import Json
from stream_app.cli.readable import clean
from stream_app.cli.terminal import console, out, out_json, table
from stream_app.rollout.state import Release, Rollout
from stream_app.rollout.swap_log import SwapLog, read_swap_log

app = typer.Typer(rich_markup_mode=None)


class ModelState(StrEnum):
    """What became of a model."""

    SERVING = "serving"
    PREVIOUS = "previous"
    SHADOW = "shadow"
    CANARY = "canary"
    STAGED = "staged"
    REFUSED = "refused"
    ROLLED_BACK = "rolled back"
    RETIRED = "retired"


class ModelEntry(Struct, frozen=True):
    """One model, by its latest stage. `reason` says why it was refused or rolled back, and who rolled back."""

    name: str
    version: str
    sha256: str
    uri: str
    state: ModelState
    reason: str
    staged_at: datetime
    issuer: str


@app.command(epilog="Example: stream-app models --json")
def models(as_json: Json = False) -> None:
    """Show every model that was ever staged: which serves, which a rollback returns to, what became of the others."""
    found = staged_models(read_swap_log(connected_settings()))
    if as_json:
        out_json(found)
        return
    if not found:
        out("no model was ever staged: deploy one with stream-app deploy MODEL")
        return
    shown = table("model", "version", "sha256", "state", "staged", "by", "from")
    for e in found:
        state = ", ".join(filter(None, (e.state, e.reason)))
        cells = (e.name, e.version, e.sha256[:12], state, f"{e.staged_at:%Y-%m-%d %H:%M}", e.issuer, e.uri)
        shown.add_row(*(escape(clean(cell)) for cell in cells))
    console().print(shown)


def staged_models(log: SwapLog) -> list[ModelEntry]:
    """One entry for each digest on the swap log, in the order of the first stage."""
    found: dict[str, ModelEntry] = {}
    digest_of: dict[str, str] = {}
    for entry in log.entries:
        command = entry.command
        if entry.refused is not None:
            continue
        if isinstance(command, Stage):
            digest_of[command.command_id] = command.model.sha256
            found[command.model.sha256] = ModelEntry(
                name=command.model.name,
                version=command.model.version,
                sha256=command.model.sha256,
                uri=command.uri,
                state=_state(command.model.sha256, log.rollout),
                reason="",
                staged_at=command.issued_at,
                issuer=command.issuer,
            )
        elif isinstance(command, Abort):
            sha256 = digest_of.get(command.stage_id, "")
            if sha256 in found and found[sha256].state is ModelState.RETIRED:
                found[sha256] = msgspec.structs.replace(found[sha256], state=ModelState.REFUSED, reason=command.reason)
    for swap in log.swaps:
        if swap.left is not None and found[swap.left.sha256].state is ModelState.RETIRED:
            why = ": ".join(filter(None, (f"by {swap.issuer}", swap.reason)))
            found[swap.left.sha256] = msgspec.structs.replace(
                found[swap.left.sha256], state=ModelState.ROLLED_BACK, reason=why
            )
    return list(found.values())


def _state(sha256: str, rollout: Rollout) -> ModelState:
    def is_it(release: Release | None) -> bool:
        return release is not None and release.model.sha256 == sha256

    if is_it(rollout.serving):
        return ModelState.SERVING
    if is_it(rollout.before):
        return ModelState.PREVIOUS
    if rollout.candidate is not None and is_it(rollout.candidate.release):
        return ModelState.CANARY if rollout.candidate.percent else ModelState.SHADOW
    if is_it(rollout.pending.release if rollout.pending else None):
        return ModelState.STAGED
    return ModelState.RETIRED
