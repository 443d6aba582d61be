"""Writes an input topic keyed by the entity, exactly once: a worker without a model.

A record goes on as it is, with its headers and its timestamp, under the key of its entity, to where Java's client would
send that key. One whose entity cannot be read is a dead letter, as in a worker. The order within a partition is kept.
"""

import logging
from collections.abc import Callable
from threading import Event

import numpy as np
from msgspec.structs import replace
from prometheus_client import CollectorRegistry

from schemas.definition import Definition, Input
from schemas.errors import UserError
from schemas.scoring import RefusalCode
from stream_app.kafka.records import EARLIEST, headers_of
from stream_app.kafka.schema_registry import schema_registry
from stream_app.metrics import Metrics
from stream_app.pipeline.batch import Decoded, Raw
from stream_app.pipeline.breaker import Breaker
from stream_app.pipeline.clock import SYSTEM, Clock
from stream_app.pipeline.decode import identities, read_at, without_blank
from stream_app.pipeline.faults import SessionLost, doing
from stream_app.pipeline.formats.readers import reader_of
from stream_app.pipeline.interval import Interval
from stream_app.pipeline.recovery import Setbacks
from stream_app.pipeline.session import BROKERS, Kafka, Session
from stream_app.pipeline.shape import Shape
from stream_app.settings import Settings

IDLE_S = 0.05

log = logging.getLogger(__name__)


class EntityReader:
    """Reads whose event each record is, and nothing else of it.

    Args:
        definition: Where the entity stands.
        settings: How large a record may be, and where schemas are.

    Raises:
        UserError: records cannot be read so, or need no other key.
    """

    def __init__(self, definition: Definition, settings: Settings) -> None:
        event = definition.event
        if event.entity == "$key":
            raise UserError(f"the entity of {definition.name} is the key of its records: there is nothing to do")
        if event.id == "$key":
            raise UserError(f"the id of an event of {definition.name} is its key, which would be gone: say another id")
        bare = replace(event, id=event.entity, time="$timestamp", time_unit=None, show=())
        bare_definition = Definition(definition.name, bare, (Input("weekend", clock="weekend"),))
        shape, self._event = Shape(bare_definition, None), bare
        self._read = reader_of(bare_definition, shape, settings.record_max_bytes, schema_registry(settings))
        self._entity = read_at(shape, event.entity)

    def __call__(self, raw: Raw) -> Decoded:
        """The entities of the records that have one, and the refusals of the others."""
        found, rows, refused = self._read(raw)
        entities = identities(self._entity(found, [raw.records[row] for row in rows]))
        nothing, times = np.empty((len(rows), 0), dtype=np.float32), [EARLIEST] * len(rows)
        decoded = Decoded(np.array(rows, np.int64), nothing, entities, entities, times, refused)
        decoded = without_blank(decoded, self._event)
        strange = [i for i, row in enumerate(decoded.rows.tolist()) if headers_of(raw.records[row]) is None]
        sentence = "a name among its headers is not UTF-8, so that they cannot be written again"
        return decoded.refuse(dict.fromkeys(strange, sentence), RefusalCode.WRONG_TYPE) if strange else decoded


class Rekey:
    """One worker of a group that writes a topic anew.

    Args:
        settings: Brokers, batches, guarantee; `app_id` names the group.
        definition: Where the entity of a record stands.
        source: Full name of the topic that is read.
        target: Full name of the topic that is written.
        on_status: Called after each commit with a sentence, how things are.
        kafka: Makes the clients.
        clock: The time.

    Attributes:
        written: Records so far, committed.
        refused: Dead letters so far, committed.

    Raises:
        UserError: records cannot be read so.
    """

    def __init__(
        self,
        settings: Settings,
        definition: Definition,
        source: str,
        target: str,
        on_status: Callable[[str], None],
        kafka: Kafka = BROKERS,
        clock: Clock = SYSTEM,
    ) -> None:
        self._settings, self._kafka, self._clock = settings, kafka, clock
        self._read = EntityReader(definition, settings)
        self._source, self._target, self._on_status = source, target, on_status
        self._metrics = Metrics(CollectorRegistry())
        share, window, hold_s = settings.breaker_share, settings.breaker_window_events, settings.breaker_hold_s
        self._breaker, self._is_held = Breaker(share, window, hold_s, clock.monotonic), False
        self._interval = Interval()
        self.written = self.refused = self.commits = 0

    def run(self, stop: Event) -> None:
        """Write until stopped; what was begun is committed.

        Raises:
            PipelineFailed: a person must act.
        """
        setbacks = Setbacks(self._settings, self._metrics, self._clock)
        while not stop.is_set():
            commits = self.commits
            try:
                self._work(stop)
            except SessionLost as lost:
                self._on_status(f"reconnecting: {lost}")
                setbacks.note(lost, self.commits > commits, stop)

    def _work(self, stop: Event) -> None:
        """One session, from the committed offsets on."""
        self._interval = Interval()
        opened = Session(
            self._settings, self._metrics, self._kafka, lambda *_: {}, log.warning, self._clock, self._source
        )
        with opened as session, doing("rekeying"):
            session.input.subscribe(lambda: self._commit(session))
            while not stop.is_set():
                self._heed_breaker(session)
                idle_s = 0.0 if self._interval.is_dirty else IDLE_S
                raw = session.input.poll(self._settings.batch_max_events, self._settings.batch_wait_ms / 1000, idle_s)
                self._note_lost(session)
                if raw is not None:
                    self._process(session, raw)
                if self._interval.age_s(self._clock.monotonic()) >= self._settings.commit_interval_ms / 1000:
                    self._commit(session)
                session.topic.check()
            self._commit(session)

    def _process(self, session: Session, raw: Raw) -> None:
        decoded = self._read(raw)
        records = [raw.records[row] for row in decoded.rows.tolist()]
        session.emitter.copies(self._target, records, decoded.entities)
        session.emitter.dead_letters(raw, decoded.refused)
        self._interval.add(raw, decoded, ())
        self._breaker.count(len(raw.values), len(decoded.refused))

    def _commit(self, session: Session) -> None:
        """Make the open interval permanent: records and offsets, or none of them."""
        interval = self._interval
        if not interval.is_dirty:
            return
        self._interval = Interval(began_at=self._clock.monotonic())
        session.committer.commit(interval.offsets)
        self.written += interval.scored
        self.refused += interval.refused.total()
        self.commits += 1
        session.committer.begin()
        self._on_status(self._status(session))

    def _note_lost(self, session: Session) -> None:
        for partition, gap in session.input.lost().items():
            self._interval.lose(partition, gap)
            if gap.end > gap.start:
                log.warning(
                    "partition %d: offsets %d to %d of %s were never read", partition, gap.start, gap.end, self._source
                )

    def _heed_breaker(self, session: Session) -> None:
        """Hold the input back while most of it is refused: the definition is wrong, or a producer."""
        is_open = self._breaker.is_open
        if is_open:
            session.input.hold()
            if not self._is_held:
                self._on_status(
                    f"held back: {self._breaker.refused_share:.0%} of the latest records are refused, see dead-letters"
                )
        elif self._is_held:
            session.input.release()
        self._is_held = is_open

    def _status(self, session: Session) -> str:
        behind = sum(place.lag for place in session.input.progress())
        return (
            f"{self._source} to {self._target}: {self.written:,} written, {self.refused:,} refused, {behind:,} behind, "
            f"partitions {sorted(session.input.positions)}"
        )
