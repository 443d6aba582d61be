"""A swap log in memory: what Kafka would hand out, under the test's control."""

import threading
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from schemas.rollout import Activate, AuditRecord, Command, ModelStatus, Phase, Rollback, Stage
from schemas.transactions import ModelRef
from stream_app import threads
from stream_app.rollout.follower import Follower
from stream_app.rollout.state import Rollout
from stream_app.rollout.swap_log import Entry, SwapLog, encode
from stream_app.rollout.trust import UNCHECKED, Trust
from stream_app.testing.memory_kafka import MemoryMessage
from stream_app.threads import Supervised


class MemoryLog:
    """Shared by any number of tails."""

    def __init__(self) -> None:
        self.records: list[MemoryMessage] = []

    def append(self, *commands: Command | bytes) -> None:
        for command in commands:
            data = command if isinstance(command, bytes) else encode(command)
            self.records.append(MemoryMessage(data, len(self.records), datetime.now(UTC)))


class MemoryTail:
    """One reader of a MemoryLog; the broker falls silent for `silent_polls` once it has handed out two records."""

    def __init__(self, log: MemoryLog, silent_polls: int = 0) -> None:
        self._log = log
        self._silent_polls = silent_polls
        self._at = 0
        self._end = len(log.records)
        self._pause = threading.Event()

    @property
    def caught_up(self) -> bool:
        return self._at >= self._end

    def poll(self, timeout_s: float, limit: int) -> Sequence[MemoryMessage]:
        silent = self._at >= 2 and self._silent_polls > 0
        if silent or self._at == len(self._log.records):
            self._pause.wait(min(timeout_s, 0.005))
        if silent:
            self._silent_polls -= 1
            return []
        records = self._log.records[self._at : self._at + min(limit, 2)]
        self._at += len(records)
        return records

    def close(self) -> None:
        pass


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
    """A follower of a MemoryLog, in threads as in a worker."""

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
