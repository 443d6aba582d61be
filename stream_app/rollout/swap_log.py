"""The swap log, read: each record with what became of it, and the state that the log prescribes from there on.

This is the only interpretation of `model-swap`: a pure fold, so that worker, page and command line, whenever they read
it, come to the same state. A record that is not a command is refused, with the reason, and stops nothing. Signatures
are judged by record and settings alone, and before the id counts as seen, or a forged record could use up the id of
the true one.
"""

from dataclasses import dataclass
from datetime import UTC, datetime

import msgspec
from msgspec import Struct

from schemas.rollout import Abort, Activate, Command, Rollback, Stage
from schemas.scoring import ModelRef
from schemas.topics import MODEL_SWAP
from stream_app.kafka.log import Record, read_to_end
from stream_app.kafka.records import RecordDecoder, Unreadable, moment_of
from stream_app.rollout.state import Release, Rollout, apply
from stream_app.rollout.trust import UNCHECKED, Trust, trust
from stream_app.settings import Settings

COMMAND_MAX_BYTES = 64 * 1024
_DECODER: RecordDecoder[Command] = RecordDecoder(Command, max_bytes=COMMAND_MAX_BYTES)
_LONG_AGO = datetime.fromtimestamp(0, UTC)


@dataclass(frozen=True, slots=True)
class Entry:
    """One record of the log and what became of it.

    Attributes:
        offset: Its offset on `model-swap`.
        at: Its Kafka timestamp, or that of the record before where it has none that can be.
        command: The command; None where the record is not one.
        refused: Why it changed nothing; None where it took effect.
        after: The state from here on.
        signer: The trusted key that signed it; empty where signatures are not checked.
        complaint: What is wrong with its signature. Where signatures are required, that is why it was refused.
    """

    offset: int
    at: datetime
    command: Command | None
    refused: str | None
    after: Rollout
    signer: str = ""
    complaint: str = ""

    @property
    def forged(self) -> bool:
        """Whether it was refused for its signature."""
        return self.refused is not None and bool(self.complaint)


class Swap(Struct, frozen=True):
    """A change of what serves.

    Attributes:
        at: Kafka timestamp of the command that did it.
        issuer: Who commanded it.
        reason: Why.
        left: The model that was rolled back from; None where it was a deploy or a promotion.
        model: What serves since.
        before: What served until then; None where nothing did.
        command_id: Of the stage, the promotion or the rollback that did it.
    """

    at: datetime
    issuer: str
    reason: str
    left: ModelRef | None
    model: ModelRef
    before: ModelRef | None
    command_id: str


class GuardRollback(Struct, frozen=True):
    """A rollback by the guard itself.

    Attributes:
        at: Kafka timestamp of the command.
        left: What it took back: a candidate, or what served.
        serves: What decides since.
    """

    at: datetime
    left: ModelRef
    serves: ModelRef


class SwapLog:
    """The log as far as it has been read. One thread reads it on; any thread may look.

    Attributes:
        entries: Every record so far; only ever appended to.
        rollout: The state that the log prescribes.
        swaps: Each change of what serves.
        guarded: The latest rollback that the guard did; None where it never did one.
    """

    def __init__(self, trust: Trust = UNCHECKED) -> None:
        self.entries: list[Entry] = []
        self.rollout = Rollout()
        self.swaps: list[Swap] = []
        self.guarded: GuardRollback | None = None
        self._trust = trust
        self._by_id: dict[str, Entry] = {}

    def read(self, record: Record) -> Entry:
        """Take in the next record. Never raises, whatever it holds."""
        entry = _effect(self.rollout, record, self._at(record), self._trust)
        before, self.rollout = self.rollout, entry.after
        self.entries.append(entry)
        if entry.command is not None:
            self._index(entry.command.command_id, entry)
            if entry.after.serving is not None and entry.after.serving != before.serving:
                self.swaps.append(self._swap(entry, entry.command, entry.after.serving.model, before.serving))
            if entry.refused is None and isinstance(entry.command, Rollback) and entry.command.automatic:
                self.guarded = _guarded(entry, before)
        return entry

    def swap_to(self, sha256: str) -> Swap | None:
        """The latest swap that put this model in service; None where there was none."""
        return next((swap for swap in reversed(self.swaps) if swap.model.sha256 == sha256), None)

    def find(self, command_id: str) -> Entry | None:
        """The first record with this id: later ones are duplicates. A forged one only if there is no other."""
        return self._by_id.get(command_id)

    def is_since(self, entry: Entry, command_id: str) -> bool:
        """Whether a worker that applied this command is at least as far as the entry: maybe at a later one."""
        applied = self.find(command_id)
        return applied is not None and applied.offset >= entry.offset

    def staged(self, model: str) -> list[Release]:
        """Models by version or the start of the digest, the newest first, each as it was last staged."""
        stages = (e.command for e in reversed(self.entries) if e.refused is None and isinstance(e.command, Stage))
        found: dict[str, Release] = {}
        for stage in stages:
            found.setdefault(stage.model.sha256, Release(stage.model, stage.uri))
        by_version = [release for release in found.values() if release.model.version == model]
        return by_version or [release for sha256, release in found.items() if sha256.startswith(model)]

    @property
    def tried(self) -> list[ModelRef]:
        """Every model that ever served or was a candidate, the newest first."""
        states = (entry.after for entry in reversed(self.entries))
        used = ((s.candidate.release if s.candidate else None, s.serving) for s in states)
        return list(dict.fromkeys(release.model for pair in used for release in pair if release is not None))

    def end_of(self, stage: Stage) -> Activate | str | None:
        """What ended a stage: its activation, or why there was none; None while it is pending or not yet read."""
        entry = self.find(stage.command_id)
        if entry is None or entry.refused is not None:
            return entry.refused if entry else None
        later = (e for e in self.entries if e.offset > entry.offset and e.refused is None)
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

    def _swap(self, entry: Entry, command: Command, model: ModelRef, before: Release | None) -> Swap:
        staged = self.find(command.stage_id) if isinstance(command, Activate) else None
        order = staged.command if staged is not None and staged.command is not None else command
        served = before.model if before is not None else None
        left = served if before not in entry.after.earlier else None
        return Swap(entry.at, order.issuer, order.reason, left, model, served, order.command_id)

    def _at(self, record: Record) -> datetime:
        """When it was written; where its timestamp cannot be one, when the record before it was."""
        return moment_of(record) or (self.entries[-1].at if self.entries else _LONG_AGO)

    def _index(self, command_id: str, entry: Entry) -> None:
        known = self._by_id.get(command_id)
        if known is None or (known.forged and not entry.forged):
            self._by_id[command_id] = entry


def read_swap_log(settings: Settings) -> SwapLog:
    """The log as it stands now, from its first record to its end.

    Raises:
        BrokerError: it cannot be read.
        SettingsError: a trusted key is not a key.
    """
    log = SwapLog(trust(settings))
    for record in read_to_end(settings, MODEL_SWAP):
        log.read(record)
    return log


def encode(command: Command) -> bytes:
    """As JSON."""
    return msgspec.json.encode(command)


def decode(value: bytes | None) -> Command:
    """From JSON.

    Raises:
        ValueError: the bytes are not a command; the message says why.
    """
    command = _DECODER.decoded(value)
    if isinstance(command, Unreadable):
        raise ValueError(f"not a command: {command.reason}")
    return command


def _guarded(entry: Entry, before: Rollout) -> GuardRollback | None:
    left, serves = before.candidate.release if before.candidate else before.serving, entry.after.serving
    return GuardRollback(entry.at, left.model, serves.model) if left is not None and serves is not None else None


def _pending(rollout: Rollout, stage: Stage) -> bool:
    return rollout.pending is not None and rollout.pending.stage_id == stage.command_id


def _effect(state: Rollout, record: Record, at: datetime, trust: Trust) -> Entry:
    offset = record.offset() or 0
    try:
        command = decode(record.value())
    except ValueError as error:
        return Entry(offset, at, None, str(error), state)
    signer, complaint = trust.command(record)
    if complaint and trust.required:
        return Entry(offset, at, command, complaint, state, complaint=complaint)
    after, refused = apply(state, command, at)
    return Entry(offset, at, command, refused, after, signer, complaint)
