"""What is known of the system at one moment, for page, `status` and `doctor` alike."""

from datetime import datetime, timedelta
from enum import StrEnum

from msgspec import Struct

from schemas.rollout import Phase, WorkerVitals
from schemas.scoring import ModelRef
from stream_app.drift.published import RaisedAlert
from stream_app.kafka.unread import Unread
from stream_app.ops.board import Reading
from stream_app.ops.series import POINTS, STEP_S
from stream_app.rollout.statuses import WorkerState
from stream_app.rollout.swap_log import GuardRollback, Swap
from stream_app.rollout.trial import TrialView
from stream_app.settings import Settings

Found = tuple[str, str]
"""What is seen, without a full stop, and the command or the place that ends it; that is empty where there is none."""

# A worker that left is shown for as long as the charts still show what it did; while its partitions are unread, longer.
REMEMBER_WORKER = timedelta(seconds=POINTS * STEP_S)


class Presence(StrEnum):
    """Whether a worker counts. While Kafka is away, nothing is heard of the others, and none of them is lost for it."""

    LIVE = "live"
    LOST = "lost"
    STOPPED = "stopped"
    UNHEARD = "unheard"


class WorkerRow(Struct, frozen=True):
    """One worker, by its last heartbeat; the one whose page it is by its own figures."""

    id: str
    here: bool
    presence: Presence
    heard_at: datetime
    serving: ModelRef | None
    vitals: WorkerVitals

    @property
    def partitions(self) -> list[int]:
        """What it reads, or read last."""
        return sorted(entry.partition for entry in self.vitals.partitions)

    @property
    def lag(self) -> int:
        """Events that wait there."""
        return sum(entry.lag for entry in self.vitals.partitions)


class Facts(Struct, frozen=True):
    """The system at one moment.

    Attributes:
        brokers: Addresses, for a person who has to look at them.
        workers: By name.
        serving: By the swap log, as is `previous`: what a rollback returns to.
        silent_since: When Kafka was last heard of; None while it answers.
        unread: Input partitions that no live worker reads, and what waits there where the broker was asked for it.
    """

    at: datetime
    brokers: str
    workers: list[WorkerRow]
    serving: ModelRef | None
    previous: ModelRef | None
    swap: Swap | None
    trial: TrialView | None
    guarded: GuardRollback | None
    alerts: list[RaisedAlert]
    silent_since: datetime | None
    unread: dict[int, Unread]

    @property
    def live(self) -> list[WorkerRow]:
        """The workers that count."""
        return [row for row in self.workers if row.presence is Presence.LIVE]

    @property
    def lost(self) -> list[WorkerRow]:
        """The workers that fell silent without a word of their end."""
        return [row for row in self.workers if row.presence is Presence.LOST]

    @property
    def figures(self) -> list[WorkerVitals]:
        """Of the live workers."""
        return [row.vitals for row in self.live]

    @property
    def served(self) -> dict[str, ModelRef]:
        """By digest, the models that decide anything now."""
        return {row.serving.sha256: row.serving for row in self.live if row.serving is not None and row.partitions}


def gather(settings: Settings, reading: Reading, at: datetime, silent: bool, own: WorkerRow | None = None) -> Facts:
    """What there is by the logs.

    Args:
        settings: Where the brokers are.
        reading: Of the logs.
        at: Now.
        silent: Kafka is away.
        own: The worker that looks, which knows itself better than its heartbeats do; None where a command looks.
    """
    here = own.id if own is not None else None
    others = [_row(name, worker, name in reading.alive, silent) for name, worker in reading.workers.items()]
    rows = [*filter(None, [own]), *(row for row in others if row is not None and row.id != here)]
    held = {place for row in rows if row.presence is Presence.LIVE for place in row.partitions}
    unread = {place for row in rows if row.presence is Presence.LOST for place in row.partitions} - held
    shown = [row for row in rows if row.heard_at > at - REMEMBER_WORKER or _is_missed(row, unread)]
    return Facts(
        at=at,
        brokers=settings.bootstrap_servers,
        workers=sorted(shown, key=lambda row: row.id),
        serving=reading.serving,
        previous=reading.previous,
        swap=reading.swap,
        trial=reading.trial,
        guarded=reading.guarded,
        alerts=reading.alerts,
        silent_since=at - timedelta(seconds=reading.silent_s) if silent else None,
        unread=dict.fromkeys(sorted(unread), Unread()),
    )


def _row(name: str, worker: WorkerState, alive: bool, silent: bool) -> WorkerRow | None:
    pulse = worker.pulse
    if pulse is None or pulse.vitals is None:
        return None
    absent = Presence.UNHEARD if silent else Presence.LOST
    presence = Presence.STOPPED if pulse.phase is Phase.STOPPED else Presence.LIVE if alive else absent
    return WorkerRow(name, False, presence, worker.at, pulse.serving, pulse.vitals)


def _is_missed(row: WorkerRow, unread: set[int]) -> bool:
    return row.presence is Presence.LOST and any(place in unread for place in row.partitions)


def span(seconds: float) -> str:
    """A duration in the unit that suits it."""
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.0f} h"


def ago(moment: datetime, at: datetime) -> str:
    """How long ago that was. Another clock may say that it has not been yet."""
    return f"{span(max((at - moment).total_seconds(), 0.0))} ago"
