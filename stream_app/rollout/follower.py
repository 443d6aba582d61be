"""The swap log in, the model to serve out: one thread tails, another loads, so that no rollback waits behind a load.

`Follower.serving` is None until the log has been read to its end and the model that it prescribes is loaded; from then
on it follows the log. A model that fails its checks here leaves the old one serving: as a stage it is rejected on
`model-status`, with the reason; as the prescribed model (this worker joined late, or its disk was full) it is retried,
and `problem` says so. The previous model, the candidate and the pending one stay warm; what is none of them is
released. A candidate that is not warm here yet decides nothing here: the model that serves does.
"""

import logging
import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Protocol

from models.gates.limits import load_limits
from schemas.rollout import AuditRecord, ModelStatus, Phase
from schemas.topics import MODEL_SWAP
from schemas.transactions import ModelRef
from stream_app.audit.record import audit_record
from stream_app.kafka.log import Log, Tail
from stream_app.metrics import Metrics
from stream_app.pipeline.serving import SecondModel, Serving
from stream_app.rollout.admission import Admission
from stream_app.rollout.artefacts import ModelCache
from stream_app.rollout.entries import Entry, read
from stream_app.rollout.publish import Publisher
from stream_app.rollout.state import Pending, Release, Rollout, Watch
from stream_app.rollout.trust import trust
from stream_app.rollout.warm import RETRY_AFTER_S, WarmModels
from stream_app.settings import GuardMode, Settings

logger = logging.getLogger(__name__)

NO_MODEL = "no model deployed yet: stream-app deploy MODEL"
POLL_S = 0.05
POLL_LIMIT = 500


class StatusSink(Protocol):
    """Where a follower says what became of a stage."""

    def status(self, status: ModelStatus) -> None:
        """To `model-status`."""

    def audit(self, record: AuditRecord) -> None:
        """To `audit`."""


class Follower:
    """Keeps `serving` at what the log prescribes. All public attributes may be read from any thread.

    Attributes:
        worker: The name under which this worker answers.
        warm: What it keeps loaded.
        serving: What the pipeline uses from its next batch on; None until this worker may score.
        history: Every record of the log so far, with what became of it; only ever appended to.
        read_to_end: The log was read to the end that it had when we started.
        failure: What killed a thread of the follower: the worker should end with it. None while all is well.
    """

    def __init__(
        self,
        worker: str,
        log: Log,
        cache: ModelCache,
        sink: StatusSink,
        metrics: Metrics,
        watch_s: float = 0.0,
        admission: Admission | None = None,
    ) -> None:
        self.worker = worker
        self._watch_for = timedelta(seconds=watch_s)
        self.serving: Serving | None = None
        self.history: list[Entry] = []
        self.failure: Exception | None = None
        self._log = log
        self._sink = sink
        self._metrics = metrics
        self.warm = WarmModels(cache, metrics)
        self._admission = admission or Admission()
        self._lock = threading.Lock()
        self._changed = threading.Event()
        self._stopping = threading.Event()
        self.read_to_end = False
        self._answered = ""
        self._threads = [
            threading.Thread(target=self._guarded, args=(work,), name=f"model-swap-{name}", daemon=True)
            for name, work in (("follow", self._follow), ("load", self._load_missing))
        ]

    def start(self) -> None:
        """Begin to follow."""
        for thread in self._threads:
            thread.start()

    def stop(self, timeout_s: float = 2.0) -> None:
        """Stop both threads; a load under way is left to end with the process."""
        self._stopping.set()
        self._changed.set()
        for thread in self._threads:
            if thread.is_alive():
                thread.join(timeout_s)
        self._log.close()

    @property
    def rollout(self) -> Rollout:
        """What the log prescribes, as far as it has been read."""
        return self.history[-1].after if self.history else Rollout()

    @property
    def caught_up(self) -> bool:
        """The log was read to its end once, and what it prescribes serves here (or it prescribes nothing yet)."""
        return self.read_to_end and _model(self.rollout.serving) == (self.serving.model if self.serving else None)

    @property
    def problem(self) -> str | None:
        """Why this worker does not serve what it should, for people; None when it does."""
        if self.failure is not None:
            return f"the follower of the swap log died: {self.failure}"
        if not self.read_to_end:
            return "reading the swap log"
        prescribed = self.rollout.serving
        if prescribed is None:
            return NO_MODEL
        if self.caught_up:
            return None
        failure = self.warm.failure(prescribed)
        if failure is None:
            return f"loading {prescribed.model}"
        return f"cannot serve {prescribed.model}: {failure}"

    def _guarded(self, work: Callable[[], None]) -> None:
        """A thread of this class never dies in silence: whoever runs the follower reads `failure`."""
        try:
            work()
        except Exception as error:
            logger.exception("the follower of the swap log died")
            self.failure = error

    def _follow(self) -> None:
        while not self._stopping.is_set():
            records = self._log.poll(POLL_S, POLL_LIMIT)
            for record in records:
                self._append(read(self.rollout, record, self._admission.trust))
            if records or not self.read_to_end or self._watched_enough():
                self.read_to_end = self.read_to_end or self._log.caught_up
                self._settle()

    def _append(self, entry: Entry) -> None:
        self.history.append(entry)
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
        serving = Serving(runtime, release.model, _model(rollout.previous), rollout.command_id, second)
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
        elif rollout.watch is not None and previous is not None and datetime.now(UTC) < self._watch_end(rollout.watch):
            runtime = self.warm.get(previous)
            if runtime is not None:
                return SecondModel(rollout.watch.command_id, runtime, previous.model, 0.0, False)
        return None

    def _watch_end(self, watch: Watch) -> datetime:
        return watch.since + self._watch_for

    def _watched_enough(self) -> bool:
        """The comparison with the previous model is over and its time has come."""
        second, watch = self.serving.second if self.serving else None, self.rollout.watch
        if second is None or second.is_candidate or watch is None:
            return False
        return datetime.now(UTC) >= self._watch_end(watch)

    def _load_missing(self) -> None:
        while not self._stopping.is_set():
            self._changed.wait(RETRY_AFTER_S)
            self._changed.clear()
            while not self._stopping.is_set() and (release := self._most_urgent()) is not None:
                self._load(release)
            self._answer()

    def _most_urgent(self) -> Release | None:
        """The first of those to keep that is not warm and has not just failed."""
        if not self.read_to_end:
            return None  # what was prescribed long ago is neither loaded nor served
        return self.warm.missing(self.rollout.kept)

    def _load(self, release: Release) -> None:
        self.warm.load(release)
        self._settle()
        self._answer()

    def _answer(self) -> None:
        """Say once for each stage whether this worker could take it."""
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
            self._say(pending, self._admission.objection(pending, candidate, self.serving))
        elif failure is not None:
            self._say(pending, failure)

    def _say(self, pending: Pending, reason: str) -> None:
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


def connect(settings: Settings, publisher: Publisher, metrics: Metrics) -> Follower:
    """A follower of the real log, not yet started.

    Args:
        settings: Where Kafka and the cache are, and this worker's name.
        publisher: Where it says what became of a stage.
        metrics: Where loads are timed and rejections counted.
    """
    log = Tail(settings, [MODEL_SWAP])
    trusted = trust(settings)
    cache = ModelCache(settings.model_cache, trusted)
    watch_s = 0.0 if settings.guard is GuardMode.OFF else settings.guard_watch_s
    admission = Admission(settings.gates, load_limits(settings.gate_limits), trusted)
    return Follower(settings.worker_name, log, cache, publisher, metrics, watch_s, admission)


def _model(release: Release | None) -> ModelRef | None:
    return release.model if release else None
