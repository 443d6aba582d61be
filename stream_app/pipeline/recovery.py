"""The pipeline from start to stop: one loop after another, each on a new session, which is the only way to recover."""

import logging
from collections import deque
from collections.abc import Callable
from threading import Event

from models.runtime import one_thread
from stream_app.metrics import Metrics
from stream_app.pipeline.breaker import Breaker
from stream_app.pipeline.clock import SYSTEM, Clock
from stream_app.pipeline.faults import FENCED, PipelineFailed, SessionLost, doing
from stream_app.pipeline.loop import Loop
from stream_app.pipeline.progress import Progress
from stream_app.pipeline.recall import recall
from stream_app.pipeline.serving import Serving
from stream_app.pipeline.session import BROKERS, Kafka, Recall, Session
from stream_app.pipeline.tally import Tally
from stream_app.settings import Settings

BACKOFF_S = (0.1, 0.5, 1.0, 2.0, 5.0)
MODEL_WAIT_S = 0.05
CHANGES_OF_TOPIC = ("topic_gone", "topic_made_again")
FENCED_TIMES = 3  # within that time: a successor fences once, a namesake again and again
FENCED_WITHIN_S = 30.0

log = logging.getLogger(__name__)


class Setbacks:
    """What comes between a session that was lost and the next: a line, a count, a while that grows.

    Args:
        settings: The worker's name.
        metrics: Sessions that were opened anew.
        clock: The time.
    """

    def __init__(self, settings: Settings, metrics: Metrics, clock: Clock) -> None:
        self._name = settings.worker_name
        self._metrics = metrics
        self._clock = clock
        self._failures = 0
        self._fenced_at: deque[float] = deque(maxlen=FENCED_TIMES)

    def note(self, lost: SessionLost, has_committed: bool, stop: Event) -> None:
        """Wait until the next session may be opened.

        Args:
            lost: Why the last one is no more.
            has_committed: Whether anything was committed in it.
            stop: Ends the wait.

        Raises:
            PipelineFailed: it was fenced too often for a successor that takes over once. Two workers of one name would
                fence each other for ever, so this one yields.
        """
        self._failures = 1 if has_committed else self._failures + 1
        self._metrics.sessions_reopened.labels(lost.cause).inc()
        log.warning("%s; going on in a new session, from the committed offsets", lost)
        if lost.cause == FENCED:
            self._fenced_at.append(self._clock.monotonic())
            times = self._fenced_at
            if len(times) == FENCED_TIMES and times[-1] - times[0] <= FENCED_WITHIN_S:
                raise PipelineFailed(
                    f"another worker runs under the name {self._name}: give each a worker_id of its own"
                )
        self._clock.wait(stop, BACKOFF_S[min(self._failures, len(BACKOFF_S)) - 1])


class Pipeline:
    """Scores the input until it is stopped.

    Args:
        settings: Brokers, batches, guarantee.
        models: The models to serve from the next batch on; while there are none, why, for people.
        metrics: Stage times and committed outcomes.
        progress: Holds the snapshot for heartbeat, health and page.
        kafka: Makes the clients.
        clock: The time.
        recall: Where to start when the group's offsets are gone.
    """

    def __init__(
        self,
        settings: Settings,
        models: Callable[[], Serving | str],
        metrics: Metrics,
        progress: Progress,
        kafka: Kafka = BROKERS,
        clock: Clock = SYSTEM,
        recall: Recall = recall,
    ) -> None:
        self._recall = recall
        self._settings = settings
        self._models = models
        self._metrics = metrics
        self._kafka = kafka
        self._clock = clock
        self._tally = Tally(metrics, progress, clock)
        self._breaker = Breaker(
            settings.breaker_share, settings.breaker_window_events, settings.breaker_hold_s, clock.monotonic
        )
        self._setbacks = Setbacks(settings, metrics, clock)
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
            while (serving := self._await_model()) is not None:
                commits = self._tally.commits
                try:
                    self._work(serving)
                except SessionLost as lost:
                    self._tally.not_ready(f"reconnecting: {lost}")
                    if lost.cause in CHANGES_OF_TOPIC:
                        self._tally.notice(str(lost))
                    self._setbacks.note(lost, self._tally.commits > commits, self._stop)

    def _work(self, serving: Serving) -> None:
        """One session, from the committed offsets on."""
        opened = Session(self._settings, self._metrics, self._kafka, self._recall, self._tally.notice, self._clock)
        with opened as session:
            loop = Loop(self._settings, session, self._models, self._metrics, self._tally, self._breaker, self._clock)
            with doing("working"):  # a fatal error reaches whichever call of the client is next, `poll` among them
                loop.run(serving, self._stop)

    def _await_model(self) -> Serving | None:
        """The models to serve, once there are any; None when stopped."""
        while not self._stop.is_set():
            serving = self._models()
            if isinstance(serving, Serving):
                return serving
            self._tally.not_ready(serving)
            self._clock.wait(self._stop, MODEL_WAIT_S)
        return None
