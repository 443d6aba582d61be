"""A worker that was warmed up sees what it would see if the file stood before the log."""

from datetime import datetime, timedelta

import msgspec
import numpy as np
import pytest
from confluent_kafka import murmur2

from schemas.errors import UserError
from stream_app.cli.past_of_file import LogStart, chosen_partitioner, pasts, records_of
from stream_app.kafka.partitioning import Keying, Partitioner
from stream_app.pipeline.enrich import Windows
from stream_app.pipeline.window_records import CUT, CUT_HEADER, Checkpoint, prefix
from stream_app.replay.log_decoder import LogDecoder
from stream_app.testing.memory_cluster import MemoryMessage
from stream_app.testing.memory_kafka import MemoryKafka, assign
from tests.unit.stream_app.pipeline.rig import idle
from tests.unit.stream_app.pipeline.test_enrich import DEFINITION, decode
from tests.unit.stream_app.pipeline.test_window_keeper import LOG, expected, models, publish, seen, worker

__all__ = ["models"]  # a fixture
BEFORE = 250
FINGERPRINT = Windows(DEFINITION, "topic-1", decode, 10).fingerprint


def time_of(value: bytes) -> datetime:
    return datetime.fromisoformat(msgspec.json.decode(value)["at"])


@pytest.fixture(scope="module")
def history(tmp_path_factory):
    """A file with all events; the log holds those after the first 250."""
    path = tmp_path_factory.mktemp("history") / "all.jsonl"
    path.write_bytes(b"\n".join(LOG))
    return path


def start_of(values: list[bytes], offset: int = 0) -> LogStart:
    ids = frozenset(msgspec.json.decode(value)["id"] for value in values[:5])
    return LogStart(offset, time_of(values[0]), ids)


def warmed(kafka: MemoryKafka, history, start: LogStart, there=frozenset()) -> None:
    """What the command writes."""
    found = pasts([history], DEFINITION, {0: start}, Partitioner.MURMUR2)[0]
    for entry in records_of(found, DEFINITION, (FINGERPRINT, 0), there, 1000, lambda done: None):
        headers = None if entry.value is not None else [(CUT_HEADER, CUT.pack(entry.cut))]
        log = kafka.visible["window-state"]
        log.append(MemoryMessage(entry.value, len(log), topic="window-state", headers=headers).keyed(entry.key))


def test_a_worker_goes_on_with_the_past_of_a_file_and_does_not_say_that_windows_are_short(models, history) -> None:
    rig, values = worker(models["1"]), LOG[BEFORE:]
    warmed(rig.kafka, history, start_of(values))
    publish(rig.kafka, values[:200])
    rig.run(assign(0), idle, rig.later(2), *[idle] * 3)
    assert not rig.progress.latest.notices
    again = worker(models["1"], rig.kafka)
    publish(rig.kafka, values[200:])
    again.run(assign(0), idle, idle)
    found, wanted = seen(rig.kafka), expected(LOG)
    assert [*found] == [*range(len(values))]
    for offset, inputs in found.items():
        np.testing.assert_array_equal(inputs, wanted[BEFORE + offset], str(offset))


def test_an_entity_with_one_event_at_the_first_offset_is_in_the_next_checkpoint(models, history) -> None:
    rig = worker(models["1"])
    warmed(rig.kafka, history, start_of(LOG[BEFORE:]))
    publish(rig.kafka, LOG[BEFORE : BEFORE + 1])
    before = len(rig.kafka.visible["window-state"])
    rig.run(assign(0), idle, rig.later(2), *[idle] * 3)
    written = rig.kafka.visible["window-state"][before:]
    assert len(written) == 2  # its block, and the mark


def test_a_replay_knows_that_the_log_does_not_hold_what_stood_in_the_file(models, history) -> None:
    rig, values = worker(models["1"]), LOG[BEFORE:]
    warmed(rig.kafka, history, start_of(values))
    publish(rig.kafka, values)
    rig.run(assign(0), idle, rig.later(2), *[idle] * 3)
    again = LogDecoder(rig.settings, models["1"].runtime.manifest, kafka=rig.kafka)
    again(rig.kafka.input[0][:100])
    assert again.begins == {0: time_of(values[0])}
    assert again.short == 100


def test_what_was_known_before_is_replaced_whole(models, history) -> None:
    """A worker has begun without a past; its checkpoint, and what it had begun of another, count no more."""
    rig, values = worker(models["1"]), LOG[BEFORE:]
    stranger = msgspec.json.encode(msgspec.json.decode(values[60]) | {"id": "s", "card": {"token": "stranger"}})
    publish(rig.kafka, [*values[:100], stranger])
    rig.run(assign(0), idle, rig.later(2), *[idle] * 3)
    there = {message.key()[12:] for message in rig.kafka.visible["window-state"] if len(message.key()) == 20}
    assert len(there) == 8
    warmed(rig.kafka, history, start_of(values), there)
    known = Checkpoint(prefix(FINGERPRINT, 0))
    for message in rig.kafka.visible["window-state"]:
        known.add(message.key(), message.value(), dict(message.headers() or ()).get(CUT_HEADER))
    assert (known.cut, known.of_a_file, known.later()) == (0, 0, [])
    assert sum(block is not None for block in known.settled.values()) == 7
    again = worker(models["1"], rig.kafka)
    rig.kafka.visible["latents"].clear()
    publish(rig.kafka, values[100:])
    again.run(assign(0), idle, idle)
    wanted = expected([*LOG[: BEFORE + 100], stranger, *LOG[BEFORE + 100 :]])
    for offset, inputs in seen(rig.kafka).items():
        np.testing.assert_array_equal(inputs, wanted[BEFORE + offset], str(offset))


def test_events_that_stand_in_the_log_are_not_counted_from_the_file_too(history) -> None:
    """They are told by their ids where times at the beginning are out of order, else by their times."""
    start = LogStart(0, time_of(LOG[BEFORE]) + timedelta(hours=9), frozenset(["000250", "000251", "000252"]))
    (past,) = pasts([history], DEFINITION, {0: start}, Partitioner.MURMUR2).values()
    ids = past.rows["event_id"].to_list()
    assert ids[:BEFORE] == [f"{i:06}" for i in range(BEFORE)]
    assert not set(ids) & start.event_ids


def test_each_partition_gets_the_entities_that_producers_send_there(history) -> None:
    starts = {p: LogStart(0, None, frozenset()) for p in range(3)}
    found = pasts([history], DEFINITION, starts, Partitioner.MURMUR2)
    assert sum(past.rows.height for past in found.values()) == len(LOG)
    for partition, past in found.items():
        assert {murmur2(entity.encode(), 3) for entity in past.rows["entity"].unique()} <= {partition}


def test_a_file_without_an_event_before_the_log_is_refused(history) -> None:
    with pytest.raises(UserError, match="holds no event before 2018-0"):
        pasts([history], DEFINITION, {0: start_of(LOG)}, Partitioner.MURMUR2)


KEYS = [f"c{n}".encode() for n in range(300)]


@pytest.mark.parametrize("partitioner", Partitioner)
def test_the_partitioner_is_the_one_by_which_records_lie(partitioner) -> None:
    keying = Keying.of([(key, partitioner.place(key, 4)) for key in KEYS], 300, 4)
    other = next(p for p in Partitioner if p is not partitioner)
    assert chosen_partitioner(keying, None, "transactions") == partitioner
    with pytest.raises(UserError, match=f"lie where {other} sends them: leave --partitioner out, {partitioner} fits"):
        chosen_partitioner(keying, other, "transactions")


def test_an_empty_topic_shows_nothing() -> None:
    assert chosen_partitioner(Keying.of([], 0, 4), None, "t") == Partitioner.MURMUR2
    asked = Partitioner.CONSISTENT_RANDOM
    assert chosen_partitioner(Keying.of([], 0, 4), asked, "t") == asked


def test_records_that_are_keyed_or_spread_otherwise_are_refused() -> None:
    with pytest.raises(UserError, match=r"entity as key.*stream-app rekey"):
        chosen_partitioner(Keying.of([(KEYS[0], 0)], 300, 4), None, "t")
    with pytest.raises(UserError, match=r"neither murmur2 nor consistent_random.*stream-app rekey"):
        chosen_partitioner(Keying.of([(key, n % 4) for n, key in enumerate(KEYS)], 300, 4), None, "t")
