"""Where the pipeline stands: written by its thread after each commit, read by heartbeat, health and the page.

Whole snapshots, so no locks.
"""

from dataclasses import dataclass, field
from datetime import datetime
from threading import Event

from schemas.rollout import AlertVolume, Notice, PartitionProgress, PValues
from schemas.scoring import ModelRef

RUNNING = "running"
"""The only state in which lag without movement is a stall."""
HELD_BACK = "held back"
"""How the state begins while the breaker is open."""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The pipeline at one moment.

    Attributes:
        state: One word and a sentence for people: `waiting for the broker: ...`, `running`.
        ready: A model serves and partitions are assigned, or the group has none left for this worker.
        model: The model in service here.
        previous: The model that a rollback would serve.
        candidate: The model on trial beside it.
        percent: Share of the customers for whom the second model decides.
        command_id: The command that put this in service.
        scored: Events scored and committed since start.
        anomalies: Of these, over the threshold.
        dead_lettered: Records refused and committed since start.
        partitions: Position and lag of every assigned input partition.
        events_per_second: Committed records a second over the last few seconds.
        refused_per_second: Of these, refused.
        latency_p50_ms: Broker timestamp of the input to commit, over the last few seconds; None when quiet.
        latency_p99_ms: Likewise.
        moved_at: Monotonic seconds of the last commit that moved a position.
        looped_at: Monotonic seconds of the last turn of the loop, busy or idle.
        notices: The latest things that a person should know of: losses, offsets that were gone, a topic made again.
        volume: Of the model in service; None before its first commit.
        p_values: Likewise, of the last day; None until it has served for one.
    """

    state: str = "starting"
    ready: bool = False
    model: ModelRef | None = None
    previous: ModelRef | None = None
    candidate: ModelRef | None = None
    percent: float = 0.0
    command_id: str = ""
    scored: int = 0
    anomalies: int = 0
    dead_lettered: int = 0
    partitions: tuple[PartitionProgress, ...] = field(default=())
    events_per_second: float = 0.0
    refused_per_second: float = 0.0
    latency_p50_ms: float | None = None
    latency_p99_ms: float | None = None
    moved_at: float = 0.0
    looped_at: float = 0.0
    notices: tuple[Notice, ...] = ()
    volume: AlertVolume | None = None
    p_values: PValues | None = None


class Progress:
    """Holds the latest snapshot: one writer, any number of readers.

    Attributes:
        latest: Replaced whole.
        news: Set when the first decision of another command's model is committed; the heartbeat clears it.
        losses_known_until: When a person last put on audit that losses are known; set by the control plane.
    """

    def __init__(self) -> None:
        self.latest = Snapshot()
        self.news = Event()
        self.losses_known_until: datetime | None = None
