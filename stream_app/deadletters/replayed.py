"""Which dead letters went back onto the input: the record stands in the transaction that sent them."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from itertools import groupby

from schemas.scoring import DeadLetter, Redelivered
from schemas.topics import REDELIVERIES
from stream_app.kafka.log import read_to_end
from stream_app.kafka.records import RecordDecoder
from stream_app.settings import Settings


class Replayed:
    """The places of those that went back."""

    def __init__(self) -> None:
        self._offsets: defaultdict[str, set[int]] = defaultdict(set)

    @classmethod
    def on_record(cls, settings: Settings) -> "Replayed":
        """Those that are on record now.

        Raises:
            BrokerError: as of `stream_app.kafka.log.read_to_end`.
        """
        found = cls()
        for _, record in RecordDecoder[Redelivered](Redelivered).each(read_to_end(settings, REDELIVERIES)):
            found.add(parsed(record.places))
        return found

    def add(self, places: Iterable[tuple[str, int]]) -> None:
        """Take in more of them."""
        for where, offset in places:
            self._offsets[where].add(offset)

    def __contains__(self, letter: DeadLetter) -> bool:
        """Whether it went back before."""
        where, offset = place(letter)
        return offset in self._offsets[where]


def place(letter: DeadLetter) -> tuple[str, int]:
    """Topic, its id and partition as one text, and the offset."""
    where, _, offset = str(letter.source).rpartition(":")
    return where, int(offset)


def places(letters: Iterable[DeadLetter]) -> dict[str, str]:
    """The places of dead letters, as `parsed` reads them."""
    offsets: defaultdict[str, set[int]] = defaultdict(set)
    for where, offset in map(place, letters):
        offsets[where].add(offset)
    return {where: ",".join(_ranges(sorted(found))) for where, found in sorted(offsets.items())}


def parsed(places: Mapping[str, str]) -> Iterator[tuple[str, int]]:
    """The places that were written; what is no range of offsets is none."""
    for where, ranges in places.items():
        for text in ranges.split(","):
            first, _, last = text.partition("-")
            if first.isdecimal() and (not last or last.isdecimal()):
                yield from ((where, offset) for offset in range(int(first), int(last or first) + 1))


def _ranges(offsets: list[int]) -> Iterator[str]:
    for _, run in groupby(enumerate(offsets), key=lambda pair: pair[1] - pair[0]):
        found = [offset for _, offset in run]
        yield f"{found[0]}" if len(found) == 1 else f"{found[0]}-{found[-1]}"
