"""The past that a data file gives to the windows of each input partition: the events before the first of its log."""

from collections.abc import Callable, Iterator, Sequence, Set
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from schemas.definition import Definition, Input
from schemas.errors import UserError
from schemas.topics import TRANSACTIONS
from stream_app.kafka import clients, offsets
from stream_app.kafka.log import Record, read_backwards, read_to_end
from stream_app.kafka.partitioning import Keying, Partitioner
from stream_app.kafka.schema_registry import schema_registry
from stream_app.kafka.topics import name, present_id
from stream_app.pipeline.batch import Decoded, Raw
from stream_app.pipeline.window_records import StateRecord, beginning, mark, of_entity, prefix
from stream_app.settings import Settings

if TYPE_CHECKING:
    import polars as pl

    from models.manifest import Manifest
    from stream_app.pipeline.whole_cuts import KnownWindows

LATEST = 1000  # records of each partition that show how it is keyed
FIRST = 1000  # records of each partition that may stand in DATA too, though they are no later than its first
PARTITION = "$partition"  # no path begins so

Decode = Callable[[Raw], Decoded]


@dataclass(frozen=True)
class LogStart:
    """Where the log of a partition begins.

    Attributes:
        offset: The first that there is.
        first: Time of its first event; None: it has none.
        event_ids: Of the events that it begins with.
    """

    offset: int
    first: datetime | None
    event_ids: frozenset[str]


@dataclass(frozen=True)
class FilePast:
    """What DATA has for one partition.

    Attributes:
        start: Of its log.
        rows: The events, by time.
    """

    start: LogStart
    rows: "pl.DataFrame"

    @property
    def span(self) -> tuple[datetime, datetime] | None:
        """Times of the first and the last event; None without any."""
        times = self.rows["event_time"]
        return None if times.is_empty() else (times[0], times[-1])


def log_starts(settings: Settings, decode: Decode) -> dict[int, LogStart]:
    """Where each partition of the input begins.

    Raises:
        BrokerError: the input cannot be read.
    """
    topic = name(settings, TRANSACTIONS)
    with closing(clients.consumer(settings, None, **clients.small_reader(settings))) as consumer:
        there = offsets.partitions(consumer, settings, topic)
        lows = {partition: offsets.watermarks(consumer, topic, partition)[0] for partition in there}
    records: dict[int, list[Record]] = {partition: [] for partition in lows}
    bounds = {partition: (low, low + FIRST) for partition, low in lows.items()}
    for record in read_to_end(settings, TRANSACTIONS, bounds=bounds):
        records[record.partition() or 0].append(record)
    found = {}
    for partition, low in lows.items():
        decoded = _decoded(decode, records[partition])
        first = decoded.event_times[0] if decoded.event_times else None
        found[partition] = LogStart(low, first, frozenset(decoded.event_ids))
    return found


def keying_of(settings: Settings, decode: Decode, partitions: int) -> Keying:
    """How the latest records of the input are keyed.

    Raises:
        BrokerError: they cannot be read.
    """
    records = [record for stretch in read_backwards(settings, TRANSACTIONS, LATEST) for record in stretch]
    decoded = _decoded(decode, records)
    accepted = [records[row] for row in decoded.rows.tolist()]
    keys = [
        (entity.encode(), record.partition() or 0)
        for record, entity in zip(accepted, decoded.entities, strict=True)
        if record.key() == entity.encode()
    ]
    return Keying.of(keys, len(accepted), partitions)


def chosen_partitioner(keying: Keying, asked: Partitioner | None, topic: str) -> Partitioner:
    """The partitioner by which events of DATA belong to partitions.

    Args:
        keying: Of the latest records.
        asked: By the person; None: the one that fits.
        topic: Of the input.

    Raises:
        UserError: the records show that none fits, or not the one that was asked for.
    """
    rekey = f"`stream-app rekey {topic} NEW` writes a topic that is keyed by it"
    if not keying.is_keyed:
        raise UserError(
            f"of the latest {keying.records:,} records of {topic} {keying.records - keying.keyed:,} do not have their "
            f"entity as key, so their windows know a part of the past at best: {rekey}"
        )
    fitting = [partitioner for partitioner in Partitioner if keying.fits(partitioner)]
    if asked is not None and asked not in fitting:
        raise UserError(
            f"{keying.placed[asked]:,} of the latest {keying.keyed:,} records of {topic} lie where {asked} sends them: "
            + (f"leave --partitioner out, {fitting[0]} fits" if fitting else rekey)
        )
    if not fitting:
        raise UserError(
            f"neither {' nor '.join(Partitioner)} sends the latest {keying.records:,} records of {topic} to where they "
            f"are: partitions were added since, or producers choose them by themselves; {rekey}"
        )
    return asked or fitting[0]


def pasts(
    data: Sequence[Path], definition: Definition, starts: dict[int, LogStart], partitioner: Partitioner
) -> dict[int, FilePast]:
    """The events of DATA before the first event of each partition, each where its entity's records are.

    Raises:
        DataError: DATA cannot be used.
        UserError: it holds no event that early.
    """
    import polars as pl

    from models.data.frame import read

    firsts = [start.first for start in starts.values() if start.first is not None]
    reach = timedelta(seconds=definition.reach_s)
    since = (min(firsts) - reach).date() if len(firsts) == len(starts) else None
    frame = read(data, since, definition=definition, labels_needed=False, published=True)
    entities = frame["entity"].unique()
    places = [partitioner.place(entity.encode(), len(starts)) for entity in entities]
    of_entities = pl.DataFrame({"entity": entities, PARTITION: pl.Series(places, dtype=pl.Int64)})
    placed = frame.join(of_entities, on="entity", how="left", maintain_order="left")
    found = {}
    for partition, start in starts.items():
        rows = placed.filter(pl.col(PARTITION) == partition, ~pl.col("event_id").is_in(list(start.event_ids)))
        rows = rows if start.first is None else rows.filter(pl.col("event_time") < start.first)
        found[partition] = FilePast(start, rows.drop(PARTITION))
    if not any(past.rows.height for past in found.values()):
        raise UserError(
            f"{', '.join(map(str, data))} holds no event before {min(firsts):%Y-%m-%d %H:%M} UTC, where the log "
            "begins: what is in the log is counted from it"
        )
    return found


def own_windows(definition: Definition) -> list[Input]:
    """The inputs that are windows of the entity of the decision over what is in its log, which a file can fill."""
    from models.windows.plan import by_entity

    windows = [entry.window for entry in definition.windows if entry.window is not None]
    return [definition.windows[place] for place in by_entity(windows, definition.event.entity)[0]]


def records_of(
    past: FilePast,
    definition: Definition,
    whose: tuple[bytes, int],
    there: Set[bytes],
    max_entities: int,
    advance: Callable[[int], object],
) -> Iterator[StateRecord]:
    """The checkpoint of one partition that DATA gives, as of the beginning of its log.

    Args:
        past: The events.
        definition: Of the windows.
        whose: Fingerprint of the windows, input partition.
        there: Entities of which something stands there: those that DATA has not are taken away.
        max_entities: So many are held.
        advance: Called with how many events are counted.
    """
    from models.data.past import TIME, looked_at
    from models.windows.history import state_of
    from models.windows.state import WindowState

    begin, partition, offset = prefix(*whose), whose[1], past.start.offset
    entity, windows = definition.event.entity, [entry.window for entry in own_windows(definition) if entry.window]
    state = WindowState(windows, max_entities)
    seen = looked_at(past.rows, definition)
    state_of(seen, state, time=TIME, entity=entity, end=offset, advance=advance)
    blocks = {key: block for key, block in state.changed() if block is not None}
    yield from (of_entity(begin, partition, key, None, offset) for key in sorted(there - blocks.keys()))
    yield from (of_entity(begin, partition, key, block, offset) for key, block in blocks.items())
    yield beginning(begin, partition, offset)
    yield mark(begin, partition, offset, len(blocks))


@dataclass(frozen=True)
class WarmUp:
    """What is to be written.

    Attributes:
        manifest: Of the model.
        partitioner: By which events belong to partitions.
        keying: Of the latest records, which show it.
        pasts: Of each partition.
        fingerprint: Of the windows.
        there: What stands on `window-state` of them.
    """

    manifest: "Manifest"
    partitioner: Partitioner
    keying: Keying
    pasts: dict[int, FilePast]
    fingerprint: bytes
    there: "dict[int, KnownWindows]"

    @property
    def events(self) -> int:
        """How many are to be counted."""
        return sum(past.rows.height for past in self.pasts.values())

    def write(self, settings: Settings, advance: Callable[[float], None]) -> None:
        """Count the events, and write the checkpoints, all in one transaction.

        Raises:
            UserError: the brokers do not take them, or a worker runs.
        """
        from stream_app.pipeline.whole_cuts import write

        done, whole = 0, {}
        for partition, past in self.pasts.items():
            whose, there = (self.fingerprint, partition), self.there[partition].entities
            counted = partial(lambda before, rows: advance(before + rows), done)
            most, definition = settings.window_max_entities, self.manifest.definition
            whole[partition] = records_of(past, definition, whose, there, most, counted)
            done += past.rows.height
        write(settings, whole)


def prepare(
    settings: Settings,
    manifest: "Manifest",
    data: Sequence[Path],
    partitioner: Partitioner | None,
    tell: Callable[[str], None],
) -> WarmUp:
    """Look at the input, at what is known, and at DATA; nothing is written.

    Raises:
        UserError: it cannot be done; the message says why, and what to do.
    """
    from stream_app.pipeline.decode import Decoder  # with torch, which no help waits for
    from stream_app.pipeline.enrich import Windows
    from stream_app.pipeline.whole_cuts import refuse_running, standing

    definition = manifest.definition
    if not own_windows(definition):
        entity = definition.event.entity
        raise UserError(
            f"the model {manifest.name} {manifest.version} has no windows of {entity}: nothing can be filled"
        )
    refuse_running(settings)
    limits = settings.record_max_bytes, None, settings.event_ahead_max_s
    decode = Decoder(definition, *limits, manifest.categories, schema_registry(settings))
    tell("looking at the log")
    starts = log_starts(settings, decode)
    keying = keying_of(settings, decode, len(starts))
    spread = chosen_partitioner(keying, partitioner, name(settings, TRANSACTIONS))
    tell("reading DATA")
    found = pasts(data, definition, starts, spread)
    tell("reading what is known")
    fingerprint = Windows(definition, present_id(settings), decode, 1).fingerprint
    return WarmUp(manifest, spread, keying, found, fingerprint, standing(settings, fingerprint, starts))


def _decoded(decode: Decode, records: Sequence[Record]) -> Decoded:
    return decode(Raw([record.value() for record in records], (), (), records, {}))
