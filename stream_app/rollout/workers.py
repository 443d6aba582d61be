"""The statuses of `model-status` in, which workers are alive and what each has answered out."""

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

import msgspec

from schemas.rollout import ModelStatus, Phase
from stream_app.kafka.log import Record
from stream_app.settings import Settings

_DECODER: msgspec.json.Decoder[ModelStatus] = msgspec.json.Decoder(ModelStatus)


@dataclass(frozen=True, slots=True)
class Worker:
    """One worker as its statuses describe it.

    Attributes:
        seen_at: Monotonic seconds at which it last spoke; minus infinity after it said goodbye.
        staged: The newest stage that it could take.
        rejected: The newest stage that it could not take.
        reason: Why not.
        applied: The command that put in service what it scores with, as its heartbeats say: they know of commits.
    """

    seen_at: float
    staged: str = ""
    rejected: str = ""
    reason: str = ""
    applied: str = ""


class Workers:
    """Folds statuses by worker. Clocks: `monotonic` for ages, `wall` for the age of what was there before we looked."""

    def __init__(self, monotonic: Callable[[], float] = time.monotonic, wall: Callable[[], float] = time.time) -> None:
        self.by_name: dict[str, Worker] = {}
        self._monotonic = monotonic
        self._wall = wall

    def read(self, messages: Iterable[Record], caught_up: bool) -> None:
        """Take in statuses in their order; what is no status is passed over.

        Args:
            messages: Records of `model-status`.
            caught_up: These have just been written. Otherwise their age is taken from their Kafka timestamps: what
                follows live needs no agreement between the clocks of two machines.
        """
        for message in messages:
            try:
                status = _DECODER.decode(message.value() or b"")
            except (msgspec.DecodeError, RecursionError, UnicodeError):
                continue
            age = 0.0 if caught_up else max(0.0, self._wall() - message.timestamp()[1] / 1000)
            known = self.by_name.get(status.worker, Worker(0.0))
            self.by_name[status.worker] = _heard(known, status, self._monotonic() - age)

    def alive(self, lost_after_s: float) -> dict[str, Worker]:
        """The workers that have spoken within the last `lost_after_s` seconds, by name."""
        oldest = self._monotonic() - lost_after_s
        return {name: worker for name, worker in sorted(self.by_name.items()) if worker.seen_at >= oldest}


def recent(settings: Settings) -> datetime:
    """From when on statuses matter: older ones speak of workers that are lost, or of stages that have timed out."""
    return datetime.now(UTC) - timedelta(seconds=settings.stage_timeout_s + settings.worker_lost_after_s)


def _heard(worker: Worker, status: ModelStatus, seen_at: float) -> Worker:
    worker = replace(worker, seen_at=seen_at)
    match status.phase:
        case Phase.STAGED:
            return replace(worker, staged=status.command_id, rejected="", reason="")
        case Phase.REJECTED:
            return replace(worker, staged="", rejected=status.command_id, reason=status.reason)
        case Phase.HEARTBEAT:
            return replace(worker, applied=status.command_id or worker.applied)
        case Phase.STOPPED:
            return replace(worker, seen_at=float("-inf"))
        case Phase.APPLIED | Phase.GUARD:  # the first stands in a transaction, which may be aborted
            return worker
