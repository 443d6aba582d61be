"""The pipeline from start to stop: one loop after another, each on a session of its own.

The only way to recover is to open a new session.
"""

import logging
import time
from collections import deque
from collections.abc import Callable
from datetime import UTC, datetime
from threading import Event

from models.runtime import one_thread
from stream_app.metrics import Metrics
from stream_app.pipeline.breaker import Breaker
from stream_app.pipeline.faults import PipelineFailed, SessionLost
from stream_app.pipeline.loop import Loop
from stream_app.pipeline.progress import Progress
from stream_app.pipeline.serving import Serving
from stream_app.pipeline.session import Session
from stream_app.pipeline.tally import Tally
from stream_app.settings import Settings

BACKOFF_S = (0.1, 0.5, 1.0, 2.0, 5.0)
MODEL_WAIT_S = 0.05
FENCED = "fenced"
FENCED_TIMES = 3  # in so many seconds: a successor fences once, a namesake again and again
FENCED_WITHIN_S = 30.0

log = logging.getLogger(__name__)


class Pipeline:
    """Scores the input until told to stop.

    Args:
        settings: Where the broker is, what is promised.
        models: What must serve from the next batch on; None while there is nothing to serve.
        metrics: Where each stage is timed and each outcome counted.
        progress: Where others look.
        monotonic: Clock for durations, seconds.
        now: The wall clock.
    """

    def __init__(
        self,
        settings: Settings,
        models: Callable[[], Serving | None],
        metrics: Metrics,
        progress: Progress,
        monotonic: Callable[[], float] = time.monotonic,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._settings = settings
        self._models = models
        self._metrics = metrics
        self._now = now
        self._tally = Tally(metrics, progress, monotonic, now)
        self._breaker = Breaker(
            settings.breaker_share, settings.breaker_window_events, settings.breaker_hold_s, monotonic
        )
        self._monotonic = monotonic
        self._fenced_at: deque[float] = deque(maxlen=FENCED_TIMES)
        self._stop = Event()

    def stop(self) -> None:
        """Finish the batch, commit, leave the group. Returns at once."""
        self._stop.set()

    def run(self) -> None:
        """Work until stopped, in the calling thread.

        Raises:
            PipelineFailed: a person must act.
        """
        with one_thread():
            failures = 0
            while (serving := self._await_model()) is not None:
                commits = self._tally.commits
                try:
                    self._work(serving)
                except SessionLost as lost:
                    failures = 1 if self._tally.commits > commits else failures + 1
                    self._metrics.sessions_reopened.labels(lost.cause).inc()
                    self._tally.unready(f"reconnecting: {lost}")
                    log.warning("%s; going on in a new session, from the committed offsets", lost)
                    if lost.cause == FENCED:
                        self._count_fencing()
                    self._stop.wait(BACKOFF_S[min(failures, len(BACKOFF_S)) - 1])

    def _count_fencing(self) -> None:
        """Two workers of one name would take the transactions from each other for ever: this one yields.

        Raises:
            PipelineFailed: it has happened too often to be a successor that takes over.
        """
        self._fenced_at.append(self._monotonic())
        if len(self._fenced_at) == FENCED_TIMES and self._fenced_at[-1] - self._fenced_at[0] <= FENCED_WITHIN_S:
            name = self._settings.worker_name
            raise PipelineFailed(f"another worker runs under the name {name}: give each a worker_id of its own")

    def _work(self, serving: Serving) -> None:
        """One session, from what the broker has committed."""
        self._tally.reset()
        with Session(self._settings, self._metrics, self._now) as session:
            loop = Loop(self._settings, session, self._models, self._metrics, self._tally, self._breaker, self._now)
            loop.run(serving, self._stop)

    def _await_model(self) -> Serving | None:
        """What to serve, once there is something; None when stopped."""
        while not self._stop.is_set():
            serving = self._models()
            if serving is not None:
                return serving
            self._tally.unready("waiting for a model: deploy one with stream-app deploy MODEL")
            self._stop.wait(MODEL_WAIT_S)
        return None
