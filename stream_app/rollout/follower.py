"""What a worker serves: it follows the swap log, and loads, checks and warms up the models that the log prescribes.

`Follower.serving` is None until the log has been read to its end and the model that it prescribes is loaded; from then
on it follows the log. A model that fails its checks here leaves the old one serving: as a stage it is rejected on
`model-status`, with the reason; as the prescribed model (this worker joined late, or its disk was full) it is retried.
The previous model, the candidate and the pending one stay warm; others are released. A candidate that is not warm here
yet decides nothing here: the model that serves does.

The log is read in one thread and models are loaded in another, so that no rollback waits behind a load.
"""

import logging
import threading
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Protocol

from models.gates.limits import load_limits
from schemas.rollout import AuditRecord, ModelStatus, Phase
from schemas.scoring import ModelRef
from stream_app.audit.record import audit_record
from stream_app.kafka.log import Record
from stream_app.metrics import Metrics
from stream_app.pipeline.formats.readers import require_readable
from stream_app.pipeline.serving import SecondModel, Serving
from stream_app.rollout.admission import Admission
from stream_app.rollout.artefacts import ModelCache
from stream_app.rollout.control_producer import ControlProducer
from stream_app.rollout.state import Pending, Probation, Release, Rollout
from stream_app.rollout.swap_log import Entry, SwapLog
from stream_app.rollout.trust import trust
from stream_app.rollout.warm import RETRY_AFTER_S, WarmModels
from stream_app.settings import GuardMode, Settings

logger = logging.getLogger(__name__)


class StatusSink(Protocol):
    """Takes what became of a stage on this worker."""

    def status(self, status: ModelStatus) -> None:
        """To `model-status`."""

    def audit(self, record: AuditRecord) -> None:
        """To `audit`."""


class Follower:
    """Keeps `serving` at what the log prescribes. All public attributes may be read from any thread.

    Args:
        worker: The name under which this worker answers.
        log: Read on by `read`, and by nothing else.
        cache: Where artefacts come from.
        sink: Takes its answers.
        metrics: Where loads are timed and rejections counted.
        probation_s: For how long the previous model scores beside a new one.
        admission: This worker's own conditions for a stage.

    Attributes:
        serving: What the pipeline uses from its next batch on; None until this worker may score.
        warm: The models that are loaded.
        read_to_end: The log was read to the end that it had when the worker started.
    """

    def __init__(
        self,
        worker: str,
        log: SwapLog,
        cache: ModelCache,
        sink: StatusSink,
        metrics: Metrics,
        probation_s: float = 0.0,
        admission: Admission | None = None,
    ) -> None:
        self.worker = worker
        self.log = log
        self.serving: Serving | None = None
        self.warm = WarmModels(cache, metrics)
        self.read_to_end = False
        self._probation = timedelta(seconds=probation_s)
        self._sink = sink
        self._metrics = metrics
        self._admission = admission or Admission()
        self._lock = threading.Lock()
        self._changed = threading.Event()
        self._closing = threading.Event()
        self._answered = ""

    @property
    def rollout(self) -> Rollout:
        """What the log prescribes, as far as it has been read."""
        return self.log.rollout

    def prescribed(self) -> Serving | str:
        """What this worker may score with; while there is nothing, why, and what to do."""
        if self.serving is not None:
            return self.serving
        release = self.rollout.serving
        if not self.read_to_end:
            return "reading which model serves"
        if release is None:
            return "waiting for a model: deploy one with stream-app deploy MODEL"
        failure = self.warm.failure(release)
        if failure is None:
            return f"loading {release.model}"
        return (
            f"{release.model} is in service but cannot be loaded here: {failure}; bring its file back, or deploy again"
        )

    @property
    def caught_up(self) -> bool:
        """The log was read to its end once, and what it prescribes serves here (or it prescribes nothing yet)."""
        return self.read_to_end and _model(self.rollout.serving) == (self.serving.model if self.serving else None)

    def read(self, records: Sequence[Record], caught_up: bool) -> None:
        """Take in new records of the log, and serve what it prescribes now."""
        for record in records:
            entry = self.log.read(record)
            if entry.command is None:
                self._metrics.skip(record.topic() or "")
            self._append(entry)
        if records or caught_up > self.read_to_end or self._probation_is_over():
            self.read_to_end = self.read_to_end or caught_up
            self._settle()

    def load_missing(self) -> None:
        """Load what is prescribed and not warm, and answer a stage; then wait until something has changed."""
        while not self._closing.is_set() and (release := self._most_urgent()) is not None:
            self.warm.load(release)
            self._settle()
            self._answer()
        self._answer()
        self._changed.wait(RETRY_AFTER_S)
        self._changed.clear()

    def close(self) -> None:
        """Begin no further load; a wait for changes ends."""
        self._closing.set()
        self._changed.set()

    def _append(self, entry: Entry) -> None:
        if entry.refused is not None:
            logger.warning("model-swap offset %d changed nothing: %s", entry.offset, entry.refused)
        elif entry.complaint:
            logger.warning("model-swap offset %d was carried out although %s", entry.offset, entry.complaint)
        self.warm.remember(entry.after.kept)

    def _settle(self) -> None:
        """Serve what the log prescribes if it is warm, release what nobody needs, wake the loader."""
        with self._lock:
            rollout = self.rollout
            self.warm.keep(rollout.kept)
            self._serve(rollout)
        self._changed.set()

    def _serve(self, rollout: Rollout) -> None:
        release = rollout.serving
        runtime = self.warm.get(release)
        if release is None or runtime is None:
            return
        second = self._second(rollout)
        serving = Serving(runtime, release.model, _model(rollout.before), rollout.command_id, second)
        if self.serving != serving:
            self.serving = serving
            beside = f" beside {second.model}" if second else ""
            logger.info("serving %s%s by command %s", str(release.model), beside, rollout.command_id)

    def _second(self, rollout: Rollout) -> SecondModel | None:
        """What scores beside the model that serves, if warm: the candidate or, for a while, the previous model."""
        candidate, previous = rollout.candidate, rollout.previous
        if candidate is not None:
            runtime = self.warm.get(candidate.release)
            if runtime is not None:
                return SecondModel(candidate.stage_id, runtime, candidate.release.model, candidate.percent, True)
        elif rollout.probation is not None and previous is not None and self._lasts(rollout.probation):
            runtime, now = self.warm.get(previous), self.warm.get(rollout.serving)
            if runtime is not None and now is not None and not runtime.differs_in_calibration_alone(now):
                return SecondModel(rollout.probation.command_id, runtime, previous.model, 0.0, False)
        return None

    def _lasts(self, probation: Probation) -> bool:
        return datetime.now(UTC) < probation.since + self._probation

    def _probation_is_over(self) -> bool:
        """Whether the previous model still scores beside the new one, and need not any longer."""
        second, probation = self.serving.second if self.serving else None, self.rollout.probation
        if second is None or second.is_candidate or probation is None:
            return False
        return not self._lasts(probation)

    def _most_urgent(self) -> Release | None:
        """The first release to keep that is not warm and has not just failed."""
        if not self.read_to_end:
            return None  # what was prescribed long ago is neither loaded nor served
        return self.warm.missing(self.rollout.kept)

    def _answer(self) -> None:
        """Answer each stage once: whether this worker could take it."""
        with self._lock:
            pending = self.rollout.pending if self.read_to_end else None
            if pending is None or pending.stage_id == self._answered:
                return
            failure = self.warm.failure(pending.release)
            candidate = self.warm.get(pending.release)
            if candidate is None and failure is None:
                return
            self._answered = pending.stage_id
        if candidate is not None:
            self._publish(pending, self._admission.objection(pending, candidate, self.serving))
        elif failure is not None:
            self._publish(pending, failure)

    def _publish(self, pending: Pending, reason: str) -> None:
        serving = self.serving
        self._sink.status(
            ModelStatus(
                worker=self.worker,
                phase=Phase.REJECTED if reason else Phase.STAGED,
                at=datetime.now(UTC),
                serving=serving.model if serving else None,
                previous=serving.previous if serving else None,
                command_id=pending.stage_id,
                reason=reason,
            )
        )
        if reason:
            self._metrics.swaps["rejected"].inc()
            subject = str(pending.release.model)
            self._sink.audit(audit_record(self.worker, "reject", subject, reason=reason, command_id=pending.stage_id))


def connect(settings: Settings, producer: ControlProducer, metrics: Metrics) -> Follower:
    """The follower of a worker with these settings."""
    trusted = trust(settings)
    cache = ModelCache(settings.model_cache, trusted)
    probation_s = 0.0 if settings.guard is GuardMode.OFF else settings.guard_watch_s
    limits = load_limits(settings.gate_limits)
    admission = Admission(settings.gates, limits, trusted, partial(require_readable, settings=settings))
    return Follower(settings.worker_name, SwapLog(trusted), cache, producer, metrics, probation_s, admission)


def _model(release: Release | None) -> ModelRef | None:
    return release.model if release else None
