"""What a command means: the state before it in, the state after it out, the same for all who read the same log.

    Stage      the model becomes pending; a newer stage replaces an older one
    Activate   the pending model does what it was staged for. It serves, what served becomes the previous one, and a
               candidate is dropped; or it becomes the candidate, beside what serves
    Abort      the pending model or the candidate of that stage is dropped
    Shadow     the candidate decides nothing
    Canary     the candidate decides for so many percent of the customers
    Promote    the candidate serves, what served becomes the previous one
    Rollback   the candidate is dropped; where there is none, serving and previous change places. A pending stage is
               dropped: after a rollback nothing changes again until somebody commands it
    Freeze     automatic promotions and rollbacks change nothing, until Unfreeze

What a rollback leaves is no way back: it is returned to only where a command names it, and is one again once it has
been deployed or promoted. A rollback to what is not warm is a stage of that purpose.

After an activation or a promotion the previous model is compared with what serves for a while (`probation`).

A command that does not fit is ignored, with the reason: known id, expired, about a stage that is neither pending nor
the candidate, a stage of what serves already, a rollback to what is not warm. Expiry is judged by the record's Kafka
timestamp, never by a local clock, or two workers could read the same log differently.
"""

from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import assert_never

from rpds import HashTrieSet

from schemas.rollout import (
    Abort,
    Activate,
    Canary,
    Command,
    Freeze,
    GateVerdict,
    Promote,
    Rollback,
    Shadow,
    Stage,
    StagePurpose,
    Unfreeze,
)
from schemas.scoring import ModelRef

EARLIER_MOST = 16  # further back a rollback names its model; without a limit, n deploys would hold n x n


@dataclass(frozen=True, slots=True)
class Release:
    """A model, and where workers fetch it."""

    model: ModelRef
    uri: str


@dataclass(frozen=True, slots=True)
class Pending:
    """A staged release that waits for its activation."""

    stage_id: str
    release: Release
    expires_at: datetime | None = None
    role: StagePurpose = StagePurpose.SERVE
    percent: float = 0.0
    gates: GateVerdict | None = None


@dataclass(frozen=True, slots=True)
class Candidate:
    """A release that is tried out beside the one that serves.

    Attributes:
        stage_id: The stage that it came of.
        release: What it is.
        percent: Of the customers, for whom it decides; 0 for a shadow.
    """

    stage_id: str
    release: Release
    percent: float


@dataclass(frozen=True, slots=True)
class Probation:
    """What serves is compared with the previous model since this command put it in service."""

    command_id: str
    since: datetime


@dataclass(frozen=True, slots=True)
class Rollout:
    """The state that a log prescribes.

    Attributes:
        serving: In service; None before the first activation.
        previous: What served before, and is warm: it is compared with, and a rollback to it loads nothing.
        earlier: What rollbacks return to, the nearest first: what served and was not rolled back from since.
        pending: Staged, not yet active.
        candidate: Tried out beside `serving`.
        probation: Since when the previous model is compared with `serving`; None where that was never new, or there is
            a candidate to compare.
        frozen: Automatic action changes nothing.
        command_id: The command that put in service what decides now: `serving`, and the candidate's share.
        seen: Ids of every command so far, so that a duplicate changes nothing. Shared with the state before: a history
            of n commands that each had a copy would take n x n.
    """

    serving: Release | None = None
    previous: Release | None = None
    earlier: tuple[Release, ...] = ()
    pending: Pending | None = None
    candidate: Candidate | None = None
    probation: Probation | None = None
    frozen: bool = False
    command_id: str = ""
    seen: "HashTrieSet[str]" = field(default_factory=HashTrieSet)

    @property
    def before(self) -> Release | None:
        """What a rollback from `serving` returns to; None where nothing is left."""
        return self.earlier[0] if self.earlier else None

    @property
    def way_back(self) -> Release | None:
        """What decides alone after a rollback that names nothing; None where nothing is left to return to."""
        return self.serving if self.candidate is not None else self.before

    @property
    def in_effect(self) -> str:
        """What decides, as a sentence without an end."""
        name = str(self.serving.model) if self.serving else "nothing"
        candidate = self.candidate
        if candidate is None:
            return f"{name} serves"
        if candidate.percent:
            share = f"{candidate.percent:g} % of the customers"
            return f"{candidate.release.model} decides for {share}, {name} for the others,"
        return f"{candidate.release.model} is the shadow of {name}"

    @property
    def kept(self) -> tuple[Release, ...]:
        """The releases that a worker keeps warm, the most urgent first."""
        candidate = self.candidate.release if self.candidate else None
        pending = self.pending.release if self.pending else None
        kept = (self.serving, self.previous, candidate, pending)
        return tuple(dict.fromkeys(release for release in kept if release is not None))


def apply(state: Rollout, command: Command, at: datetime) -> tuple[Rollout, str | None]:
    """The state after one command, and why it was ignored if it was.

    Args:
        state: Before.
        command: What the record says.
        at: The record's Kafka timestamp.
    """
    if command.command_id in state.seen:
        return state, f"command {command.command_id} was given before"
    state = replace(state, seen=state.seen.insert(command.command_id))
    if command.expires_at is not None and at > command.expires_at:
        return state, f"it expired at {command.expires_at.isoformat()} and was written at {at.isoformat()}"
    return _effect(state, command, at)


def _effect(state: Rollout, command: Command, at: datetime) -> tuple[Rollout, str | None]:  # noqa: PLR0911 - one each
    match command:
        case Stage():
            return _stage(state, command)
        case Activate():
            return _activate(state, command, at)
        case Abort():
            return _abort(state, command)
        case Shadow() | Canary():
            return _share(state, command)
        case Promote():
            return _promote(state, command, at)
        case Rollback():
            return _rollback(state, command)
        case Freeze() | Unfreeze():
            return _freeze(state, isinstance(command, Freeze))
        case _:
            assert_never(command)


def _stage(state: Rollout, command: Stage) -> tuple[Rollout, str | None]:
    name = f"{command.model.name} {command.model.version}"
    release = Release(command.model, command.uri)
    if _is(state.serving, command.model.sha256) and (
        command.role is not StagePurpose.SERVE or state.serving == release
    ):
        return state, f"{name} serves already"
    if command.role in (StagePurpose.SERVE, StagePurpose.ROLLBACK):
        pending = Pending(command.command_id, release, command.expires_at, command.role, gates=command.gates)
        return replace(state, pending=pending), None
    if state.serving is None:
        return state, f"nothing serves beside which {name} could be tried out"
    if state.candidate is not None and _is(state.candidate.release, command.model.sha256):
        return state, f"{name} is the candidate already"
    if command.role is StagePurpose.CANARY and command.percent is None:
        return state, "a canary needs the percentage of customers that it decides for"
    share = command.percent if command.role is StagePurpose.CANARY else None
    pending = Pending(command.command_id, release, command.expires_at, command.role, share or 0.0, command.gates)
    return replace(state, pending=pending), None


def _activate(state: Rollout, command: Activate, at: datetime) -> tuple[Rollout, str | None]:
    pending = state.pending
    if pending is None or pending.stage_id != command.stage_id:
        return state, f"stage {command.stage_id} is not pending"
    if pending.expires_at is not None and at > pending.expires_at:
        return state, f"stage {command.stage_id} expired at {pending.expires_at.isoformat()}"
    state = replace(state, pending=None)
    if pending.role is StagePurpose.SERVE:
        return _put_in_service(state, pending.release, command.command_id, at), None
    if pending.role is StagePurpose.ROLLBACK:
        return _return_to(state, pending.release, command.command_id), None
    candidate = Candidate(pending.stage_id, pending.release, pending.percent)
    return replace(state, candidate=candidate, probation=None, command_id=command.command_id), None


def _abort(state: Rollout, command: Abort) -> tuple[Rollout, str | None]:
    if state.pending is not None and state.pending.stage_id == command.stage_id:
        return replace(state, pending=None), None
    if state.candidate is not None and state.candidate.stage_id == command.stage_id:
        return replace(state, candidate=None, command_id=command.command_id), None
    return state, f"stage {command.stage_id} is neither pending nor the candidate"


def _share(state: Rollout, command: Shadow | Canary) -> tuple[Rollout, str | None]:
    candidate = state.candidate
    if candidate is None or candidate.stage_id != command.stage_id:
        return state, f"stage {command.stage_id} is not the candidate"
    percent = command.percent if isinstance(command, Canary) else 0.0
    if percent == candidate.percent:
        return state, f"the candidate decides for {percent:g} % of the customers already"
    return replace(state, candidate=replace(candidate, percent=percent), command_id=command.command_id), None


def _promote(state: Rollout, command: Promote, at: datetime) -> tuple[Rollout, str | None]:
    candidate = state.candidate
    if command.automatic and state.frozen:
        return state, "automatic action is frozen"
    if candidate is None or candidate.stage_id != command.stage_id:
        return state, f"stage {command.stage_id} is not the candidate"
    if state.pending is not None and _is(candidate.release, state.pending.release.model.sha256):
        state = replace(state, pending=None)
    return _put_in_service(state, candidate.release, command.command_id, at), None


def _put_in_service(state: Rollout, release: Release, command_id: str, at: datetime) -> Rollout:
    """Serve it. What serves already, from another place now, is not its own predecessor: the way back stays."""
    if _is(state.serving, release.model.sha256):
        return replace(state, serving=release, command_id=command_id)
    probation = Probation(command_id, at) if state.serving is not None else None
    before = (state.serving, *state.earlier) if state.serving is not None else ()
    return replace(
        state,
        serving=release,
        previous=state.serving,
        earlier=_without(before, release)[:EARLIER_MOST],
        candidate=None,
        probation=probation,
        command_id=command_id,
    )


def _return_to(state: Rollout, release: Release, command_id: str) -> Rollout:
    """Serve it again. It, what came after it and what is left now are no ways back any more."""
    shas = [known.model.sha256 for known in state.earlier]
    passed = shas.index(release.model.sha256) + 1 if release.model.sha256 in shas else 0
    earlier = state.earlier[passed:]
    return replace(
        state,
        serving=release,
        previous=state.serving,
        earlier=_without(earlier, state.serving) if state.serving is not None else earlier,
        pending=None,
        candidate=None,
        probation=None,
        command_id=command_id,
    )


def _without(releases: tuple[Release, ...], one: Release) -> tuple[Release, ...]:
    return tuple(release for release in releases if not _is(release, one.model.sha256))


def _rollback(state: Rollout, command: Rollback) -> tuple[Rollout, str | None]:
    if command.automatic and state.frozen:
        return state, "automatic action is frozen"
    target = command.to or (state.way_back.model.sha256 if state.way_back is not None else None)
    if target is None:
        return state, "there is no model left to go back to"
    if _is(state.serving, target):
        if state.candidate is None:
            return state, f"model {target[:12]} decides alone already"
        return replace(state, pending=None, candidate=None, probation=None, command_id=command.command_id), None
    if state.previous is None or not _is(state.previous, target):
        return state, f"model {target[:12]} is not the previous one, nobody has it warm: deploy it"
    return _return_to(state, state.previous, command.command_id), None


def _freeze(state: Rollout, frozen: bool) -> tuple[Rollout, str | None]:
    if state.frozen is frozen:
        return state, f"automatic action is {'frozen' if frozen else 'allowed'} already"
    return replace(state, frozen=frozen), None


def _is(release: Release | None, sha256: str) -> bool:
    return release is not None and release.model.sha256 == sha256
