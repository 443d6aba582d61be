"""The loop that knows all stages: its body reads as the flow does. One loop lives as long as one Kafka session.

Swaps happen between two batches: what the old model decided is committed before the new one decides anything, and the
first offsets of the new one are published in the transaction that holds its first output.
"""

from collections.abc import Callable
from datetime import datetime
from threading import Event
from time import perf_counter
from typing import ParamSpec, TypeVar

from schemas.rollout import ModelStatus, Phase
from stream_app.metrics import Metrics
from stream_app.pipeline.batch import Decided, Raw, Reasoned
from stream_app.pipeline.breaker import Breaker
from stream_app.pipeline.compare import Trial
from stream_app.pipeline.consume import Consumption
from stream_app.pipeline.decode import Decoder
from stream_app.pipeline.explain import explain
from stream_app.pipeline.progress import RUNNING
from stream_app.pipeline.score import score
from stream_app.pipeline.serving import Serving
from stream_app.pipeline.session import Session
from stream_app.pipeline.summarise import Summaries
from stream_app.pipeline.tally import Tally
from stream_app.settings import Settings

P = ParamSpec("P")
R = TypeVar("R")


class Loop:
    """Consume, decode, score, compare, explain, summarise, emit, commit.

    Args:
        settings: Batch sizes and intervals.
        session: The Kafka clients; nobody else uses them.
        models: What must serve from the next batch on.
        metrics: Where each stage is timed.
        tally: Where outcomes are counted.
        breaker: Says when to hold the input back.
        now: The wall clock, for the records.
    """

    def __init__(
        self,
        settings: Settings,
        session: Session,
        models: Callable[[], Serving | None],
        metrics: Metrics,
        tally: Tally,
        breaker: Breaker,
        now: Callable[[], datetime],
    ) -> None:
        self._settings = settings
        self._session = session
        self._models = models
        self._metrics = metrics
        self._tally = tally
        self._now = now
        self._breaker = breaker
        self._held = False
        self._announced: set[int] = set()
        self._said = False
        self._trial: Trial | None = None

    def run(self, serving: Serving, stop: Event) -> None:
        """Start with this model and work until stopped; the last interval is committed.

        Raises:
            PipelineError: the session is lost, or a person must act. What was not committed counts as never done.
        """
        self._serve(serving)
        consumption = self._session.subscribe(on_revoke=self._commit)
        while not stop.is_set():
            self._adopt_model()
            self._heed_breaker(consumption)
            self._consume(consumption)
            if self._tally.age_s >= self._settings.commit_interval_ms / 1000:
                self._commit()
            self._tally.turned(self._state, consumption.progress)
        self._commit()

    def _consume(self, consumption: Consumption) -> None:
        """The next micro-batch, if there is one; nothing holds it any longer when the one after it is asked for."""
        raw = self._timed("consume", consumption.poll, self._settings.batch_max_events, self._wait_s)
        if raw is not None:
            self._process(raw)

    def _process(self, raw: Raw) -> None:
        """One micro-batch through the stages."""
        decoded = self._timed("decode", self._decode, raw)
        began = perf_counter()
        decoded, scored = self._timed("score", score, self._serving.runtime, decoded)
        decided = [Decided(self._serving, decoded, scored)]
        if self._trial is not None:
            took_s = perf_counter() - began
            decided = self._timed("compare", self._trial.decide, raw, decoded, scored, took_s)
        outcomes = [(part, self._timed("explain", self._explain, part)) for part in decided]
        self._timed("summarise", self._summaries.add, raw, decoded, scored, outcomes)
        for part, reasoned in outcomes:
            self._timed("emit", self._session.emitter.outcomes, raw, part, reasoned)
        self._tally.count(raw, decoded, [reasoned for _, reasoned in outcomes])
        self._breaker.count(len(raw.values), len(decoded.refused))

    def _explain(self, part: Decided) -> Reasoned:
        return explain(part.scored, part.author.runtime.manifest.calibration, self._settings.explain_top)

    def _heed_breaker(self, consumption: Consumption) -> None:
        """Hold the input back while the breaker is open; partitions that come meanwhile are held too."""
        held = self._breaker.is_open
        if held:
            consumption.hold()
        elif self._held:
            consumption.release()
        self._held = held
        self._metrics.breaker_open.set(held)

    @property
    def _state(self) -> str:
        if not self._held:
            return RUNNING
        return f"held back: {self._breaker.refused_share:.0%} of the latest records are refused, see dead-letters"

    def _commit(self) -> None:
        """Make the open interval permanent, if there is one."""
        if not self._tally.is_open:
            return
        self._tally.close()
        offsets = self._summaries.offsets
        self._session.emitter.summaries(self._summaries.drain())
        comparison = self._trial.drain() if self._trial is not None else None
        if comparison is not None:
            self._session.emitter.comparison(comparison)
        self._timed("commit", self._session.committer.commit, offsets)
        self._tally.committed(self._session.consumption.progress(), self._serving)
        if comparison is not None:
            self._tally.compared(comparison)
        self._session.committer.begin()

    def _adopt_model(self) -> None:
        """Serve what the swap log prescribes, and say for every partition of ours from which offset on."""
        prescribed = self._models()
        if prescribed is not None and prescribed is not self._serving:
            self._commit()
            if prescribed.model != self._serving.model:
                back = prescribed.model == self._serving.previous
                self._metrics.swaps["rolled_back" if back else "applied"].inc()
            self._serve(prescribed)
        positions = self._session.consumption.positions
        self._announced &= positions.keys()
        fresh = positions.keys() - self._announced
        if fresh or not self._said:
            self._session.emitter.status(self._applied({str(p): positions[p] for p in sorted(fresh)}))
            self._announced |= fresh
            self._said = True
            self._tally.open()

    def _serve(self, serving: Serving) -> None:
        manifest, second, worker = serving.runtime.manifest, serving.second, self._settings.worker_name
        self._serving = serving
        self._decode = Decoder(manifest.inputs, self._settings.record_max_bytes, manifest.segments)
        canary = second.model.sha256 if second is not None and second.percent else ""
        self._summaries = Summaries(
            manifest.signals, manifest.relations, serving.model.sha256, worker, canary, manifest.segments
        )
        self._trial = None
        if second is not None:
            inputs = second.runtime.manifest.inputs
            decode = None if inputs == manifest.inputs else Decoder(inputs, self._settings.record_max_bytes)
            self._trial = Trial(serving, second, worker, decode)
        self._announced.clear()
        self._said = False

    def _applied(self, barriers: dict[str, int]) -> ModelStatus:
        return ModelStatus(
            worker=self._settings.worker_name,
            phase=Phase.APPLIED,
            at=self._now(),
            serving=self._serving.model,
            previous=self._serving.previous,
            candidate=self._serving.candidate,
            percent=self._serving.percent,
            command_id=self._serving.command_id,
            barriers=barriers,
        )

    @property
    def _wait_s(self) -> float:
        """How long a micro-batch may wait to fill: not beyond the end of the commit interval."""
        left_s = max(self._settings.commit_interval_ms / 1000 - self._tally.age_s, 0.0)
        return min(self._settings.batch_wait_ms / 1000, left_s)

    def _timed(self, stage: str, step: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        with self._metrics.stages[stage].time():
            return step(*args, **kwargs)
