"""Dead letters as they are read, chosen and counted; and as lines of a file in which a person mends their values."""

import base64
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

import msgspec
from msgspec import Struct

from schemas.errors import UserError
from schemas.scoring import DeadLetter, RefusalCode
from schemas.topics import DEAD_LETTERS
from stream_app.kafka.log import read_to_end
from stream_app.kafka.records import RecordDecoder
from stream_app.settings import Settings

EXAMPLE_CHARACTERS = 120


@dataclass(frozen=True)
class Wanted:
    """Which dead letters are meant.

    Attributes:
        codes: Why they were refused; empty: whatever the reason.
        since: Refused then or later.
        until: Refused before.
        headers: What their original record must have had: a producer's name, say.
    """

    codes: frozenset[RefusalCode] = frozenset()
    since: datetime | None = None
    until: datetime | None = None
    headers: Mapping[str, str] = field(default_factory=dict)

    def takes(self, letter: DeadLetter) -> bool:
        """Whether this one is meant."""
        if self.codes and letter.code not in self.codes:
            return False
        if (self.since and letter.refused_at < self.since) or (self.until and letter.refused_at >= self.until):
            return False
        return all((name, value.encode()) in letter.headers for name, value in self.headers.items())


def read(settings: Settings, wanted: Wanted) -> Iterator[DeadLetter]:
    """The dead letters that are on the topic now, in the order of their partitions, each once.

    Raises:
        BrokerError: as of `stream_app.kafka.log.read_to_end`.
    """
    seen: set[str] = set()  # at least once, a worker that was killed writes some again
    records = read_to_end(settings, DEAD_LETTERS, wanted.since)
    for _, letter in RecordDecoder[DeadLetter](DeadLetter).each(records):
        if wanted.takes(letter) and letter.dead_letter_id not in seen:
            seen.add(letter.dead_letter_id)
            yield letter


@dataclass
class LetterCounts:
    """How many there are, by reason and by day.

    Attributes:
        codes: By why they were refused.
        days: By the day (UTC) on which they were.
        examples: A sentence of each code, that of the latest.
    """

    codes: Counter[RefusalCode] = field(default_factory=Counter)
    days: Counter[str] = field(default_factory=Counter)
    examples: dict[RefusalCode, str] = field(default_factory=dict)

    @property
    def total(self) -> int:
        """All of them."""
        return self.codes.total()

    def add(self, letter: DeadLetter) -> None:
        """Count one."""
        self.codes[letter.code] += 1
        self.days[f"{letter.refused_at:%Y-%m-%d}"] += 1
        self.examples[letter.code] = letter.reason[:EXAMPLE_CHARACTERS]


class Line(Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    """A dead letter in a file for people.

    Attributes:
        dead_letter_id: Which.
        code: Why it was refused.
        reason: The same in a sentence.
        key: Of the original record, as text where it is text.
        value: The original value as text, to be mended; or
        value_base64: the same, where it is no text.
    """

    dead_letter_id: str
    code: str = ""
    reason: str = ""
    key: str | None = None
    value: str | None = None
    value_base64: str | None = None

    @classmethod
    def of(cls, letter: DeadLetter) -> "Line":
        """The line of a dead letter."""
        key = None if letter.key is None else letter.key.decode("utf-8", "replace")
        line = cls(letter.dead_letter_id, letter.code, letter.reason, key)
        if letter.value is None:
            return line
        try:
            return msgspec.structs.replace(line, value=letter.value.decode())
        except UnicodeDecodeError:
            return msgspec.structs.replace(line, value_base64=base64.b64encode(letter.value).decode())

    @property
    def mended(self) -> bytes | None:
        """The value that is to be sent."""
        if self.value_base64 is not None:
            return base64.b64decode(self.value_base64, validate=True)
        return None if self.value is None else self.value.encode()


def read_values(path: Path) -> dict[str, bytes | None]:
    """Dead letter id to value, from the lines of a file.

    Raises:
        UserError: it cannot be read, or a line is not as `deadletters list --out` writes it.
    """
    decoder, values = msgspec.json.Decoder(Line), {}
    try:
        with path.open("rb") as lines:
            for number, text in enumerate(lines, start=1):
                if not text.strip():
                    continue
                try:
                    line = decoder.decode(text)
                    values[line.dead_letter_id] = line.mended
                except (msgspec.DecodeError, ValueError) as error:
                    raise UserError(
                        f"{path}, line {number}: {error}: write lines as `deadletters list --out` does"
                    ) from error
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror}") from error
    return values
