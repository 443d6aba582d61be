"""What stands on a topic may be anybody's: one decoder, one set of bounds, and one reading of a record's timestamp.

A value that is too large, nested too deeply, not JSON or of another type is refused with a line in the log and a count.
It never raises, so that no record ends what reads it.
"""

import logging
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Generic, TypeVar

import msgspec
from confluent_kafka import TIMESTAMP_NOT_AVAILABLE

from schemas.scoring import PLAUSIBLE
from stream_app.kafka.clients import RECORD_BYTES
from stream_app.kafka.log import Record

EARLIEST, LATEST = PLAUSIBLE
EACH_SHOWN = 5  # refused records that get a line of their own; of more only every tenth, hundredth, ... is told

T = TypeVar("T")
log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Unreadable:
    """Why a value is not what its topic holds."""

    reason: str


class RecordDecoder(Generic[T]):
    """Decodes the values of one topic for one reader.

    Args:
        kind: The struct, or union of structs, that is wanted of each value.
        skipped: Called with the full name of the topic for each record that is passed over.
        max_bytes: Larger values are refused unread.
    """

    def __init__(
        self, kind: Any, skipped: Callable[[str], object] = lambda _: None, max_bytes: int = RECORD_BYTES
    ) -> None:
        self._decode: Callable[[bytes], T] = msgspec.json.Decoder(kind).decode
        self._skipped = skipped
        self._max_bytes = max_bytes
        self._refused = 0

    def decoded(self, value: bytes | None) -> T | Unreadable:
        """The value, or why it is none. Says and counts nothing."""
        if not value:
            return Unreadable("the record is empty")
        if len(value) > self._max_bytes:
            return Unreadable(f"the record has {len(value):,} bytes, {self._max_bytes:,} are allowed")
        try:
            return self._decode(value)
        except RecursionError:
            return Unreadable("the JSON is nested too deeply")
        except ValueError as error:  # msgspec's own errors, wrong UTF-8, numbers with thousands of digits
            return Unreadable(str(error))

    def read(self, record: Record) -> T | None:
        """The record's value; None where it is refused, with a line in the log and a count."""
        found = self.decoded(record.value())
        if not isinstance(found, Unreadable):
            return found
        self.refuse(record, found.reason)
        return None

    def each(self, records: Iterable[Record]) -> Iterator[tuple[Record, T]]:
        """Those of the records that are what the topic holds, with their values."""
        for record in records:
            value = self.read(record)
            if value is not None:
                yield record, value

    def refuse(self, record: Record, reason: str) -> None:
        """Tell and count a record that is passed over; also one that decodes, but makes no sense."""
        self.refuse_at(record.topic() or "", record.partition() or 0, record.offset() or 0, reason)

    def refuse_at(self, topic: str, partition: int, offset: int, reason: str) -> None:
        """The same of the record at this place; the topic by its full name."""
        self._refused += 1
        count = self._refused
        self._skipped(topic)
        if count <= EACH_SHOWN or count == 10 ** (len(str(count)) - 1):
            so_far = f" ({count:,} records so far)" if count > 1 else ""
            place = f"{topic}, partition {partition}, offset {offset}"
            log.warning("%s: not what this topic holds, and passed over%s: %s", place, so_far, reason)


def moment_of(record: Record) -> datetime | None:
    """The record's timestamp; None where it has none, or one that cannot be a time (a wrong unit, a clock not set)."""
    kind, milliseconds = record.timestamp()
    if kind == TIMESTAMP_NOT_AVAILABLE or not _EARLIEST_MS <= milliseconds < _LATEST_MS:
        return None
    return datetime.fromtimestamp(milliseconds / 1000, UTC)


def posted_at(record: Record) -> datetime:
    """When it reached the topic; never later than now, whatever clock its timestamp is of."""
    now = datetime.now(UTC)
    return min(moment_of(record) or now, now)


def milliseconds_of(record: Record) -> int | None:
    """The record's timestamp as it stands there; None where it has none."""
    kind, milliseconds = record.timestamp()
    return None if kind == TIMESTAMP_NOT_AVAILABLE else milliseconds


def is_plausible(at: datetime) -> bool:
    """Whether a time may be that of an event; arithmetic on one that may not can leave the calendar."""
    return EARLIEST <= at < LATEST


def headers_of(record: Record) -> list[tuple[str, bytes | None]] | None:
    """The headers; None where the client cannot read them: a name among them is not UTF-8."""
    try:
        return record.headers() or []
    except (SystemError, UnicodeDecodeError):
        return None


_EARLIEST_MS, _LATEST_MS = (int(at.timestamp() * 1000) for at in (EARLIEST, LATEST))
