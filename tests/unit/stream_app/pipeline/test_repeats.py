"""Ids that come again: counted, or scored once; over batches, kills and restarts, no longer than memory allows."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import pytest
from confluent_kafka import KafkaError
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from schemas.scoring import DeadLetter, Score
from stream_app.pipeline.repeats import KEPT, Repeats, Stretches
from stream_app.testing.memory_clients import MemoryConsumer
from stream_app.testing.memory_kafka import MemoryKafka, assign, error, revoke
from tests.unit.stream_app.pipeline.conftest import Model
from tests.unit.stream_app.pipeline.rig import Rig, idle, served
from tests.unit.stream_app.pipeline.rows import encoded
from tests.unit.stream_app.pipeline.test_window_keeper import Killed, kill

BEGIN = datetime(2018, 7, 26, tzinfo=UTC)


def test_an_id_is_a_repeat_within_its_batch_and_after_it() -> None:
    repeats = Repeats()
    assert [repeats.count(ids) for ids in (["a", "b", "a"], ["c", "a", "b"], ["d"])] == [1, 2, 0]


def test_memory_is_bounded_and_an_id_is_known_for_so_many_others() -> None:
    repeats = Repeats()
    repeats.count(["a"])
    for start in range(0, KEPT, 1000):
        assert repeats.count([str(number) for number in range(start, start + 1000)]) == 0
    assert repeats.count(["a"]) == 1
    for start in range(KEPT, 4 * KEPT, 1000):
        repeats.count([str(number) for number in range(start, start + 1000)])
    assert repeats.count(["a"]) == 0
    assert len(repeats._young) + len(repeats._old) <= 2 * KEPT + 1000


def test_a_transaction_that_was_sent_twice_is_scored_twice_and_counted(rig: Rig) -> None:
    rig.kafka.publish(0, *[encoded(amount=4.0, transaction_id="t9")] * 3)
    rig.run(assign(0), rig.later(1), idle)
    assert rig.places == ["0@0", "0@1", "0@2"]
    assert rig.sample("transactions_repeated_total") == 2


WITHIN = timedelta(minutes=10)
LENGTH = 4
"""Offsets in a stretch."""


def once(first: Model, kafka: MemoryKafka | None = None, **settings: object) -> Rig:
    """A worker that scores an id once, on a cluster that may have seen others."""
    given = {"repeat_window_s": WITHIN.total_seconds(), "repeat_window_offsets": LENGTH, "commit_interval_ms": 1}
    rig = Rig(served(first), publish_scores=True, **{**given, **settings})
    if kafka is not None:
        rig.kafka = kafka
        rig.pipeline._kafka, rig.pipeline._recall = kafka, kafka.recall
    return rig


def named(*ids: str) -> list[bytes]:
    return [encoded(amount=4.0, transaction_id=name) for name in ids]


def scored_once(ids: Sequence[str | None], minutes: Sequence[int]) -> list[int]:
    """Which of a partition's events are scored: the definition, in the plainest words."""
    return [
        at
        for at, name in enumerate(ids)
        if name is not None
        and not any(
            ids[before] == name and name not in ids[before + 1 : at] and minutes[at] - minutes[before] <= 10
            for before in range(max(at // LENGTH - 1, 0) * LENGTH, at)
        )
    ]


def test_an_event_that_comes_again_is_a_dead_letter_and_no_second_anomaly(first: Model) -> None:
    rig = once(first)
    rig.kafka.publish(0, *named("a", "b", "a"))
    rig.run(assign(0), rig.later(1), rig.publish(0, *named("a", "c")), rig.later(1), idle)
    assert [anomaly.event_id for anomaly in rig.anomalies] == ["a", "b", "c"]
    assert [(letter.code, letter.source.offset) for letter in rig.dead_letters] == [("repeated", 2), ("repeated", 3)]
    assert "an event with this id came 0 s before in the same partition" in rig.dead_letters[0].reason
    assert [sum(column) for column in zip(*rig.ledger[0], strict=True)][2:] == [3, 2]
    assert rig.sample("transactions_repeated_total") == 2
    assert rig.sample("records_dead_lettered_total", reason="repeated") == 2


def test_events_that_come_again_open_no_breaker_and_are_no_news_on_the_page(first: Model) -> None:
    rig = once(first, breaker_window_events=2, breaker_share=0.1)
    rig.kafka.publish(0, *named(*"aaaaaaa"))
    rig.run(assign(0), rig.later(1), idle, rig.later(1), idle)
    assert rig.sample("breaker_open") == 0
    assert (rig.progress.latest.dead_lettered, rig.progress.latest.refused_per_second) == (6, 0)


def test_another_partition_has_ids_of_its_own(first: Model) -> None:
    rig = once(first)
    rig.kafka.publish(0, *named("a"))
    rig.kafka.publish(1, *named("a", "a"))
    rig.run(assign(0, 1), rig.later(1), idle)
    assert rig.places == ["0@0", "1@0"]


def test_a_swap_to_a_model_that_reads_the_same_reads_nothing_back(first: Model, second: Model) -> None:
    rig = once(first)
    rig.kafka.publish(0, *named("a"))
    rig.run(assign(0), rig.later(1), rig.swap(served(second)), rig.publish(0, *named("a", "b")), rig.later(1), idle)
    assert [score.event_id for score in rig.kafka.records("scores", Score)] == ["a", "b"]
    assert len(rig.kafka.consumers) == 1


def test_what_another_worker_has_scored_meanwhile_is_known_when_the_partition_comes_back(first: Model) -> None:
    rig = once(first)
    rig.kafka.publish(0, *named("a"))

    def elsewhere(_: MemoryConsumer) -> None:
        rig.kafka.publish(0, *named("b"))
        rig.kafka.committed[0] = 2

    again = rig.publish(0, *named("b", "c"))
    rig.run(assign(0), rig.later(1), idle, revoke(0), elsewhere, assign(0), again, rig.later(1), idle)
    assert rig.places == ["0@0", "0@3"]
    assert [letter.source.offset for letter in rig.dead_letters] == [2]


def test_what_retention_has_deleted_is_not_known_and_stops_nobody(first: Model) -> None:
    rig = once(first)
    rig.kafka.publish(0, *named("a", "b", "c"))
    rig.run(assign(0), rig.later(1), idle)
    rig.kafka.delete_records(0, 2)
    again = once(first, rig.kafka)
    again.run(assign(0), again.publish(0, *named("a", "c")), again.later(1), idle)
    assert [anomaly.event_id for anomaly in rig.anomalies] == ["a", "b", "c", "a"]


def test_what_is_held_is_bounded() -> None:
    known = Stretches(0, 100)
    for offset in range(1000):
        known.meet(str(offset), offset, 0)
        assert len(known) <= 200


@given(
    st.lists(st.tuples(st.sampled_from([*"abcdef", None]), st.integers(0, 15)), min_size=1, max_size=24),
    st.lists(st.tuples(st.integers(1, 7), st.sampled_from(["killed", "fails", "goes on"])), max_size=5),
)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_kill_and_any_batches_score_the_same_events_once(
    first: Model, events: list[tuple[str | None, int]], steps: list[tuple[int, str]]
) -> None:
    ids, minutes = [name for name, _ in events], [minute for _, minute in events]
    kafka, sent = MemoryKafka(), 0

    def arrive(count: int) -> None:
        nonlocal sent
        for name, minute in events[sent : sent + count]:
            if name is None:
                kafka.input[0].append(None)  # a marker of some transaction
            else:
                kafka.publish(0, *named(name), at=BEGIN + timedelta(minutes=minute))
        sent += count

    for count, then in [*steps, (len(events), "goes on")]:
        rig = once(first, kafka)
        arrive(count)
        if then == "fails":
            kafka.faults["commit_transaction"].append(error(KafkaError._TIMED_OUT))
            rig.run(assign(0), rig.later(1), idle, assign(0), rig.later(1), idle)
        elif then == "killed":
            kafka.script.clear()
            with pytest.raises(Killed):
                rig.run(assign(0), rig.later(1), kill)
            kafka.script.clear()
        else:
            rig.run(assign(0), rig.later(1), idle)
        kafka.faults.clear()
    found = [score.source.offset for score in kafka.records("scores", Score)]
    assert found == scored_once(ids, minutes)
    refused = [letter.source.offset for letter in kafka.records("dead-letters", DeadLetter)]
    assert sorted(found + refused) == [at for at, name in enumerate(ids) if name is not None]
