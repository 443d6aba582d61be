"""The swap log, read: each record with what became of it, and the state that the log prescribes from there on.

This is the only interpretation of `model-swap`: a pure fold, so that worker, page and command line, whenever they read
it, come to the same state. A record that is not a command is refused, with the reason, and stops nothing. Signatures
are judged by record and settings alone, and before the id counts as seen, or a forged record could use up the id of
the true one.
"""

from dataclasses import dataclass
from datetime import UTC, datetime

import msgspec

from schemas.rollout import Command
from schemas.topics import MODEL_SWAP
from stream_app.kafka.log import Record, read_to_end
from stream_app.rollout.state import Rollout, apply
from stream_app.rollout.trust import UNCHECKED, Trust, trust
from stream_app.settings import Settings

COMMAND_MAX_BYTES = 64 * 1024
_DECODER: msgspec.json.Decoder[Command] = msgspec.json.Decoder(Command)


@dataclass(frozen=True, slots=True)
class Entry:
    """One record of the log and what became of it.

    Attributes:
        offset: Its offset on `model-swap`.
        at: Its Kafka timestamp.
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


class SwapLog:
    """The log as far as it has been read. One thread reads it on; any thread may look.

    Attributes:
        entries: Every record so far; only ever appended to.
        rollout: The state that the log prescribes.
        serving_since: When the model that serves was put in service; None where nothing serves.
    """

    def __init__(self, trust: Trust = UNCHECKED) -> None:
        self.entries: list[Entry] = []
        self.rollout = Rollout()
        self.serving_since: datetime | None = None
        self._trust = trust
        self._by_id: dict[str, Entry] = {}

    def read(self, record: Record) -> Entry:
        """Take in the next record. Never raises, whatever it holds."""
        entry = _effect(self.rollout, record, self._trust)
        if entry.after.serving != self.rollout.serving:
            self.serving_since = entry.at
        self.entries.append(entry)
        self.rollout = entry.after
        if entry.command is not None:
            self._index(entry.command.command_id, entry)
        return entry

    def find(self, command_id: str) -> Entry | None:
        """The first record with this id: later ones are duplicates. A forged one only if there is no other."""
        return self._by_id.get(command_id)

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
    if not value:
        raise ValueError("the record is empty")
    if len(value) > COMMAND_MAX_BYTES:
        raise ValueError(f"the record has {len(value)} bytes, a command has at most {COMMAND_MAX_BYTES}")
    try:
        return _DECODER.decode(value)
    except (msgspec.DecodeError, RecursionError, UnicodeError) as error:
        raise ValueError(f"not a command: {error}") from error


def _effect(state: Rollout, record: Record, trust: Trust) -> Entry:
    at = datetime.fromtimestamp(max(record.timestamp()[1], 0) / 1000, UTC)
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
