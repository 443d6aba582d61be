"""Values that somebody may put on any topic: what is no record, and records with one field that cannot be."""

from collections.abc import Iterator
from typing import Any

import msgspec

from schemas.rollout import Seal
from schemas.topics import AUDIT, Topic
from stream_app.audit.sealer import sealed
from stream_app.testing.memory_cluster import MemoryMessage
from tests.contract.examples import EXAMPLES

SEAL = sealed("controller@w", Seal({"0": "a" * 64}))
NOON_MS = 1_772_366_400_000  # 2026-03-01T12:00Z
DEEP = b"[" * 50_000
NOTHING_A_TOPIC_HOLDS: dict[str, bytes | None] = {
    "a tombstone": None,
    "no bytes": b"",
    "blanks": b" \n",
    "null": b"null",
    "true": b"true",
    "a number": b"42",
    "a huge number": b"9" * 400,
    "a number of thousands of digits": b"9" * 5000,
    "an infinite number": b"1e400",
    "a text": b'"x"',
    "an array": b"[1, [2]]",
    "an empty object": b"{}",
    "nested deeply": DEEP,
    "nested deeply in a field that nobody knows": b'{"a":' + DEEP,
    "nested deeply and whole": b"[" * 50_000 + b"]" * 50_000,
    "invalid UTF-8": b'{"worker": "\xff\xfe"}',
    "half a character": b'"\\ud800"',
    "UTF-16": '{"a": 1}'.encode("utf-16"),
    "NaN": b'{"a": NaN}',
    "half of it": b'{"a": [1, 2',
    "two documents": b"{} {}",
    "one key twice": b'{"type": "stage", "type": "abort"}',
    "a byte-order mark": b"\xef\xbb\xbf{}",
    "not JSON": b"\x00\x01\x02",
    "more than a record may have": b'"' + b"x" * 17_000_000 + b'"',
}
CANNOT_BE: list[Any] = [
    None,
    True,
    -1,
    2**63 - 1,
    10**400,
    1.7e308,
    -1.7e308,
    "",
    "\u0000\u202e\u001b[2J",
    "9999-12-31T23:59:59-14:00",
    "0001-01-01T00:00:00+14:00",
    [],
    [1],
    {},
    {"9" * 5000: "x"},
]


def poisoned(topic: str, value: bytes | None, offset: int = 0, stamp: tuple[int, int] = (1, NOON_MS)) -> MemoryMessage:
    """A record of any topic, with a timestamp that may be no time."""
    return MemoryMessage(value, offset, stamp, topic=topic)


def examples(topic: Topic) -> list[bytes]:
    """Good records of a topic."""
    good = [msgspec.json.encode(SEAL)] if topic is AUDIT else []
    for example in map(msgspec.json.encode, EXAMPLES):
        try:
            msgspec.json.decode(example, type=topic.record)
        except msgspec.ValidationError:
            continue
        good.append(example)
    return good


def disfigured(topic: Topic) -> Iterator[bytes]:
    """Each good record of a topic, with each of its fields in turn replaced by what cannot be, or left out."""
    for example in examples(topic):
        whole = msgspec.json.decode(example)
        for spoil in _spoilt(whole):
            yield _encoded(spoil)


def _spoilt(whole: Any) -> Iterator[Any]:
    """Of lists the first entry alone: all are alike."""
    if isinstance(whole, dict):
        for name, value in whole.items():
            yield {other: kept for other, kept in whole.items() if other != name}
            yield from ({**whole, name: odd} for odd in CANNOT_BE)
            yield from ({**whole, name: spoilt} for spoilt in _spoilt(value))
    elif isinstance(whole, list) and whole:
        yield from ([odd, *whole[1:]] for odd in CANNOT_BE)
        yield from ([spoilt, *whole[1:]] for spoilt in _spoilt(whole[0]))


def _encoded(value: Any) -> bytes:
    return msgspec.json.encode(value)
