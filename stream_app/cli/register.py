"""The swap log in, one entry for each model that was ever staged out: where it is from, and what became of it. Pure."""

from collections.abc import Sequence
from datetime import datetime
from enum import StrEnum

import msgspec
from msgspec import Struct

from schemas.rollout import Abort, Stage
from stream_app.rollout.entries import Entry
from stream_app.rollout.state import Release, Rollout


class ModelState(StrEnum):
    """What became of a model."""

    SERVING = "serving"
    PREVIOUS = "previous"
    SHADOW = "shadow"
    CANARY = "canary"
    STAGED = "staged"
    REFUSED = "refused"
    RETIRED = "retired"


class ModelEntry(Struct, frozen=True):
    """One model, by its latest stage. `reason` says why it was refused."""

    name: str
    version: str
    sha256: str
    uri: str
    state: ModelState
    reason: str
    staged_at: datetime
    issuer: str


def entries(log: Sequence[Entry]) -> list[ModelEntry]:
    """One entry for each digest, in the order of the first stage.

    Args:
        log: Every record of `model-swap` and what it did.
    """
    rollout = log[-1].after if log else Rollout()
    found: dict[str, ModelEntry] = {}
    digest_of: dict[str, str] = {}
    for entry in log:
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
                state=_state(command.model.sha256, rollout),
                reason="",
                staged_at=command.issued_at,
                issuer=command.issuer,
            )
        elif isinstance(command, Abort):
            sha256 = digest_of.get(command.stage_id, "")
            if sha256 in found and found[sha256].state is ModelState.RETIRED:
                found[sha256] = msgspec.structs.replace(found[sha256], state=ModelState.REFUSED, reason=command.reason)
    return list(found.values())


def _state(sha256: str, rollout: Rollout) -> ModelState:
    def is_it(release: Release | None) -> bool:
        return release is not None and release.model.sha256 == sha256

    if is_it(rollout.serving):
        return ModelState.SERVING
    if is_it(rollout.previous):
        return ModelState.PREVIOUS
    if rollout.candidate is not None and is_it(rollout.candidate.release):
        return ModelState.CANARY if rollout.candidate.percent else ModelState.SHADOW
    if is_it(rollout.pending.release if rollout.pending else None):
        return ModelState.STAGED
    return ModelState.RETIRED
