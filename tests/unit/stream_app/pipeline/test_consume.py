"""The input: records in order with their spans, the end of a partition, heavy records, errors inside the callbacks."""

from collections.abc import Callable

import pytest
from confluent_kafka import KafkaError

from stream_app.pipeline.clock import Clock
from stream_app.pipeline.consume import InputConsumer
from stream_app.pipeline.faults import PipelineFailed, SessionLost
from stream_app.pipeline.input_topic import InputTopic
from stream_app.pipeline.starts import Gap
from stream_app.settings import Settings
from stream_app.testing.memory_kafka import MemoryKafka, assign, error, lose, revoke

LIMIT = 100
SETTINGS = Settings()


def nothing() -> None:
    """There is nothing to commit."""


def opened(kafka: MemoryKafka, max_bytes: int, on_change: Callable[[str], None]) -> InputConsumer:
    """A consumer that has not joined the group yet; notices are passed over."""
    return InputConsumer(
        kafka.consumer(None, None),
        InputTopic(kafka.admin(None), "transactions", lambda: 0.0),
        max_bytes,
        lambda partitions: kafka.recall(SETTINGS, partitions),
        on_change,
        lambda sentence: None,
        Clock(lambda: 0.0),
    )


def reading(kafka: MemoryKafka, max_bytes: int = 10_000, commit=nothing, partitions=(0,)) -> InputConsumer:
    """A consumer that has been assigned these partitions."""
    changes: list[str] = []
    consumer = opened(kafka, max_bytes, changes.append)
    consumer.subscribe(commit)
    kafka.script.appendleft(assign(*partitions))
    assert consumer.poll(LIMIT, 0) is None
    assert changes == ["assigned"]
    return consumer


def test_a_batch_has_the_records_in_order_and_the_span_of_each_partition() -> None:
    kafka = MemoryKafka()
    kafka.publish(0, b"a", None, b"c")
    kafka.publish(3, b"x")
    raw = reading(kafka, partitions=(0, 3)).poll(LIMIT, 0)
    assert raw is not None
    assert (raw.values, raw.partitions, raw.offsets) == ([b"a", None, b"c", b"x"], [0, 0, 0, 3], [0, 1, 2, 0])
    assert raw.spans == {0: (0, 3), 3: (0, 1)}


def test_spans_join_over_offsets_that_hold_no_record() -> None:
    kafka = MemoryKafka()
    kafka.publish(0, b"a")
    kafka.input[0] += [None, None]
    consumer = reading(kafka)
    first = consumer.poll(LIMIT, 0)
    kafka.input[0] += [None]
    second = consumer.poll(LIMIT, 0)
    assert first is not None
    assert second is not None
    assert (first.spans, second.spans, second.values) == ({0: (0, 3)}, {0: (3, 4)}, [])
    assert consumer.poll(LIMIT, 0) is None


def test_it_starts_at_the_committed_offset_and_else_at_the_beginning() -> None:
    kafka = MemoryKafka()
    kafka.publish(1, *[b"x"] * 9)
    kafka.committed = {1: 7}
    assert reading(kafka, partitions=(0, 1)).positions == {0: 0, 1: 7}


def test_a_partition_of_which_nothing_is_on_record_is_to_be_committed_where_it_starts() -> None:
    kafka = MemoryKafka()
    kafka.publish(1, *[b"x"] * 9)
    kafka.committed = {1: 7}
    consumer = reading(kafka, partitions=(0, 1))
    assert consumer.lost() == {0: Gap(0, 0)}
    assert consumer.lost() == {}


def test_of_heavy_records_fewer_are_taken_at_once_and_of_light_ones_more_in_the_course_of_time() -> None:
    kafka = MemoryKafka()
    kafka.publish(0, *[b"x" * 1000] * 300)
    consumer = reading(kafka, max_bytes=10_000)
    sizes = [len(consumer.poll(LIMIT, 0).values) for _ in range(3)]
    assert sizes == [100, 10, 10]
    kafka.input[0] = [*kafka.input[0][:120]]
    kafka.publish(0, *[b"x"] * 500)
    sizes = [len(consumer.poll(LIMIT, 0).values) for _ in range(10)]
    assert sizes[:2] == [10, 13]
    assert sizes == sorted(sizes)
    assert sizes[-1] == 100


def test_one_record_is_taken_however_heavy_it_is() -> None:
    kafka = MemoryKafka()
    kafka.publish(0, *[b"x" * 1000] * 200)
    consumer = reading(kafka, max_bytes=10)
    consumer.poll(LIMIT, 0)
    assert [len(consumer.poll(LIMIT, 0).values) for _ in range(2)] == [1, 1]


def test_records_of_a_poll_that_also_took_their_partition_away_are_left_to_the_new_owner() -> None:
    kafka = MemoryKafka()
    consumer = reading(kafka, partitions=(0, 1))
    kafka.publish(0, b"a")
    kafka.publish(1, b"b")
    kafka.script.append(revoke(0))
    raw = consumer.poll(LIMIT, 0)
    assert raw is not None
    assert (raw.values, raw.spans, consumer.positions) == ([b"b"], {1: (0, 1)}, {1: 1})


def test_on_a_revocation_there_is_a_commit_while_the_partition_is_still_held_and_none_on_a_loss() -> None:
    kafka = MemoryKafka()
    held: list[set[int]] = []
    consumer: InputConsumer
    consumer = reading(kafka, commit=lambda: held.append({*consumer.positions}), partitions=(0, 1))
    kafka.script.extend([revoke(0), lose(1)])
    consumer.poll(LIMIT, 0)
    assert (held, {*consumer.positions}) == ([{0, 1}], {1})
    with pytest.raises(SessionLost, match="too slow or cut off"):
        consumer.poll(LIMIT, 0)
    assert (held, consumer.positions) == ([{0, 1}], {})


def test_a_commit_that_fails_inside_the_callback_is_raised_by_poll() -> None:
    def commit() -> None:
        raise SessionLost("fenced", "a zombie")

    kafka = MemoryKafka()
    consumer = reading(kafka, commit=commit)
    kafka.script.append(revoke(0))
    with pytest.raises(SessionLost, match="a zombie"):
        consumer.poll(LIMIT, 0)


def test_committed_offsets_that_cannot_be_read_lose_the_session() -> None:
    kafka = MemoryKafka(assign(0))
    kafka.faults["committed"].append(error(KafkaError._TIMED_OUT))
    consumer = opened(kafka, 1000, lambda kind: None)
    consumer.subscribe(nothing)
    with pytest.raises(SessionLost) as lost:
        consumer.poll(LIMIT, 0)
    assert (lost.value.cause, consumer.positions) == ("assignment", {})


@pytest.mark.parametrize(
    ("code", "kind"),
    [(KafkaError._TRANSPORT, SessionLost), (KafkaError.TOPIC_AUTHORIZATION_FAILED, PipelineFailed)],
)
def test_an_error_of_a_poll_means_what_its_code_means(code: int, kind: type[Exception]) -> None:
    kafka = MemoryKafka()
    consumer = reading(kafka)
    kafka.faults["consume"].append(error(code))
    with pytest.raises(kind, match="reading the input"):
        consumer.poll(LIMIT, 0)


def test_lag_is_what_can_be_read_and_not_what_open_transactions_hide() -> None:
    kafka = MemoryKafka()
    kafka.publish(0, *[b"x"] * 150)
    consumer = reading(kafka)
    consumer.poll(LIMIT, 0)
    assert [(place.partition, place.position, place.lag) for place in consumer.progress()] == [(0, 100, 50)]
    consumer.poll(LIMIT, 0)
    kafka.publish(0, b"of a transaction that is open")  # the high watermark moves, and no record comes
    assert [(place.position, place.lag) for place in consumer.progress()] == [(150, 0)]


def test_what_is_held_back_is_every_assigned_partition_and_it_is_let_go_again() -> None:
    kafka = MemoryKafka()
    consumer = reading(kafka, partitions=(0, 2))
    kafka.publish(2, b"x")
    consumer.hold()
    assert (kafka.consumers[0].paused, consumer.poll(LIMIT, 0)) == ({0, 2}, None)
    consumer.release()
    assert consumer.poll(LIMIT, 0).values == [b"x"]


def test_a_partition_is_quiet_while_nothing_of_it_is_known_to_wait() -> None:
    """Records of a backlog are in the client, or at the broker, before the loop is handed them."""
    kafka = MemoryKafka()
    kafka.publish(0, b"a")
    consumer = reading(kafka, partitions=(0, 1))
    assert [consumer.is_quiet(partition) for partition in (0, 1)] == [False, False]
    consumer.poll(LIMIT, 0)
    assert [consumer.is_quiet(partition) for partition in (0, 1)] == [True, True]
    kafka.publish(1, b"b")
    assert [consumer.is_quiet(partition) for partition in (0, 1)] == [True, False]
    consumer.hold()
    assert not consumer.is_quiet(0)
