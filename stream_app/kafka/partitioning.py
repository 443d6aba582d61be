"""To which partition a producer sends a key: by the partitioner of Java's client, or by that of librdkafka."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum

from confluent_kafka import consistent, murmur2

ENOUGH = 0.99  # of records: some may have been sent by hand


class Partitioner(StrEnum):
    """How producers spread keys: Java's client, as does `produce`; librdkafka's, if not set otherwise."""

    MURMUR2 = "murmur2"
    CONSISTENT_RANDOM = "consistent_random"

    def place(self, key: bytes, partitions: int) -> int:
        """The partition of a key that is not empty."""
        return int(_PLACES[self](key, partitions))


_PLACES: dict[Partitioner, Callable[[bytes, int], int]] = {
    Partitioner.MURMUR2: murmur2,
    Partitioner.CONSISTENT_RANDOM: consistent,
}


@dataclass(frozen=True)
class Keying:
    """How the records of a topic are keyed and spread, by its latest.

    Attributes:
        records: Looked at.
        keyed: Of these, with their entity as key.
        placed: Of these, by partitioner, where it would send them.
    """

    records: int
    keyed: int
    placed: dict[Partitioner, int]

    @classmethod
    def of(cls, keys: Sequence[tuple[bytes, int]], records: int, partitions: int) -> "Keying":
        """From the keys, and the partitions, of the records that have their entity as key."""
        placed = {p: sum(p.place(key, partitions) == place for key, place in keys) for p in Partitioner}
        return cls(records, len(keys), placed)

    @property
    def is_keyed(self) -> bool:
        """Whether the key is the entity, as far as can be seen."""
        return self.keyed >= ENOUGH * self.records

    def fits(self, partitioner: Partitioner) -> bool:
        """Whether the records lie where it sends them, as far as can be seen."""
        return self.placed[partitioner] >= ENOUGH * self.keyed
