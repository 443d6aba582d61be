"""Fills the windows of a micro-batch: what is known of each entity from the records before it in its partition's log.

There is a state for each input partition that this worker has, and it counts every record that decode accepts. So a
value is a function of the partition's log, whatever the batches, restarts, and owners. Windows of other entities, and
of labels, are read from what all partitions have published of hops that are over.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from hashlib import sha256
from typing import TYPE_CHECKING

import msgspec
import numpy as np
from msgspec.structs import replace

from models.windows.plan import Layout, by_entity
from schemas.definition import Definition, Input
from stream_app.pipeline.batch import Decoded, Past, Raw
from stream_app.pipeline.faults import SessionLost
from stream_app.pipeline.window_records import FINGERPRINT_BYTES

if TYPE_CHECKING:
    from stream_app.pipeline.other_entities import OtherEntities
    from stream_app.pipeline.partition_windows import PartitionWindows

Decode = Callable[[Raw], Decoded]


class Windows:
    """The windows of one definition, over the partitions of a session.

    Attributes:
        fingerprint: Of all that makes a value: windows that agree in it have the same state.
        decode: Decodes the records that count.
        reach_s: How far back they look.
        states: Of each partition whose past is known.
        reached: Of each of these, the offset up to which its log has been counted.
        others: What is known of entities whose events stand in every partition; None where nothing is read of them.
    """

    def __init__(self, definition: Definition, topic_id: str, decode: Decode, max_entities: int) -> None:
        asked = [entry.window for entry in definition.windows if entry.window is not None]
        self._places, paths = by_entity(asked, definition.event.entity)
        self._own = [asked[place] for place in self._places]
        self._others = [(path, [asked[place] for place in places], places) for path, places in paths.items()]
        self._count = len(asked)
        self._entity = definition.event.entity
        self._max_entities = max_entities
        self._layout = Layout(self._own)
        self.decode = decode
        self.fingerprint = _fingerprint(definition, topic_id, self._layout.fingerprint)
        self.reach_s = definition.reach_s
        self.states: dict[int, PartitionWindows] = {}
        self.reached: dict[int, int] = {}
        self.others: OtherEntities | None = None

    @property
    def have_others(self) -> bool:
        """Whether some look at other entities, or at labels."""
        return bool(self._others)

    def meet_others(self) -> "OtherEntities":
        """Begin to know other entities: what was published of them is to be read."""
        from stream_app.pipeline.other_entities import Group, OtherEntities  # imports the compiler

        groups = [Group(*group) for group in self._others]
        self.others = OtherEntities(groups, self._entity, self._max_entities, self.reach_s)
        return self.others

    def empty(self) -> "PartitionWindows":
        """The state of a partition without a past."""
        from models.windows.state import WindowState  # imports the compiler
        from models.windows.totals import HopTotals
        from stream_app.pipeline.partition_windows import PartitionWindows

        own = WindowState(self._own, self._max_entities) if self._own else None
        totals = [] if self.others is None else [HopTotals(windows) for _, windows, _ in self._others]
        return PartitionWindows(own, totals)

    def keep(self, positions: Mapping[int, int]) -> None:
        """Let go of partitions that are elsewhere: what another worker counts meanwhile is not known here."""
        for partition in [p for p, reached in self.reached.items() if positions.get(p) != reached]:
            del self.states[partition], self.reached[partition]

    def step(self, raw: Raw, decoded: Decoded) -> np.ndarray:
        """Compute the windows of the accepted records, and count them.

        Returns:
            float32 [m, windows]; those of the own entity NaN in partitions whose past is not known yet.

        Raises:
            SessionLost: the batch does not go on from where the state is; a new session builds it anew.
        """
        partitions, offsets = (np.array(column)[decoded.rows] for column in (raw.partitions, raw.offsets))
        values = np.full((len(decoded.rows), self._count), np.nan, dtype=np.float32)
        if self.others is not None and len(values):
            self.others.look(_past(decoded), values)
        for partition in raw.spans.keys() & self.states.keys():
            start, end = raw.spans[partition]
            if self.reached[partition] != start:
                raise SessionLost("windows", f"windows of partition {partition} are not at offset {start}")
            rows = np.flatnonzero(partitions == partition)
            found = self.count(self.states[partition], decoded, offsets, rows)
            if found is not None:
                values[rows[:, None], self._places] = found
            self.reached[partition] = end
            self.states[partition].let_go(end)
        return values

    def count(
        self, state: "PartitionWindows", decoded: Decoded, offsets: np.ndarray, rows: np.ndarray
    ) -> np.ndarray | None:
        """Compute and count some rows, all of one partition.

        Args:
            state: Of that partition.
            decoded: The m accepted records.
            offsets: int64 [m].
            rows: Which of them, ascending.

        Returns:
            float32 [rows, windows of the own entity]; None where there are none.
        """
        from models.windows.compiled import Batch
        from stream_app.pipeline.other_entities import keys_at
        from stream_app.pipeline.partition_windows import Counted

        if not len(rows):
            return None
        past, layout, own = _past(decoded), self._layout, None
        if self._own:
            numbers = [past.columns[path][rows] for path in layout.numbers]
            identities = [keys_at(past.columns, path)[rows] for path in layout.identities]
            own = Batch(
                offsets[rows],
                past.columns[self._entity][rows],
                past.times[rows],
                _side_by_side(numbers, len(rows), np.float64),
                _side_by_side(identities, len(rows), np.int64),
            )
        others = [] if self.others is None else self.others.columns(past, rows)
        return state.count(Counted(offsets[rows], past.times[rows], own, others))


def _past(decoded: Decoded) -> Past:
    past: Past = decoded.past  # type: ignore[assignment]  # there are windows
    return past


def fill(decoded: Decoded, definition: Definition, values: np.ndarray) -> Decoded:
    """The batch with the columns of its windows.

    Args:
        decoded: Of this definition.
        definition: Whose windows were computed.
        values: Of the same m records, float32 [m, windows].
    """
    decoded.inputs[:, [definition.column(entry.name) for entry in definition.windows]] = values
    return decoded


def keyed_otherwise(raw: Raw, decoded: Decoded) -> int:
    """How many of the accepted records do not have their entity as key, as text or as a number."""
    keys: list[bytes] = [raw.records[row].key() or b"" for row in decoded.rows.tolist()] if raw.records else []
    entities = decoded.entities
    if b"".join(keys) == "".join(entities).encode():  # as a rule
        return 0
    return sum(not _is_of(key, entity) for key, entity in zip(keys, entities, strict=False))


def _is_of(key: bytes, entity: str) -> bool:
    as_number = len(key) in (4, 8) and str(int.from_bytes(key, "big", signed=True)) == entity
    return as_number or entity.encode() in key  # a schema registry puts some bytes before it


def _side_by_side(columns: Sequence[np.ndarray], rows: int, kind: type) -> np.ndarray:
    return np.stack(columns, axis=1) if columns else np.empty((rows, 0), dtype=kind)


def _numbers(entry: Input) -> Iterator[float | None]:
    return (None if number is None else float(number) for number in (entry.scale, entry.least, entry.most))


def _fingerprint(definition: Definition, topic_id: str, layout: int) -> bytes:
    """Everything that makes a value: which records count, how they are read, what is computed of them."""
    read: Mapping[str, object] = {
        entry.path: (entry.kind, entry.missing, *map(str, _numbers(entry))) for entry in definition.inputs if entry.path
    }
    event = replace(definition.event, show=())
    windows = [entry.window for entry in definition.windows]
    content = msgspec.json.encode([topic_id, layout, event, sorted(read.items()), windows])
    return sha256(content).digest()[:FINGERPRINT_BYTES]
