"""Proof that windows follow the log: the last whole cut of a partition, beside what its log alone gives."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from time import monotonic

import numpy as np

from models.manifest import Manifest
from models.windows.blocks import POSITION, TIME
from models.windows.compiled import Batch
from models.windows.plan import by_entity
from models.windows.state import WindowState
from schemas.definition import Window
from schemas.topics import TRANSACTIONS
from stream_app.kafka.schema_registry import schema_registry
from stream_app.kafka.topics import name
from stream_app.pipeline.batch import Decoded, Raw
from stream_app.pipeline.decode import Decoder
from stream_app.pipeline.enrich import Windows
from stream_app.pipeline.faults import doing
from stream_app.pipeline.input_topic import InputTopic
from stream_app.pipeline.rebuild import Logs, Rebuild, logs_of
from stream_app.pipeline.repeats import Decode, once
from stream_app.pipeline.session import BROKERS, Kafka
from stream_app.pipeline.window_records import Checkpoint
from stream_app.settings import Settings

TURN_S = 0.2
SHOWN = 20  # differences
HELD = "what is held"  # where values agree, and what they are made of does not


@dataclass(frozen=True)
class WindowDifference:
    """One value that is not what the log gives; None is a value that is missing."""

    entity: str
    window: str
    checkpoint: float | None
    log: float | None


@dataclass(frozen=True)
class WindowsCheck:
    """What became of the windows of one partition.

    Attributes:
        partition: Of the input.
        cut: Offset of the last whole cut; None: there is none yet.
        entities: Of the cut, and of the log.
        unverifiable: Of these, entities with a past that the log no longer holds, or never held.
        differing: Of these, entities that are not as the log gives them.
        examples: Some of their values.
    """

    partition: int
    cut: int | None
    entities: int = 0
    unverifiable: int = 0
    differing: int = 0
    examples: list[WindowDifference] = field(default_factory=list)


def verify_windows(
    settings: Settings, manifest: Manifest, tell: Callable[[str], object] = lambda _: None, kafka: Kafka = BROKERS
) -> list[WindowsCheck]:
    """Count the log of each partition up to its last whole cut, and compare; workers may run.

    Args:
        settings: Where the topics are.
        manifest: Of the model whose windows these are.
        tell: Called with how far a partition has been counted.
        kafka: Makes the clients.

    Raises:
        PipelineError, BrokerError: the topics cannot be read.
    """
    definition = manifest.definition
    limits = settings.record_max_bytes, None, settings.event_ahead_max_s
    logs, found = logs_of(settings, kafka), []
    read = Decoder(definition, *limits, manifest.categories, schema_registry(settings))
    decode = once(read, definition, settings, logs.consumer, logs.input)
    with doing("counting the log"):
        topic = InputTopic(kafka.admin(settings), name(settings, TRANSACTIONS), monotonic)
        consumer = logs.consumer()
        partitions = len(consumer.list_topics(topic.name, timeout=10.0).topics[topic.name].partitions)
        consumer.close()
        for partition in range(partitions):
            names = _Names(decode, definition.event.entity)
            windows = Windows(definition, topic.id, names, settings.window_max_entities)
            rebuild = _FromTheLog(windows, partition, logs)
            while not rebuild.turn(rebuild.until, TURN_S):
                tell(f"counting partition {partition}: {rebuild.reached:,} of {rebuild.until:,}")
            found.append(_compared(manifest, partition, rebuild, names))
    return found


class _Names:
    """Decodes, and keeps of each entity what it is called: a checkpoint has keys alone."""

    def __init__(self, decode: Decode, entity: str) -> None:
        self._decode = decode
        self._entity = entity
        self._of: dict[int, str] = {}

    def __call__(self, raw: Raw) -> Decoded:
        decoded = self._decode(raw)
        if decoded.past is not None and self._entity in decoded.past.columns:
            self._of.update(zip(decoded.past.columns[self._entity].tolist(), decoded.entities, strict=True))
        return decoded

    def of(self, key: bytes) -> str:
        number = int.from_bytes(key, "big", signed=True)
        return self._of.get(number, f"with the key {key.hex()}, of which the log has no event")


class _FromTheLog(Rebuild):
    """Windows by the log alone, up to the last whole cut."""

    def __init__(self, windows: Windows, partition: int, logs: Logs) -> None:
        super().__init__(windows, partition, logs)
        self.checkpoint = Checkpoint(b"")
        self.until = self.low = 0

    def _restore(self, checkpoint: Checkpoint, low: int) -> int:
        """Nothing is restored."""
        self._begin(low)
        self.begins_whole = low == 0 and checkpoint.of_a_file is None
        self.checkpoint, self.low = checkpoint, low
        self.until = self._target = checkpoint.cut or low
        return 0


def _compared(manifest: Manifest, partition: int, rebuild: _FromTheLog, names: _Names) -> WindowsCheck:
    definition, checkpoint, own = manifest.definition, rebuild.checkpoint, rebuild.state.own
    if checkpoint.cut is None or own is None:
        return WindowsCheck(partition, checkpoint.cut)
    known = {key: block for key, block in checkpoint.settled.items() if block is not None}
    counted = {key: block for key, block in own.changed() if block is not None}
    keys = sorted(key for key in known.keys() | counted.keys() if known.get(key) != counted.get(key))
    entities = len(known.keys() | counted.keys())
    if not keys:
        return WindowsCheck(partition, checkpoint.cut, entities)
    places, _ = by_entity([entry.window for entry in definition.windows if entry.window], definition.event.entity)
    inputs = [definition.windows[place] for place in places]
    windows = [entry.window for entry in inputs if entry.window is not None]
    times = np.array([_word(known.get(key) or counted[key], TIME) for key in keys], dtype=np.int64)
    values = [_values(windows, blocks, keys, times, checkpoint.cut) for blocks in (known, counted)]
    proven = np.ones((len(keys), len(windows)), dtype=np.bool_)
    if not rebuild.begins_whole:
        since = 0.0 if rebuild.since is None else rebuild.since.timestamp() * 1e6
        reach = [timedelta(seconds=(w.hops + w.delay_hops + 1) * w.hop_s) / timedelta(microseconds=1) for w in windows]
        proven = times[:, None] - np.array(reach) >= since
        gone = [key in known and _word(known[key], POSITION) < rebuild.low for key in keys]
        proven[gone] = False
    differ = (values[0].view(np.int32) != values[1].view(np.int32)) & proven
    broken = differ.any(axis=1) | (rebuild.begins_whole & np.ones(len(keys), dtype=np.bool_))
    examples = []
    for row in np.flatnonzero(broken).tolist()[:SHOWN]:
        columns = np.flatnonzero(differ[row]).tolist()
        pairs = [(inputs[c].name, _value(values[0][row, c]), _value(values[1][row, c])) for c in columns]
        examples += [WindowDifference(names.of(keys[row]), *pair) for pair in pairs or [(HELD, None, None)]]
    return WindowsCheck(partition, checkpoint.cut, entities, int((~broken).sum()), int(broken.sum()), examples)


def _word(block: bytes, place: int) -> int:
    return int(np.frombuffer(block, "<i8")[place])


def _values(
    windows: list[Window], blocks: dict[bytes, bytes], keys: list[bytes], times: np.ndarray, cut: int
) -> np.ndarray:
    """What the next event of each of these entities would see at the time of its last one, float32 [keys, windows]."""
    state, count = WindowState(windows, max(len(keys), 1)), len(keys)
    state.restore((key, blocks[key]) for key in keys if key in blocks)
    numbers, identities = len(state.layout.numbers), len(state.layout.identities)
    of_keys = np.frombuffer(b"".join(keys), ">i8").astype(np.int64)
    places = np.arange(cut, cut + count)
    return state.step(Batch(places, of_keys, times, np.ones((count, numbers)), np.ones((count, identities), np.int64)))


def _value(number: np.float32) -> float | None:
    return None if np.isnan(number) else float(number)
