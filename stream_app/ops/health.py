"""From the pipeline's snapshot to what a probe needs: alive? ready? Each with the sentence why, for whoever is paged.

Liveness fails only where a restart helps: the thread stands still, or events wait and the position does not move
although the pipeline calls itself running. A pipeline that says why it waits (for the broker, behind the breaker) is
alive, else every worker would restart in circles through an outage. Readiness is whether this worker takes part: a
model serves and the input is assigned.
"""

import time
from collections.abc import Callable

from msgspec import Struct

from stream_app.pipeline.progress import RUNNING, Progress, Snapshot


class Health(Struct, frozen=True):
    """A probe's answer, and the sentence behind it."""

    ok: bool
    sentence: str


class Liveness:
    """Watches the snapshots over time: a single one cannot tell a stall from a quiet hour that has just ended.

    Args:
        progress: Written by the pipeline.
        stall_after_s: The patience, in seconds, for both kinds of standstill.
        clock: Monotonic seconds, the pipeline's clock.
    """

    def __init__(self, progress: Progress, stall_after_s: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._progress = progress
        self._patience = stall_after_s
        self._clock = clock
        self._started = clock()
        self._waiting_since: float | None = None

    def check(self) -> Health:
        """Judge now. Every heartbeat and every probe does, so the start of a wait is known to about a second."""
        snapshot, now = self._progress.latest, self._clock()
        still = now - max(snapshot.looped_at, self._started)
        if still > self._patience:
            return Health(False, f"The pipeline thread has not turned for {still:.0f} s: restart this worker.")
        waiting = snapshot.state == RUNNING and lag(snapshot) > 0
        if not waiting:
            self._waiting_since = None
            return Health(True, f"The pipeline turns: {snapshot.state}.")
        self._waiting_since = now if self._waiting_since is None else self._waiting_since
        stalled = now - max(self._waiting_since, snapshot.moved_at)
        if stalled > self._patience:
            sentence = f"{lag(snapshot):,} events wait and no position has moved for {stalled:.0f} s"
            return Health(False, f"{sentence}: restart this worker.")
        return Health(True, f"The pipeline turns: {snapshot.state}.")


def readiness(snapshot: Snapshot) -> Health:
    """Whether this worker takes part in the work."""
    if snapshot.ready:
        return Health(True, f"Ready: {len(snapshot.partitions)} partitions, model {_model(snapshot)}.")
    return Health(False, f"Not ready: {snapshot.state}.")


def lag(snapshot: Snapshot) -> int:
    """Events that wait on the partitions of this worker."""
    return sum(entry.lag for entry in snapshot.partitions)


def _model(snapshot: Snapshot) -> str:
    return f"{snapshot.model.name} {snapshot.model.version}" if snapshot.model else "none"
