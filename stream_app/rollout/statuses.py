"""The statuses, read: which workers are alive, what each serves and has answered, and the guard's latest report.

This is the only interpretation of `model-status`: used by the controller, the page and the command line.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

from schemas.comparison import GuardReport
from schemas.rollout import ModelStatus, Phase
from stream_app.kafka.log import Record
from stream_app.kafka.records import RecordDecoder, moment_of
from stream_app.settings import Settings

# A worker that left is shown for as long as the page's charts still show what it did, and longer.
FORGET_AFTER = timedelta(hours=1)
_LONG_AGO = datetime.fromtimestamp(0, UTC)


@dataclass(frozen=True, slots=True)
class WorkerState:
    """One worker as its statuses describe it.

    Attributes:
        seen_at: Monotonic seconds of its newest status; minus infinity after it stopped.
        staged: The newest stage that it could take.
        rejected: The newest stage that it could not take.
        reason: Why not.
        applied: The command that put in service what it scores with, by its heartbeats: those know of commits.
        pulse: Its newest heartbeat, or its STOPPED.
        at: Kafka timestamp of that.
    """

    seen_at: float
    staged: str = ""
    rejected: str = ""
    reason: str = ""
    applied: str = ""
    pulse: ModelStatus | None = None
    at: datetime = _LONG_AGO


class Statuses:
    """The topic as far as it has been read. One thread reads it on; any thread may look.

    Args:
        monotonic: Clock for the age of what comes.
        wall: Clock for the age of what was there before.
        skipped: Called with the topic for each record that is no status.

    Attributes:
        workers: By name; replaced whole with each status.
        guard: The guard's latest report, on whichever trial.
    """

    def __init__(
        self,
        monotonic: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
        skipped: Callable[[str], object] = lambda _: None,
    ) -> None:
        self.workers: dict[str, WorkerState] = {}
        self.guard: GuardReport | None = None
        self._read_at: float | None = None
        self._monotonic = monotonic
        self._wall = wall
        self._decoder = RecordDecoder[ModelStatus](ModelStatus, skipped)

    def read(self, record: Record, caught_up: bool) -> ModelStatus | None:
        """Take in the next record.

        Args:
            record: Of `model-status`.
            caught_up: It has just been written. Otherwise its age is taken from its Kafka timestamp: what is followed
                live needs no agreement between the clocks of two machines.

        Returns:
            The status; None where the record is not one.
        """
        status = self._decoder.read(record)
        if status is None:
            return None
        now = datetime.fromtimestamp(self._wall(), UTC)
        # A topic that was made elsewhere may keep the writers' own timestamps. One that cannot be tells nothing.
        self._read_at = self._monotonic()
        at = moment_of(record) or (now if caught_up else _LONG_AGO)
        seen_at = self._monotonic() - (0.0 if caught_up else max(0.0, (now - at).total_seconds()))
        known = self.workers.get(status.worker, WorkerState(seen_at))
        kept = {name: w for name, w in self.workers.items() if w.pulse is None or w.at > at - FORGET_AFTER}
        self.workers = {**kept, status.worker: _updated(replace(known, seen_at=seen_at), status, at)}
        if status.phase is Phase.GUARD:
            self.guard = status.guard
        return status

    @property
    def silent_s(self) -> float:
        """Seconds since the last record came from Kafka; 0 before the first one."""
        return self._monotonic() - self._read_at if self._read_at is not None else 0.0

    def alive(self, lost_after_s: float) -> dict[str, WorkerState]:
        """The workers with a status within the last `lost_after_s` seconds, by name."""
        oldest = self._monotonic() - lost_after_s
        return {name: worker for name, worker in sorted(self.workers.items()) if worker.seen_at >= oldest}


def recent(settings: Settings) -> datetime:
    """From when on statuses matter: older ones are of workers that are lost, or of stages that have timed out."""
    return datetime.now(UTC) - timedelta(seconds=settings.stage_timeout_s + settings.worker_lost_after_s)


def _updated(worker: WorkerState, status: ModelStatus, at: datetime) -> WorkerState:
    match status.phase:
        case Phase.STAGED:
            return replace(worker, staged=status.command_id, rejected="", reason="")
        case Phase.REJECTED:
            return replace(worker, staged="", rejected=status.command_id, reason=status.reason)
        case Phase.HEARTBEAT:
            return replace(worker, applied=status.command_id or worker.applied, pulse=status, at=at)
        case Phase.STOPPED:
            return replace(worker, seen_at=float("-inf"), pulse=status, at=at)
        case Phase.APPLIED | Phase.GUARD:  # the first stands in a transaction, which may be aborted
            return worker
