"""The newest word of the ledger on each partition, whatever else is on its topic."""

import msgspec

from stream_app.pipeline.recall import Accounted, newest_places
from stream_app.testing.memory_cluster import MemoryMessage


def record(value: object) -> MemoryMessage:
    return MemoryMessage(value if isinstance(value, bytes) else msgspec.json.encode(value))


def test_the_last_summary_of_each_partition_counts_and_rubbish_does_not() -> None:
    log = [
        {"partition": 0, "to_offset": 5, "topic_id": "a"},
        {"partition": 1, "to_offset": 7},
        {"partition": 0, "to_offset": 9, "topic_id": "b"},
        b"rubbish",
        b"[" * 100_000,
        {"partition": 0},
    ]
    assert newest_places(map(record, log)) == {0: Accounted("b", 9), 1: Accounted("", 7)}
