"""What became of commands and models, from the swap log alone. Pure."""

from schemas.rollout import Abort, Activate, Rollback, Stage
from stream_app.rollout.state import Release, Rollout
from stream_app.rollout.swap_log import Entry, SwapLog


def is_since(log: SwapLog, entry: Entry, command_id: str) -> bool:
    """Whether a worker that applied this command is at least as far as the entry: maybe at a later one."""
    applied = log.find(command_id)
    return applied is not None and applied.offset >= entry.offset


def release(log: SwapLog, model: str) -> Release | None:
    """Where a model was last staged from, by the start of its digest or its version; None where it never was."""
    staged = [e.command for e in log.entries if e.refused is None and isinstance(e.command, Stage)]
    found = (s for s in reversed(staged) if s.model.sha256.startswith(model) or s.model.version == model)
    return next((Release(s.model, s.uri) for s in found), None)


def of(log: SwapLog, stage: Stage) -> Activate | str | None:
    """What ended a stage: its activation, or why there was none; None while it is pending or not yet read."""
    entry = log.find(stage.command_id)
    if entry is None or entry.refused is not None:
        return entry.refused if entry else None
    later = (e for e in log.entries if e.offset > entry.offset and e.refused is None)
    match next((e.command for e in later if not _pending(e.after, stage)), None):
        case None:
            return None
        case Activate() as activation:
            return activation
        case Abort() as abort:
            return abort.reason or f"aborted by {abort.issuer}"
        case Stage() as newer:
            return f"{newer.issuer} staged {newer.model} instead"
        case other:
            return f"{other.issuer} {'rolled back' if isinstance(other, Rollback) else 'promoted it'} meanwhile"


def in_effect(rollout: Rollout) -> str:
    """What decides, as a sentence without an end."""
    serving, candidate = rollout.serving, rollout.candidate
    name = str(serving.model) if serving else "nothing"
    if candidate is None:
        return f"{name} serves"
    if candidate.percent:
        return f"{candidate.release.model} decides for {candidate.percent:g} % of the customers, {name} for the others,"
    return f"{candidate.release.model} is the shadow of {name}"


def _pending(rollout: Rollout, stage: Stage) -> bool:
    return rollout.pending is not None and rollout.pending.stage_id == stage.command_id
