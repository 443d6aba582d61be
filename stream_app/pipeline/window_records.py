"""The form of what stands on `window-state` and on `window-totals`.

On `window-state`, of each entity its block, of each partition a mark of what is whole

    an entity     key: windows, input partition, entity      value: offset of the cut, the block as the windows write it
    totals        key: windows, input partition, t, number   value: offset of the cut, then 0: its time in milliseconds;
                                                             1, 2, ...: which other entity, what is not over of it
    a mark        key: windows, input partition              value: offset of the cut, entities held by then
    a beginning   key: windows, input partition, f           value: offset before which the past is that of a file
    a forgotten   key: windows, input partition, entity      no value; the offset of the cut in a header

On `window-totals`, of each partition what others than its entities add up to in hops that are over

    totals        key: windows, input partition, which other entity   value: offset up to which the partition was
                                                                      counted, a record of `HopTotals.finished`

`windows` is a fingerprint of all that makes a value: what is computed and how, of which records, of which input topic.
"""

import struct
from typing import NamedTuple

MARK = struct.Struct(">qq")
CUT = struct.Struct(">q")
PARTITION = struct.Struct(">i")
NUMBER = struct.Struct(">sH")
ENTITY_BYTES = 8
FINGERPRINT_BYTES = 8
CUT_HEADER = "cut"
OF_A_FILE = b"f"


class StateRecord(NamedTuple):
    """A record for `window-state`.

    Attributes:
        partition: Of the input.
        key: As above.
        value: None: the entity is forgotten.
        cut: Offset of the input that it stands for.
    """

    partition: int
    key: bytes
    value: bytes | None
    cut: int


def prefix(fingerprint: bytes, partition: int) -> bytes:
    """How the keys of one partition's windows begin; the whole key of its mark."""
    return fingerprint + PARTITION.pack(partition)


def of_entity(begin: bytes, partition: int, entity: bytes, block: bytes | None, cut: int) -> StateRecord:
    """The record of an entity as of a cut."""
    return StateRecord(partition, begin + entity, None if block is None else CUT.pack(cut) + block, cut)


def of_totals(begin: bytes, partition: int, number: int, content: bytes, cut: int) -> StateRecord:
    """A record of what is not over in other entities, as of a cut: all are in the transaction of its mark."""
    return StateRecord(partition, begin + NUMBER.pack(b"t", number), CUT.pack(cut) + content, cut)


class TotalsRecord(NamedTuple):
    """A record for `window-totals`.

    Attributes:
        partition: Of the input.
        key: As above.
        value: As above.
    """

    partition: int
    key: bytes
    value: bytes


class PublishedTotals(NamedTuple):
    """What is to be known of a record of `window-totals` to let go of what it holds.

    Attributes:
        offset: Up to which the partition had been counted.
        entity: Which of the other entities.
        ring: Which length of hop.
        until: The first hop that is not over.
    """

    offset: int
    entity: int
    ring: int
    until: int


def mark(begin: bytes, partition: int, cut: int, entities: int) -> StateRecord:
    """Everything up to this cut has been written."""
    return StateRecord(partition, begin, MARK.pack(cut, entities), cut)


def beginning(begin: bytes, partition: int, offset: int) -> StateRecord:
    """What was counted before this offset stands in no log."""
    return StateRecord(partition, begin + OF_A_FILE, CUT.pack(offset), offset)


class Checkpoint:
    """What is read of one partition's windows, record by record in the order of the log.

    Attributes:
        cut: Offset of the last whole cut; None before one.
        entities: Held at that cut.
        settled: Key of each entity to its block as of that cut or before it.
        of_a_file: Offset before which the past is that of a file; None: there is none but the log's.
        totals: What is not over of other entities at that cut, by number.
    """

    def __init__(self, begin: bytes) -> None:
        self._begin = begin
        self.cut: int | None = None
        self.entities = 0
        self.settled: dict[bytes, bytes | None] = {}
        self.of_a_file: int | None = None
        self.totals: dict[bytes, bytes] = {}
        self._later: list[tuple[int, bytes, bytes | None]] = []

    def add(self, key: bytes | None, value: bytes | None, header: bytes | None) -> None:
        """Take in a record; those of other windows and other partitions are passed over, as is what is none."""
        if key is None or not key.startswith(self._begin):
            return
        entity = key[len(self._begin) :]
        if not entity:
            if value is not None and len(value) == MARK.size:
                self._whole(*MARK.unpack(value))
        elif entity == OF_A_FILE:
            self.of_a_file = CUT.unpack(value)[0] if value is not None and len(value) == CUT.size else None
        elif value is None:
            self._later.append((CUT.unpack(header)[0] if header and len(header) == CUT.size else -1, entity, None))
        elif len(value) > CUT.size:
            self._later.append((CUT.unpack_from(value)[0], entity, value[CUT.size :]))

    def later(self) -> list[tuple[int, list[tuple[bytes, bytes | None]]]]:
        """Cuts that are not whole, ascending, and what there is of each."""
        cuts = sorted({cut for cut, _, _ in self._later})
        of_entities = [entry for entry in self._later if len(entry[1]) == ENTITY_BYTES]
        return [(cut, [(key, block) for at, key, block in of_entities if at == cut and block]) for cut in cuts]

    def _whole(self, cut: int, entities: int) -> None:
        """Everything of this cut has been read; what stands before the mark and is of a later one was given up."""
        if cut < (self.cut or 0):  # counted anew, whole, by a group that was set back
            self.settled.clear()
        self.cut, self.entities = cut, entities
        of_entities = ((key, block) for at, key, block in self._later if at <= cut and len(key) == ENTITY_BYTES)
        self.settled.update(of_entities)
        of_cut = ((key, content) for at, key, content in self._later if at == cut and len(key) == NUMBER.size)
        self.totals = {key: content for key, content in of_cut if content is not None}
        self._later = []
