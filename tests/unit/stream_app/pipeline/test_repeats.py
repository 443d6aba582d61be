"""Ids that come again: within a batch, over batches, and no longer than memory allows."""

from stream_app.pipeline.repeats import KEPT, Repeats
from stream_app.testing.memory_kafka import assign
from tests.unit.stream_app.pipeline.rig import Rig, idle
from tests.unit.stream_app.pipeline.rows import encoded


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
