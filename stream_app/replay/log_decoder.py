"""Decodes records of the input that are read again, with the windows that the stream had for them.

The windows of a partition are rebuilt as by a worker that takes it up: from a checkpoint that is no newer, else from
the beginning of its log. From there on its records must come in order, without a gap.
"""

import time
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta

import numpy as np

from models.manifest import Manifest
from schemas.topics import TRANSACTIONS
from stream_app.kafka import clients
from stream_app.kafka.log import Record
from stream_app.kafka.schema_registry import schema_registry
from stream_app.kafka.topics import name
from stream_app.pipeline.batch import Decoded, Raw
from stream_app.pipeline.decode import Decoder
from stream_app.pipeline.enrich import Windows, fill
from stream_app.pipeline.faults import doing
from stream_app.pipeline.input_topic import InputTopic
from stream_app.pipeline.rebuild import Rebuild, logs_of
from stream_app.pipeline.session import Kafka
from stream_app.settings import Settings

TURN_S = 0.2

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
    """

    def __init__(
        self, settings: Settings, manifest: Manifest, tell: Tell = lambda _: None, kafka: Kafka = clients
    ) -> None:
        self._definition = definition = manifest.definition
        limits = settings.record_max_bytes, None, settings.event_ahead_max_s
        self._decode = Decoder(definition, *limits, manifest.categories, schema_registry(settings))
        self._tell = tell
        self._windows: Windows | None = None
        self.begins: dict[int, datetime] = {}
        self.short = 0
        if definition.windows:
            topic = InputTopic(kafka.admin(settings), name(settings, TRANSACTIONS), time.monotonic)
            self._windows = Windows(definition, topic.id, self._decode, settings.window_max_entities)
            self._logs = logs_of(settings, kafka)

    @property
    def reach(self) -> timedelta:
        """How far back the windows look; nothing without any."""
        return timedelta(seconds=self._definition.reach_s)

    def __call__(self, records: Sequence[Record]) -> Decoded:
        """Decode records, those of each partition in the order of its log.

        Raises:
            PipelineError: their past cannot be read.
        """
        windows, values = self._windows, [record.value() for record in records]
        if windows is None:
            return self._decode(Raw(values, (), (), records, {}))
        partitions = [record.partition() or 0 for record in records]
        offsets = [record.offset() or 0 for record in records]
        ends = dict(zip(partitions, offsets, strict=True))  # the last of each wins
        firsts = dict(zip(reversed(partitions), reversed(offsets), strict=True))
        begun = [partition for partition in firsts if partition not in windows.states]
        short = [partition for partition in begun if self._rebuild(windows, partition, firsts[partition])]
        spans = {partition: (windows.reached[partition], end + 1) for partition, end in ends.items()}
        raw = Raw(values, partitions, offsets, records, spans)
        decoded = self._decode(raw)
        self._note_short(decoded, np.array(partitions), short)
        return fill(decoded, self._definition, windows.step(raw, decoded))

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

    def _rebuild(self, windows: Windows, partition: int, offset: int) -> bool:
        """Build the windows as of an offset; whether the log need not hold all that was counted."""
        rebuild = Rebuild(windows, partition, self._logs)
        with doing("counting the past"):
            while not rebuild.turn(offset, TURN_S):
                self._tell(f"counting the past of partition {partition}: {rebuild.reached:,} of {offset:,}")
        windows.states[partition], windows.reached[partition] = rebuild.state, offset
        is_short = rebuild.is_short and not rebuild.begins_whole
        if is_short and rebuild.since is not None:
            self.begins[partition] = rebuild.since
        return is_short

    def _note_short(self, decoded: Decoded, partitions: np.ndarray, begun: Sequence[int]) -> None:
        """Count the events that are short, with those of partitions that just begun, without all of their past."""
        for partition in begun:
            of_it = np.flatnonzero(partitions[decoded.rows] == partition).tolist()
            if of_it and partition not in self.begins:
                self.begins[partition] = min(decoded.event_times[row] for row in of_it)
        if self.begins:
            places = zip(partitions[decoded.rows].tolist(), decoded.event_times, strict=True)
            self.short += sum(not self.is_whole(*place) for place in places)
