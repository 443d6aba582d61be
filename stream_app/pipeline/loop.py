"""The loop that knows all stages: its body reads as the flow does. One loop lives as long as one Kafka session.

Models are swapped between two batches: the outcomes of the old model are committed before the new one scores, and the
first offsets of the new one are published in the transaction that holds its first output.
"""

from collections.abc import Callable
from contextlib import AbstractContextManager, closing
from threading import Event
from time import perf_counter

from models.manifest import Manifest, Segments
from schemas.rollout import ModelStatus, Phase
from schemas.scoring import RefusalCode
from stream_app.kafka.schema_registry import schema_registry
from stream_app.metrics import Metrics
from stream_app.pipeline.batch import Decided, Raw, Reasoned
from stream_app.pipeline.breaker import Breaker
from stream_app.pipeline.clock import Clock
from stream_app.pipeline.compare import SecondScorer
from stream_app.pipeline.decode import Decoder
from stream_app.pipeline.explain import explain
from stream_app.pipeline.interval import Interval
from stream_app.pipeline.progress import HELD_BACK, RUNNING
from stream_app.pipeline.repeats import Decode, Once, Repeats, once
from stream_app.pipeline.score import score
from stream_app.pipeline.serving import Serving
from stream_app.pipeline.session import Session
from stream_app.pipeline.summarise import Summaries
from stream_app.pipeline.tally import Tally
from stream_app.pipeline.window_keeper import WindowKeeper
from stream_app.settings import Settings

SHORTEST_S = 0.005  # of an interval in which there is something that somebody waits for
BREATH = 3.0  # times as long as the last commit took: two thirds of the time are left to the stages
IDLE_S = 0.05  # how often the loop turns where nothing comes and nothing waits for a commit


class Loop:
    """Consume, decode, enrich, score, compare, explain, summarise, emit, commit.

    Args:
        settings: Batch sizes and intervals.
        session: The Kafka clients, which only this loop uses.
        models: The models to serve from the next batch on.
        metrics: Times of the stages.
        tally: Figures of committed outcomes.
        breaker: Decides when to hold the input back.
        clock: The time.
    """

    def __init__(
        self,
        settings: Settings,
        session: Session,
        models: Callable[[], Serving | str],
        metrics: Metrics,
        tally: Tally,
        breaker: Breaker,
        clock: Clock,
    ) -> None:
        self._settings = settings
        self._session = session
        self._models = models
        self._metrics = metrics
        self._tally = tally
        self._clock = clock
        self._breaker = breaker
        self._held = False
        self._interval = Interval()
        self._commit_took_s = 0.0
        self._is_behind = False
        self._repeats = Repeats()
        self._decode: Decode | None = None
        self._windows = WindowKeeper(settings, session, self._decoder, metrics, tally.notice, clock)
        self._filling = ""
        self._second: SecondScorer | None = None
        self._announced: set[int] | None = None

    def run(self, serving: Serving, stop: Event) -> None:
        """Start with this model and work until stopped; the last interval is committed.

        Raises:
            PipelineError: the session is lost, or a person must act. Work that was not committed counts as never done.
        """
        self._serve(serving)
        self._session.input.subscribe(self._commit)
        with closing(self._windows):
            self._work(stop)

    def _work(self, stop: Event) -> None:
        while not stop.is_set():
            self._adopt_model()
            self._announce_barriers()
            self._heed_breaker()
            self._build_windows()
            self._consume()
            if self._left_s <= 0:
                self._commit()
            self._session.topic.check()
            self._tally.loop_turned(self._state, self._session.input.progress)
        self._commit()

    def _consume(self) -> None:
        """Poll and process one batch; drop every reference to it before the next poll (ADR 31)."""
        with self._time("consume"):
            idle_s = 0.0 if self._interval.is_dirty or self._windows.are_behind else IDLE_S
            raw = self._session.input.poll(self._settings.batch_max_events, self._wait_s, idle_s)
        for partition, gap in self._session.input.lost().items():
            self._interval.lose(partition, gap)
        if raw is not None:
            self._is_behind = len(raw.values) >= self._settings.batch_max_events
            self._process(raw)

    def _process(self, raw: Raw) -> None:
        """One micro-batch through the stages."""
        assert self._decode is not None  # noqa: S101 - since `_serve`
        with self._time("decode"):
            decoded = self._decode(raw)
        if self._windows.are_used:
            with self._time("enrich"):
                decoded = self._windows(raw, decoded, self._serving.runtime.manifest)
        began = perf_counter()
        with self._time("score"):
            decoded, scored = score(self._serving.runtime, decoded)
        decided = [Decided(self._serving, decoded, scored)]
        if self._second is not None:
            took_s = perf_counter() - began
            with self._time("compare"):
                decided = self._second.decide(raw, decoded, scored, took_s)
        with self._time("explain"):
            outcomes = [(part, self._explain(part)) for part in decided]
        with self._time("summarise"):
            self._summaries.add(raw, decoded, scored, outcomes)
        with self._time("emit"):
            for part, reasoned in outcomes:
                self._session.emitter.outcomes(raw, part, reasoned)
        self._interval.add(raw, decoded, [reasoned for _, reasoned in outcomes])
        self._interval.p_values.append(self._serving.runtime.manifest.calibration.p_values(scored.score))
        again = sum(refusal.code is RefusalCode.REPEATED for refusal in decoded.refused)
        self._interval.repeated += again + self._repeats.count(decoded.event_ids)
        self._metrics.batch.observe(len(raw.values))
        self._breaker.count(len(raw.values), len(decoded.refused) - again)

    def _explain(self, part: Decided) -> Reasoned:
        return explain(part.scored, part.author.runtime.manifest.calibration, self._settings.explain_top)

    def _commit(self) -> None:
        """Make the open interval permanent, if it holds anything: its outputs and its offsets, or none of them."""
        interval = self._interval
        if not interval.is_dirty:
            return
        self._interval = Interval(began_at=self._clock.monotonic())
        for partition in self._windows.publish() if self._windows.are_used else ():
            interval.stay(partition, self._session.input.positions[partition])
        self._session.emitter.summaries(self._summaries.drain(interval.spans, interval.lost))
        comparison = self._second.drain() if self._second is not None else None
        if comparison is not None:
            self._session.emitter.comparison(comparison)
        if self._windows.has_records:
            self._windows.write()
        began = self._clock.monotonic()
        with self._time("commit"):
            self._session.committer.commit(interval.offsets)
        self._commit_took_s = self._clock.monotonic() - began
        self._windows.committed()
        self._tally.committed(interval, self._session.input.progress(), self._serving)
        if comparison is not None:
            self._tally.compared(comparison)
        self._session.committer.begin()

    def _adopt_model(self) -> None:
        """Serve what the swap log prescribes."""
        prescribed = self._models()
        if isinstance(prescribed, str):
            return
        are_ready = self._windows.are_ready(_manifests(prescribed))
        if prescribed is self._serving or not are_ready:  # the models until then go on
            return
        self._commit()
        if prescribed.model != self._serving.model:
            back = prescribed.model == self._serving.previous
            self._metrics.swaps["rolled_back" if back else "applied"].inc()
        self._serve(prescribed)

    def _announce_barriers(self) -> None:
        """Publish the offset from which on this model scores, of each partition that it has not been published for."""
        positions = self._session.input.positions
        if self._announced == positions.keys():
            return
        fresh = positions.keys() - (self._announced or ())
        if fresh or self._announced is None:
            self._session.emitter.status(self._applied({str(p): positions[p] for p in sorted(fresh)}))
            self._interval.is_dirty = self._interval.is_awaited = True
        self._announced = set(positions)

    def _serve(self, serving: Serving) -> None:
        manifest, second, worker = serving.runtime.manifest, serving.second, self._settings.worker_name
        self._serving = serving
        self._windows.serve(_manifests(serving))
        own = self._decoder(manifest, manifest.segments)
        self._decode = own.after(self._decode) if isinstance(own, Once) else own
        canary = second.model.sha256 if second is not None and second.percent else ""
        self._summaries = Summaries(
            manifest.signals, manifest.relations, serving.model.sha256, worker, canary, manifest.segments
        )
        self._second = None
        if second is not None:
            theirs = second.runtime.manifest
            decode = None if theirs.reads_as(manifest) else self._windows.reader(theirs)
            self._second = SecondScorer(serving, second, worker, decode)
        self._announced = None

    def _build_windows(self) -> None:
        """What partitions, or models, wait for; with nothing in the open transaction, for it may take seconds."""
        if self._windows.are_behind:
            self._commit()
        self._filling = self._windows.turn(is_committed=not self._interval.is_dirty)
        if self._windows.has_records or (not self._interval.is_dirty and self._windows.are_due):
            self._interval.is_dirty = True

    def _decoder(self, manifest: Manifest, segments: Segments | None = None) -> Decode:
        limit, ahead_s = self._settings.record_max_bytes, self._settings.event_ahead_max_s
        registry, logs = schema_registry(self._settings), self._session.logs
        decode = Decoder(manifest.definition, limit, segments, ahead_s, manifest.categories, registry)
        return once(decode, manifest.definition, self._settings, logs.consumer, logs.input)

    def _applied(self, barriers: dict[str, int]) -> ModelStatus:
        return ModelStatus(
            worker=self._settings.worker_name,
            phase=Phase.APPLIED,
            at=self._clock.now(),
            serving=self._serving.model,
            previous=self._serving.previous,
            candidate=self._serving.candidate,
            percent=self._serving.percent,
            command_id=self._serving.command_id,
            barriers=barriers,
        )

    def _heed_breaker(self) -> None:
        """Hold the input back while the breaker is open; partitions that are assigned meanwhile are held too."""
        held = self._breaker.is_open
        if held:
            self._session.input.hold()
        elif self._held:
            self._session.input.release()
        self._held = held
        self._metrics.breaker_open.set(held)

    @property
    def _state(self) -> str:
        if not self._held:
            return self._filling or RUNNING
        return f"{HELD_BACK}: {self._breaker.refused_share:.0%} of the latest records are refused, see dead-letters"

    @property
    def _wait_s(self) -> float:
        """How long a micro-batch may wait to fill: not beyond the end of the commit interval."""
        return min(self._settings.batch_wait_ms / 1000, max(self._left_s, 0.0))

    @property
    def _left_s(self) -> float:
        """Until the next commit. What somebody waits for waits less, unless the input is more than batches take."""
        longest_s = self._settings.commit_interval_ms / 1000
        if self._interval.is_awaited and self._session.committer.hides_outputs and not self._is_behind:
            longest_s = min(longest_s, max(SHORTEST_S, BREATH * self._commit_took_s))
        return longest_s - self._interval.age_s(self._clock.monotonic())

    def _time(self, stage: str) -> AbstractContextManager[object]:
        return self._metrics.stages[stage].time()


def _manifests(serving: Serving) -> list[Manifest]:
    """Of the model that decides, and of the one beside it."""
    second = [] if serving.second is None else [serving.second.runtime.manifest]
    return [serving.runtime.manifest, *second]
