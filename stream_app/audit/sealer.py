"""The whole audit log in, seals out: each holds the digests of the records since the seal before, that one among them.

Runs where the controller runs. Two at once (a rebalance) are harmless: seals may overlap, and every one must hold.
"""

import logging
import threading
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from uuid import uuid4

import msgspec

from schemas.rollout import AuditRecord, Seal
from schemas.topics import AUDIT
from stream_app.audit.chain import digest
from stream_app.kafka.log import Record, Tail
from stream_app.settings import Settings

logger = logging.getLogger(__name__)

SEAL_EVERY_S = 2.0
SEAL_MOST = 256  # records in one seal: it stays below 20 kB
POLL_S = 0.05

_DECODER = msgspec.json.Decoder(AuditRecord)


class Unsealed:
    """What no seal holds yet: offset to digest, in the order of the log."""

    def __init__(self) -> None:
        self._digests: dict[int, str] = {}
        self._news: set[int] = set()

    def read(self, messages: Iterable[Record]) -> None:
        """Take records in, in their order."""
        for message in messages:
            offset, value = message.offset() or 0, message.value() or b""
            record = decoded(value)
            if record is not None and record.seal is not None:
                for sealed in map(int, record.seal.records):
                    self._digests.pop(sealed, None)
                    self._news.discard(sealed)
            else:
                self._news.add(offset)
            self._digests[offset] = digest(value)

    def seal(self) -> Seal | None:
        """The oldest of them; None where there is nothing but seals: they would follow each other for ever."""
        if not self._news:
            return None
        return Seal({str(offset): self._digests[offset] for offset in list(self._digests)[:SEAL_MOST]})


class Sealer:
    """Seals while this worker owns the swap log. Its state is in the log: another owner loses nothing.

    Args:
        settings: Where the log is, and this worker's name.
        audit: Writes an audit record.
        owner: Whether this worker is the one to, asked at each turn.
    """

    def __init__(self, settings: Settings, audit: Callable[[AuditRecord], None], owner: Callable[[], bool]) -> None:
        self._settings = settings
        self._audit = audit
        self._owner = owner
        self._tail: Tail | None = None
        self._unsealed = Unsealed()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="audit-seal", daemon=True)

    def start(self) -> None:
        """Begin to seal."""
        self._thread.start()

    def stop(self, timeout_s: float = 2.0) -> None:
        """Stop; what is not sealed is left to the next owner."""
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join(timeout_s)

    def step(self) -> None:
        """Read what is new, and seal it if this worker is the one to."""
        if not self._owner():
            self._let_go()
            return
        tail = self._tail = self._tail or Tail(self._settings, [AUDIT])
        while messages := tail.poll(POLL_S):
            self._unsealed.read(messages)
        seal = self._unsealed.seal() if tail.caught_up else None
        if seal is not None:
            self._audit(sealed(f"controller@{self._settings.worker_name}", seal))

    def _run(self) -> None:
        while not self._stopping.wait(SEAL_EVERY_S):
            try:
                self.step()
            except Exception as error:  # the trail waits longer for its seal, and nothing else suffers
                logger.warning("the audit trail was not sealed, trying again: %s", error)
                self._let_go()
        self._let_go()

    def _let_go(self) -> None:
        if self._tail is not None:
            self._tail.close()
        self._tail, self._unsealed = None, Unsealed()


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


def decoded(value: bytes) -> AuditRecord | None:
    """The record, or None where it is none."""
    try:
        return _DECODER.decode(value)
    except (msgspec.DecodeError, RecursionError, UnicodeError):
        return None
