"""The form of what stands on `window-state`: of each entity its block, of each partition a mark of what is whole.

    an entity     key: windows, input partition, entity      value: offset of the cut, the block as the windows write it
    a mark        key: windows, input partition              value: offset of the cut, entities held by then
    a beginning   key: windows, input partition, f           value: offset before which the past is that of a file
    a forgotten   key: windows, input partition, entity      no value; the offset of the cut in a header

`windows` is a fingerprint of all that makes a value: what is computed and how, of which records, of which input topic.
"""

import struct
from typing import NamedTuple

MARK = struct.Struct(">qq")
CUT = struct.Struct(">q")
PARTITION = struct.Struct(">i")
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
    """

    def __init__(self, begin: bytes) -> None:
        self._begin = begin
        self.cut: int | None = None
        self.entities = 0
        self.settled: dict[bytes, bytes | None] = {}
        self.of_a_file: int | None = None
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
        return [(cut, [(key, block) for at, key, block in self._later if at == cut and block]) for cut in cuts]

    def _whole(self, cut: int, entities: int) -> None:
        """Everything of this cut has been read; what stands before the mark and is of a later one was given up."""
        if cut < (self.cut or 0):  # counted anew, whole, by a group that was set back
            self.settled.clear()
        self.cut, self.entities = cut, entities
        self.settled.update((key, block) for at, key, block in self._later if at <= cut)
        self._later = []
