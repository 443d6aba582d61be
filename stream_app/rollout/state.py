"""What a log of commands means: a pure fold, so that all who read the same log, from whenever, serve the same model.

    Stage      the model becomes pending; a newer stage replaces an older one
    Activate   the pending model serves, what served becomes the previous one
    Abort      the pending model is dropped
    Rollback   serving and previous change places (so a second one undoes the first), and a pending stage is dropped:
               after a rollback nothing changes again until somebody deploys

A command that does not fit is ignored, with the reason: known id, expired, about a stage that is not pending, a stage
of what serves already, a rollback without a previous model. A record that is no command is refused, with the reason.
Neither stops anybody. Expiry is judged by the record's Kafka timestamp, never by a local clock, or two workers could
read the same log differently.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Protocol, assert_never

import msgspec

from schemas.rollout import Abort, Activate, Command, Rollback, Stage
from schemas.transactions import ModelRef

COMMAND_MAX_BYTES = 64 * 1024
_DECODER: msgspec.json.Decoder[Command] = msgspec.json.Decoder(Command)


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


@dataclass(frozen=True, slots=True)
class Rollout:
    """The state that a log prescribes.

    Attributes:
        serving: In service; None before the first activation.
        previous: What a rollback would serve.
        pending: Staged, not yet active.
        command_id: The command that put `serving` in service.
        seen: Ids of every command so far, so that a duplicate changes nothing.
    """

    serving: Release | None = None
    previous: Release | None = None
    pending: Pending | None = None
    command_id: str = ""
    seen: frozenset[str] = frozenset()

    @property
    def kept(self) -> tuple[Release, ...]:
        """The releases that a worker keeps warm, the most urgent first."""
        pending = self.pending.release if self.pending else None
        return tuple(release for release in (self.serving, self.previous, pending) if release is not None)


@dataclass(frozen=True, slots=True)
class Entry:
    """One record of the log and what became of it.

    Attributes:
        offset: Its place on `model-swap`.
        at: Its Kafka timestamp.
        command: What it says; None where it is no command.
        refused: Why it changed nothing; None where it did its work.
        after: The state from here on.
    """

    offset: int
    at: datetime
    command: Command | None
    refused: str | None
    after: Rollout


class Record(Protocol):
    """What is asked of a Kafka message."""

    def offset(self) -> int | None:
        """Its place on the log."""

    def timestamp(self) -> tuple[int, int]:
        """Kind, and milliseconds since the epoch."""

    def value(self) -> bytes | None:
        """The encoded command."""


def read(state: Rollout, record: Record) -> Entry:
    """The effect of one record on the state. Never raises, whatever the record holds."""
    at = datetime.fromtimestamp(max(record.timestamp()[1], 0) / 1000, UTC)
    offset = record.offset() or 0
    try:
        command = decode(record.value())
    except ValueError as error:
        return Entry(offset, at, None, str(error), state)
    after, refused = apply(state, command, at)
    return Entry(offset, at, command, refused, after)


def fold(records: Iterable[Record], state: Rollout | None = None) -> list[Entry]:
    """The effect of each record in turn."""
    entries: list[Entry] = []
    for record in records:
        entries.append(read(entries[-1].after if entries else state or Rollout(), record))
    return entries


def encode(command: Command) -> bytes:
    """As JSON."""
    return msgspec.json.encode(command)


def decode(value: bytes | None) -> Command:
    """From JSON.

    Raises:
        ValueError: the bytes are no command; the message says why.
    """
    if not value:
        raise ValueError("the record is empty")
    if len(value) > COMMAND_MAX_BYTES:
        raise ValueError(f"the record has {len(value)} bytes, a command has at most {COMMAND_MAX_BYTES}")
    try:
        return _DECODER.decode(value)
    except (msgspec.DecodeError, RecursionError, UnicodeError) as error:
        raise ValueError(f"not a command: {error}") from error


def apply(state: Rollout, command: Command, at: datetime) -> tuple[Rollout, str | None]:
    """The state after one command, and why it was ignored if it was.

    Args:
        state: Before.
        command: What the record says.
        at: The record's Kafka timestamp.
    """
    if command.command_id in state.seen:
        return state, f"command {command.command_id} was given before"
    state = replace(state, seen=state.seen | {command.command_id})
    if command.expires_at is not None and at > command.expires_at:
        return state, f"it expired at {command.expires_at.isoformat()} and was written at {at.isoformat()}"
    match command:
        case Stage():
            return _stage(state, command)
        case Activate():
            return _activate(state, command, at)
        case Abort():
            return _abort(state, command)
        case Rollback():
            return _rollback(state, command)
        case _:
            assert_never(command)


def _stage(state: Rollout, command: Stage) -> tuple[Rollout, str | None]:
    if state.serving is not None and state.serving.model.sha256 == command.model.sha256:
        # Activating it would make it its own predecessor, and the way back would be lost.
        return state, f"{command.model.name} {command.model.version} serves already"
    release = Release(command.model, command.uri)
    return replace(state, pending=Pending(command.command_id, release, command.expires_at)), None


def _activate(state: Rollout, command: Activate, at: datetime) -> tuple[Rollout, str | None]:
    pending = state.pending
    if pending is None or pending.stage_id != command.stage_id:
        return state, f"stage {command.stage_id} is not pending"
    if pending.expires_at is not None and at > pending.expires_at:
        return state, f"stage {command.stage_id} expired at {pending.expires_at.isoformat()}"
    served = replace(
        state, serving=pending.release, previous=state.serving, pending=None, command_id=command.command_id
    )
    return served, None


def _abort(state: Rollout, command: Abort) -> tuple[Rollout, str | None]:
    if state.pending is None or state.pending.stage_id != command.stage_id:
        return state, f"stage {command.stage_id} is not pending"
    return replace(state, pending=None), None


def _rollback(state: Rollout, command: Rollback) -> tuple[Rollout, str | None]:
    if state.previous is None:
        return state, "there is no previous model to go back to"
    swapped = replace(
        state, serving=state.previous, previous=state.serving, pending=None, command_id=command.command_id
    )
    return swapped, None
