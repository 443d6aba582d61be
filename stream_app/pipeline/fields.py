"""Reads single values of a record by their paths: what else people want to see of an event (`event.show`), its id.

Decoding keeps only what the model reads. This is for the few records that a person looks at: the anomalies, and what
`show` finds.
"""

from collections.abc import Iterable, Mapping
from math import isfinite
from typing import Any

import msgspec

from schemas.scoring import FieldValue
from stream_app.kafka.records import RecordDecoder, Unreadable

LONGEST_TEXT = 256  # of what is repeated from a record for people
LARGEST = 2**64  # of integers: more digits than that are no number that anybody reads
_VALUE: RecordDecoder[FieldValue] = RecordDecoder(FieldValue)


class FieldReader:
    """Compiled from paths; everything else in a record is passed over.

    Args:
        paths: Into the record.
    """

    def __init__(self, paths: Iterable[str]) -> None:
        self._below: dict[str, FieldReader] = {}
        split = [path.partition(".") for path in paths]
        self._own = {name for name, dot, _ in split if not dot}
        names = list(dict.fromkeys(name for name, _, _ in split))
        for name in names:
            if rest := [path for head, dot, path in split if head == name and dot]:
                self._below[name] = FieldReader(rest)
        slots = [(f"f{number}", msgspec.Raw, msgspec.Raw(b"null")) for number in range(len(names))]
        rename = {slot[0]: name for slot, name in zip(slots, names, strict=True)}
        self._names = names
        self._decoder: RecordDecoder[msgspec.Struct] = RecordDecoder(
            msgspec.defstruct("Fields", slots, rename=rename, gc=False)
        )

    def __call__(self, value: bytes) -> dict[str, FieldValue]:
        """Path to what stands there; without those where there is no text, number or truth value. Never raises."""
        found = self._decoder.decoded(value)
        if isinstance(found, Unreadable):
            return {}
        values: dict[str, FieldValue] = {}
        for name, raw in zip(self._names, msgspec.structs.astuple(found), strict=True):
            if name in self._own and not isinstance(own := _VALUE.decoded(bytes(raw)), Unreadable):
                values[name] = own
            if name in self._below:
                values |= {f"{name}.{path}": inner for path, inner in self._below[name](bytes(raw)).items()}
        return values


def shown(found: Mapping[str, Any]) -> dict[str, FieldValue]:
    """What people see of values: texts cut, numbers and truth values as received, nothing else."""
    return {
        path: entry[:LONGEST_TEXT] if isinstance(entry, str) else entry
        for path, entry in found.items()
        if isinstance(entry, str)
        or (isinstance(entry, int) and abs(entry) < LARGEST)
        or (isinstance(entry, float) and isfinite(entry))
    }
