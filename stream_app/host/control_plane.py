"""The control plane of one worker: what reads its logs and decides by them, in threads, with three Kafka clients.

committed   the swap log, comparisons, the audit log, and what the page shows, by one consumer
statuses    `model-status`, by another: it must not wait for a dead worker's open transaction
control     the controller, the guard and the seals, where this worker owns the swap log
model-load  loads models, which takes seconds
heartbeat   must not wait for anything
"""

import logging
from collections.abc import Callable, Sequence
from datetime import UTC, datetime

from schemas.topics import ANOMALIES, AUDIT, COMPARISONS, LABELS, MODEL_STATUS, MODEL_SWAP
from stream_app.audit import configuration
from stream_app.audit.sealer import Sealer, unsealed_since
from stream_app.kafka.clients import BrokerError
from stream_app.kafka.dispatch import Dispatch, Reader
from stream_app.kafka.log import Tail
from stream_app.metrics import Metrics
from stream_app.ops import feed
from stream_app.ops.board import Board
from stream_app.ops.feed import Feed
from stream_app.ops.health import Liveness
from stream_app.ops.heartbeat import Heartbeat
from stream_app.pipeline.progress import Progress
from stream_app.rollout import follower
from stream_app.rollout.control_producer import ControlProducer
from stream_app.rollout.controller import Controller
from stream_app.rollout.guard import enforcer
from stream_app.rollout.guard.enforcer import GuardEnforcer
from stream_app.rollout.statuses import Statuses, recent
from stream_app.settings import GuardMode, Settings
from stream_app.threads import Supervised
from stream_app.verify.acknowledged import Acknowledgements

JOIN_S = 1.0

logger = logging.getLogger(__name__)


class ControlPlane:
    """Made whole, then started. Needs a broker that answers.

    Args:
        settings: All of a worker.
        metrics: All of a worker.
        progress: Written by the pipeline.
        liveness: Of this worker.
        owner: Whether this worker owns the swap log, asked again and again, from any thread.

    Attributes:
        follower: Knows what to serve.
        board: What the page shows.
        threads: All that run here.
    """

    def __init__(
        self, settings: Settings, metrics: Metrics, progress: Progress, liveness: Liveness, owner: Callable[[], bool]
    ) -> None:
        self._settings = settings
        self._producer = ControlProducer(settings)
        self.follower = follower.connect(settings, self._producer, metrics)
        statuses = Statuses(skipped=metrics.skip)
        self.board = Board(self.follower.log, statuses, settings.worker_lost_after_s, settings.web_ids_shown)
        guard = None if settings.guard is GuardMode.OFF else GuardEnforcer(settings, self._producer, metrics)
        self._controller = Controller(settings, self.follower, statuses, self._producer, owner, guard)
        self._sealer = Sealer(settings.worker_name, self._producer.audit, owner, skipped=metrics.skip)
        self._heartbeat = Heartbeat(settings, progress, liveness, self._producer)
        page = Feed(settings, self.board, statuses, metrics)
        self._committed = self._reads_committed(page, guard, progress)
        self._statuses = self._reads_statuses(page)
        self.threads = (
            Supervised("committed", self._committed.step),
            Supervised("statuses", self._statuses.step),
            Supervised("control", self._control, self._controller.wake),
            Supervised("model-load", self.follower.load_missing, self.follower.close),
            Supervised("heartbeat", self._heartbeat.step, self._heartbeat.wake),
        )

    def start(self) -> None:
        """Start all threads; returns at once."""
        for thread in self.threads:
            thread.start()

    def stop(self) -> None:
        """Stop all threads, publish that this worker has stopped, and let go of the clients."""
        for thread in self.threads:
            thread.stop()
        for thread in self.threads:
            thread.join(JOIN_S)
        self._heartbeat.stopped()
        for thread, tail in zip(self.threads, (self._committed, self._statuses), strict=False):
            if not thread.is_alive:  # a consumer must not be closed while it is read
                tail.close()

    def record_configuration(self) -> None:
        """Put the worker's settings on record where they have changed since its last start."""
        try:
            configuration.put_on_record(self._settings, self._producer.audit)
        except BrokerError as error:
            logger.warning("whether the settings have changed is not on record: %s", error)

    def _reads_committed(self, page: Feed, guard: GuardEnforcer | None, progress: Progress) -> Dispatch:
        now = datetime.now(UTC)
        guarding: Sequence[Reader] = () if guard is None else (guard.read, self._controller.notice)
        readers = [
            (MODEL_SWAP, self.follower.read),
            (MODEL_SWAP, self._controller.notice),
            *((COMPARISONS, reader) for reader in guarding),
            *((topic, page.read) for topic in feed.SHOWN),
            (AUDIT, self._sealer.read),
            (AUDIT, Acknowledgements(progress).read),
        ]
        since = {COMPARISONS: now - enforcer.HISTORY, ANOMALIES: now - feed.HISTORY, LABELS: now - feed.HISTORY}
        if (unsealed := unsealed_since(self._settings)) is not None:
            since[AUDIT] = unsealed
        followed = list(dict.fromkeys(topic for topic, _ in readers))
        return Dispatch(self._settings, Tail(self._settings, followed, since), readers)

    def _reads_statuses(self, page: Feed) -> Dispatch:
        since = min(recent(self._settings), datetime.now(UTC) - feed.HISTORY)
        tail = Tail(self._settings, [MODEL_STATUS], since, committed=False)
        readers = [(MODEL_STATUS, page.read_statuses), (MODEL_STATUS, self._controller.notice_statuses)]
        return Dispatch(self._settings, tail, readers)

    def _control(self) -> None:
        """One turn of what only the owner of the swap log does."""
        self._controller.step()
        self._sealer.step()
