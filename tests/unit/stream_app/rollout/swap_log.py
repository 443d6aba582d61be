"""A swap log in memory, followers of it, and commands."""

from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from schemas.rollout import Activate, AuditRecord, Command, ModelStatus, Phase, Rollback, Stage
from schemas.scoring import ModelRef
from schemas.topics import MODEL_SWAP
from stream_app import threads
from stream_app.rollout.follower import Follower
from stream_app.rollout.state import Rollout
from stream_app.rollout.swap_log import Entry, SwapLog, encode
from stream_app.rollout.trust import UNCHECKED, Trust
from stream_app.testing.memory_clients import MemoryTail
from stream_app.testing.memory_cluster import MemoryMessage
from stream_app.testing.memory_kafka import MemoryKafka
from stream_app.threads import Supervised


class CommandLog:
    """`model-swap` of a broker in memory."""

    def __init__(self) -> None:
        self._kafka = MemoryKafka()

    @property
    def records(self) -> list[MemoryMessage]:
        return self._kafka.visible[MODEL_SWAP.name]

    def append(self, *commands: Command | bytes, at: datetime | None = None) -> None:
        data = [command if isinstance(command, bytes) else encode(command) for command in commands]
        self._kafka.append(MODEL_SWAP.name, *data, at=at or datetime.now(UTC))

    def tail(self, silent_polls: int = 0) -> MemoryTail:
        return MemoryTail(self._kafka, MODEL_SWAP.name, silent_polls=silent_polls)


class Heard:
    """Collects what would go to `model-status` and `audit`."""

    def __init__(self) -> None:
        self.statuses: list[ModelStatus] = []
        self.audits: list[AuditRecord] = []

    def status(self, status: ModelStatus) -> None:
        self.statuses.append(status)

    def audit(self, record: AuditRecord) -> None:
        self.audits.append(record)

    def answers(self) -> list[tuple[str, Phase]]:
        return [(status.command_id, status.phase) for status in self.statuses]


class Following:
    """A follower of a swap log, in threads as in a worker."""

    def __init__(self, follower: Follower, tail: MemoryTail) -> None:
        self._follower, self._tail = follower, tail
        self._threads = (
            Supervised("follow", self._read),
            Supervised("load", follower.load_missing, follower.close),
        )
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        threads.stop(self._threads, 2.0)
        threads.check(self._threads)

    def _read(self) -> None:
        records = self._tail.poll(0.05, 500)
        self._follower.read(records, self._tail.caught_up)


def read_all(records: Iterable[Any]) -> SwapLog:
    """The log that these records are."""
    log = SwapLog()
    for record in records:
        log.read(record)
    return log


def fold(records: Iterable[Any], rollout: Rollout | None = None, trust: Trust = UNCHECKED) -> list[Entry]:
    """The effect of each record in turn, from a state on."""
    log = SwapLog(trust)
    log.rollout = rollout or Rollout()
    return [log.read(record) for record in records]


def stage(ref: ModelRef, path: Path, command_id: str) -> Stage:
    return Stage(command_id=command_id, issuer="ann", issued_at=datetime.now(UTC), uri=str(path), model=ref)


def activate(stage_id: str) -> Activate:
    now = datetime.now(UTC)
    return Activate(command_id=f"activate-{stage_id}", issuer="controller@w", issued_at=now, stage_id=stage_id)


def rollback(command_id: str, to: ModelRef | None = None) -> Rollback:
    sha256 = to.sha256 if to is not None else None
    return Rollback(command_id=command_id, issuer="ann", issued_at=datetime.now(UTC), to=sha256)
