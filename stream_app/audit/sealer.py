"""Seals the audit log: each seal holds the digests of the records since the seal before, and of that seal.

Every worker reads the log; the one that runs the controller seals it. Two at once (a rebalance) are harmless: seals may
overlap, and every one must hold.
"""

import threading
import time
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime, timedelta
from uuid import uuid4

from schemas.rollout import AuditRecord, Seal
from schemas.topics import AUDIT
from stream_app.audit.chain import digest
from stream_app.kafka.log import Record, read_backwards
from stream_app.kafka.records import RecordDecoder, Unreadable, moment_of
from stream_app.settings import Settings

SEAL_EVERY_S = 2.0
SEAL_MOST = 256  # records in one seal: it stays below 20 kB

_DECODER: RecordDecoder[AuditRecord] = RecordDecoder(AuditRecord)


class Unsealed:
    """What no seal holds yet: offset to digest, in the order of the log. What is no audit record is sealed too."""

    def __init__(self, skipped: Callable[[str], object] = lambda _: None) -> None:
        self._decoder = RecordDecoder[AuditRecord](AuditRecord, skipped)
        self._digests: dict[int, str] = {}
        self._news: set[int] = set()

    def read(self, messages: Iterable[Record]) -> None:
        """Take records in, in their order."""
        for message in messages:
            offset, value = message.offset() or 0, message.value() or b""
            record = self._decoder.read(message)
            if record is not None and record.seal is not None:
                for sealed in map(int, record.seal.records):
                    self._digests.pop(sealed, None)
                    self._news.discard(sealed)
            else:
                self._news.add(offset)
            self._digests[offset] = digest(value)

    def seal(self) -> Seal | None:
        """A seal of the oldest; None where only seals are unsealed, which would follow each other for ever."""
        if not self._news:
            return None
        return Seal({str(offset): self._digests[offset] for offset in list(self._digests)[:SEAL_MOST]})


class Sealer:
    """Reads the log in one thread, and seals in another. Its state is in the log: another owner loses nothing.

    Args:
        worker: Name of this worker.
        audit: Writes an audit record.
        owner: Whether this worker is the one to seal, asked at each turn.
        monotonic: Clock.
        skipped: Called with the topic for each record that is no audit record.

    Attributes:
        caught_up: The log was read to the end that it had when the worker started.
    """

    def __init__(
        self,
        worker: str,
        audit: Callable[[AuditRecord], None],
        owner: Callable[[], bool],
        monotonic: Callable[[], float] = time.monotonic,
        skipped: Callable[[str], object] = lambda _: None,
    ) -> None:
        self.caught_up = False
        self._worker = worker
        self._audit = audit
        self._owner = owner
        self._monotonic = monotonic
        self._unsealed = Unsealed(skipped)
        self._lock = threading.Lock()
        self._sealed_at = monotonic()

    def read(self, records: Sequence[Record], caught_up: bool) -> None:
        """Take in new records of the log."""
        with self._lock:
            self._unsealed.read(records)
        self.caught_up = caught_up

    def step(self) -> None:
        """Seal what is new, if this worker is the one to and the last seal is old enough."""
        if not self.caught_up or not self._owner() or self._monotonic() - self._sealed_at < SEAL_EVERY_S:
            return
        self._sealed_at = self._monotonic()
        with self._lock:
            seal = self._unsealed.seal()
        if seal is not None:
            self._audit(sealed(f"controller@{self._worker}", seal))


def unsealed_since(settings: Settings) -> datetime | None:
    """Records that no seal holds are not older than this; None: there is no seal yet.

    A seal holds the oldest of them, and one follows another within seconds: an hour before the newest is far enough.

    Raises:
        BrokerError: the log cannot be read.
    """
    for stretch in read_backwards(settings, AUDIT):
        sealed_at = [
            at
            for message in stretch
            if (record := decoded(message.value())) and record.seal and (at := moment_of(message))
        ]
        if sealed_at:
            return min(sealed_at[-1], datetime.now(UTC)) - timedelta(hours=1)
    return None


def sealed(actor: str, seal: Seal) -> AuditRecord:
    """The record that carries a seal."""
    first, last = min(map(int, seal.records)), max(map(int, seal.records))
    return AuditRecord(
        audit_id=uuid4().hex,
        at=datetime.now(UTC),
        actor=actor,
        action="seal",
        subject=f"audit offsets {first} to {last}",
        seal=seal,
    )


def decoded(value: bytes | None) -> AuditRecord | None:
    """The record, or None where it is none."""
    record = _DECODER.decoded(value)
    return None if isinstance(record, Unreadable) else record
