"""Decodes records of the input that are read again, with the windows that the stream had for them.

The windows of a partition are rebuilt as by a worker that takes it up: from a checkpoint that is no newer, else from
the beginning of its log. From there on its records must come in order, without a gap.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

import numpy as np

from models.manifest import Manifest
from schemas.definition import Definition
from schemas.topics import TRANSACTIONS
from stream_app.kafka.log import Record
from stream_app.kafka.records import milliseconds_of
from stream_app.kafka.schema_registry import schema_registry
from stream_app.kafka.topics import name
from stream_app.pipeline.batch import Decoded, Raw
from stream_app.pipeline.decode import Decoder
from stream_app.pipeline.enrich import Windows, fill
from stream_app.pipeline.faults import doing
from stream_app.pipeline.input_topic import InputTopic
from stream_app.pipeline.rebuild import Rebuild, logs_of
from stream_app.pipeline.repeats import Decode, once
from stream_app.pipeline.session import BROKERS, Kafka
from stream_app.pipeline.totals_reader import Follow
from stream_app.settings import Settings

if TYPE_CHECKING:
    from stream_app.replay.other_windows import OtherWindows, PublishedPast

TURN_S = 0.2
STRETCH_US = 6 * 3_600_000_000  # less than for how long views of other entities hold what is older than they need

Tell = Callable[[str], object]
"""Called with what is being done."""


class LogDecoder:
    """What one model sees of records that are read again.

    Args:
        settings: Limits of decoding, and of how many entities the past is held.
        manifest: Of the model.
        tell: Called with how far the past of a partition has been counted.
        kafka: Makes the clients that read it.

    Attributes:
        begins: Partition to the time of its first event, where its log need not hold all that was counted.
        short: Events so far of which the log does not hold all that their windows look back on.
        scored_at: When the records were scored: labels that came later are not known. None: when they came.
    """

    def __init__(
        self, settings: Settings, manifest: Manifest, tell: Tell = lambda _: None, kafka: Kafka = BROKERS
    ) -> None:
        self._definition = definition = manifest.definition
        limits = settings.record_max_bytes, None, settings.event_ahead_max_s
        decode = Decoder(definition, *limits, manifest.categories, schema_registry(settings))
        logs, self._tell = logs_of(settings, kafka), tell
        # Windows count an event once; without any, a record stands for itself
        self._decode = once(decode, definition, settings, *logs[:2]) if definition.windows else decode
        self._past = _Past(settings, definition, self._decode, kafka, tell) if definition.windows else None
        self.begins: dict[int, datetime] = {}
        self.short = 0
        self.scored_at: datetime | None = None

    @property
    def reach(self) -> timedelta:
        """How far back the windows look; nothing without any."""
        return timedelta(seconds=self._definition.reach_s)

    def __call__(self, records: Sequence[Record]) -> Decoded:
        """Decode records, those of each partition in the order of its log.

        Raises:
            PipelineError: their past cannot be read.
        """
        values = [record.value() for record in records]
        if self._past is None:
            return self._decode(Raw(values, (), (), records, {}))
        partitions = [record.partition() or 0 for record in records]
        offsets = [record.offset() or 0 for record in records]
        ends = dict(zip(partitions, offsets, strict=True))  # the last of each wins
        firsts = dict(zip(reversed(partitions), reversed(offsets), strict=True))
        begun = [partition for partition in firsts if self._past.begin(partition, firsts[partition], self.begins)]
        spans = {partition: (self._past.reached(partition), end + 1) for partition, end in ends.items()}
        raw = Raw(values, partitions, offsets, records, spans)
        decoded, places = self._decode(raw), np.array(partitions)
        self._note_short(decoded, places, begun)
        came_ms = max((milliseconds_of(record) or 0 for record in records), default=0)
        labels_until_ms = came_ms if self.scored_at is None else round(self.scored_at.timestamp() * 1000)
        found = np.full((len(decoded.rows), len(self._definition.windows)), np.nan, dtype=np.float32)
        for partition in spans:
            rows = places[decoded.rows] == partition
            found[rows] = self._past.step(partition, raw, decoded.keep(rows), labels_until_ms)
        return fill(decoded, self._definition, found)

    @property
    def remark(self) -> str:
        """What a person should know of the windows so far; empty: nothing."""
        if not self.short:
            return ""
        since, reach_s = max(self.begins.values()), self.reach.total_seconds()
        length = f"{reach_s / 86_400:g} days" if reach_s >= 86_400 else f"{reach_s / 3600:g} hours"
        return (
            f"the input now begins {since:%Y-%m-%d %H:%M} UTC, and the windows look back {length}: what they saw then "
            f"is not there for {self.short:,} {'event' if self.short == 1 else 'events'}"
        )

    def is_whole(self, partition: int, at: datetime) -> bool:
        """Whether the log holds all that the windows of an event of this time look back on."""
        begins = self.begins.get(partition)
        return begins is None or begins + self.reach <= at

    def _note_short(self, decoded: Decoded, partitions: np.ndarray, begun: Sequence[int]) -> None:
        """Count the events that are short, with those of partitions that just begun, without all of their past."""
        for partition in begun:
            of_it = np.flatnonzero(partitions[decoded.rows] == partition).tolist()
            if of_it and partition not in self.begins:
                self.begins[partition] = min(decoded.event_times[row] for row in of_it)
        if self.begins:
            places = zip(partitions[decoded.rows].tolist(), decoded.event_times, strict=True)
            self.short += sum(not self.is_whole(*place) for place in places)


class _Past:
    """The windows of each partition by themselves: each goes through the time of its own events.

    Args:
        settings: Where the topics are.
        definition: Of the windows.
        decode: Decodes the records that count.
        kafka: Makes the clients.
        tell: Called with how far a partition has been counted.
    """

    def __init__(self, settings: Settings, definition: Definition, decode: Decode, kafka: Kafka, tell: Tell) -> None:
        topic = InputTopic(kafka.admin(settings), name(settings, TRANSACTIONS), time.monotonic)
        self._columns = len(definition.windows)
        self._new: Callable[[], Windows] = lambda: Windows(definition, topic.id, decode, settings.window_max_entities)
        self._follow: Follow = lambda topics, since: kafka.follow(settings, topics, since)
        self._logs, self._tell = logs_of(settings, kafka), tell
        self._windows: dict[int, Windows] = {}
        self._others: dict[int, OtherWindows] = {}
        self._published: PublishedPast | None = None

    def begin(self, partition: int, offset: int, begins: dict[int, datetime]) -> bool:
        """Build the windows of a partition as of an offset, if it is new.

        Returns:
            Whether its log need not hold all of its past: the time of its first event is put into `begins`, if known.
        """
        if partition in self._windows:
            return False
        windows = self._windows[partition] = self._new()
        if windows.have_others:
            windows.meet_others()
        rebuild = Rebuild(windows, partition, self._logs)
        with doing("counting the past"):
            while not rebuild.turn(offset, TURN_S):
                self._tell(f"counting the past of partition {partition}: {rebuild.reached:,} of {offset:,}")
        windows.states[partition], windows.reached[partition] = rebuild.state, offset
        if windows.have_others:
            self._begin_others(windows, partition, rebuild.partitions[self._logs.input])
        is_short = rebuild.is_short and not rebuild.begins_whole
        if is_short and rebuild.since is not None:
            begins[partition] = rebuild.since
        return is_short

    def reached(self, partition: int) -> int:
        """Up to which offset a partition has been counted."""
        return self._windows[partition].reached[partition]

    def step(self, partition: int, raw: Raw, decoded: Decoded, labels_until_ms: int) -> np.ndarray:
        """The windows of the events of one partition, float32 [m, windows]; they are counted.

        Args:
            partition: Which.
            raw: The batch.
            decoded: Of this partition alone.
            labels_until_ms: Labels that came later are not known.
        """
        windows, (start, end) = self._windows[partition], raw.spans[partition]
        if partition not in self._others:
            return windows.step(replace(raw, spans={partition: (start, end)}), decoded)
        found = [np.empty((0, self._columns), dtype=np.float32)]
        for rows, after in _stretches(raw, decoded, end):
            part = decoded.keep(rows)
            self._others[partition].move(part.event_times, labels_until_ms)
            found.append(windows.step(replace(raw, spans={partition: (start, after)}), part))
            start = after
        windows.reached[partition] = end
        return np.concatenate(found)

    def _begin_others(self, windows: Windows, partition: int, partitions: int) -> None:
        from stream_app.replay.other_windows import OtherWindows, PublishedPast  # they import the compiler

        if self._published is None:
            self._tell("reading the totals of other entities")
            self._published = PublishedPast(self._new(), self._follow)
        self._others[partition] = OtherWindows(windows, self._published, partitions)


def _stretches(raw: Raw, decoded: Decoded, end: int) -> Iterator[tuple[np.ndarray, int]]:
    """The events of one partition in stretches of time, each with the offset up to which it goes.

    What is known of other entities moves on with the time of the events, and what is older is let go in the end.
    """
    if decoded.past is None or not len(decoded.rows):
        return
    stretch = np.maximum.accumulate(decoded.past.times) // STRETCH_US
    offsets = np.array(raw.offsets)[decoded.rows]
    for number in np.unique(stretch):
        after = np.flatnonzero(stretch > number)
        yield stretch == number, int(offsets[after[0]]) if len(after) else end
