"""Records of the swap log in, entries out: each with what became of it, and the state from there on.

A pure fold, so that all who read the same log, from whenever, serve the same model. A record that is no command is
refused, with the reason, and stops nobody. Signatures are judged by record and settings alone, and before the id counts
as seen, or a forged record could use up the id of the true one.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime

import msgspec

from schemas.rollout import Command
from stream_app.kafka.log import Record
from stream_app.rollout.state import Rollout, apply
from stream_app.rollout.trust import UNCHECKED, Trust

COMMAND_MAX_BYTES = 64 * 1024
_DECODER: msgspec.json.Decoder[Command] = msgspec.json.Decoder(Command)


@dataclass(frozen=True, slots=True)
class Entry:
    """One record of the log and what became of it.

    Attributes:
        offset: Its place on `model-swap`.
        at: Its Kafka timestamp.
        command: What it says; None where it is no command.
        refused: Why it changed nothing; None where it did its work.
        after: The state from here on.
        signer: The trusted key that signed it; empty where nobody asks.
        complaint: What is wrong with its signature. Where signatures are required, that is why it was refused.
    """

    offset: int
    at: datetime
    command: Command | None
    refused: str | None
    after: Rollout
    signer: str = ""
    complaint: str = ""


def read(state: Rollout, record: Record, trust: Trust = UNCHECKED) -> Entry:
    """The effect of one record on the state. Never raises, whatever the record holds."""
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


def fold(records: Iterable[Record], state: Rollout | None = None, trust: Trust = UNCHECKED) -> list[Entry]:
    """The effect of each record in turn."""
    entries: list[Entry] = []
    for record in records:
        entries.append(read(entries[-1].after if entries else state or Rollout(), record, trust))
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
