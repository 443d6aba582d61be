"""Commits: outputs and offsets together or not at all; what an abort finds out; calls that do not return."""

from collections.abc import Iterator
from threading import Event

import pytest
from confluent_kafka import KafkaError

from stream_app.pipeline import commit
from stream_app.pipeline.commit import AtLeastOnce, DeliveryFailures, ExactlyOnce
from stream_app.pipeline.faults import PipelineFailed, SessionLost
from stream_app.pipeline.input_topic import InputTopic
from stream_app.testing.memory_kafka import MemoryKafka, error

OFFSETS = {0: 10, 3: 20}


def topic(kafka: MemoryKafka) -> InputTopic:
    return InputTopic(kafka.admin(None), "transactions", lambda: 0.0)


class Line:
    """A producer and its committer."""

    def __init__(self, kafka: MemoryKafka, kind: type[ExactlyOnce | AtLeastOnce]) -> None:
        self.kafka, failures = kafka, DeliveryFailures()
        identity = {"transactional.id": "app-w1"} if kind is ExactlyOnce else {}
        self.producer = kafka.producer(None, on_delivery=failures, **identity)
        self.committer = kind(self.producer, kafka.consumer(None, None), topic(kafka), failures)
        kafka.consumers[-1].subscribe(["transactions"], None, None, None)
        self.committer.begin()

    def write(self, *values: bytes) -> None:
        for value in values:
            self.producer.produce("anomalies", value, None)

    @property
    def outcome(self) -> tuple[list[bytes], dict[int, int]]:
        """What others see, and what is committed."""
        return [message.value() for message in self.kafka.visible["anomalies"]], self.kafka.committed


@pytest.fixture
def once() -> Line:
    return Line(MemoryKafka(), ExactlyOnce)


@pytest.fixture
def at_least() -> Line:
    return Line(MemoryKafka(), AtLeastOnce)


def test_outputs_and_offsets_are_visible_with_the_commit_and_not_before(once: Line) -> None:
    once.write(b"a", b"b")
    assert once.outcome == ([], {})
    once.committer.commit(OFFSETS)
    assert once.outcome == ([b"a", b"b"], OFFSETS)


def test_barriers_alone_are_committed_without_offsets(once: Line) -> None:
    once.write(b"barrier")
    once.committer.commit({})
    assert once.outcome == ([b"barrier"], {})


def test_after_an_abort_there_is_nothing_of_the_interval(once: Line) -> None:
    once.write(b"a")
    assert once.committer.abort() is None
    once.committer.begin()
    once.write(b"b")
    once.committer.commit({1: 1})
    assert once.outcome == ([b"b"], {1: 1})


@pytest.mark.parametrize("call", ["send_offsets_to_transaction", "commit_transaction"])
def test_a_zombie_is_refused_and_leaves_nothing(once: Line, call: str) -> None:
    once.kafka.faults[call].append(error(KafkaError.ILLEGAL_GENERATION))
    once.write(b"a")
    with pytest.raises(SessionLost) as lost:
        once.committer.commit(OFFSETS)
    once.committer.abort()
    assert (lost.value.cause, once.outcome) == ("illegal_generation", ([], {}))


def test_a_successor_of_the_same_name_fences_and_ends_the_open_transaction(once: Line) -> None:
    once.write(b"of the predecessor")
    successor = Line(once.kafka, ExactlyOnce)
    with pytest.raises(SessionLost) as lost:
        once.committer.commit(OFFSETS)
    assert lost.value.cause == "fenced"
    assert once.committer.abort().code() == KafkaError._FENCED
    successor.committer.commit({0: 1})
    assert successor.outcome == ([], {0: 1})


def test_a_transactional_id_that_may_not_be_used_is_a_person_s_to_mend() -> None:
    kafka = MemoryKafka()
    kafka.faults["init_transactions"].append(error(KafkaError.TRANSACTIONAL_ID_AUTHORIZATION_FAILED))
    with pytest.raises(PipelineFailed, match="grant this principal write on its transactional ids"):
        Line(kafka, ExactlyOnce)


def test_the_error_behind_a_producer_that_cannot_go_on_is_asked_of_the_broker_and_commits_nothing(once: Line) -> None:
    once.write(b"a")
    once.kafka.faults["send_offsets_to_transaction"].append(error(KafkaError.TOPIC_AUTHORIZATION_FAILED))
    assert once.committer.abort(probe_cause=True).code() == KafkaError.TOPIC_AUTHORIZATION_FAILED
    once.committer.begin()
    assert once.committer.abort(probe_cause=True) is None
    once.committer.begin()
    once.committer.commit({})
    assert once.outcome == ([], {})


def test_an_abort_that_fails_raises_nothing_and_names_the_fatal_error(once: Line) -> None:
    once.kafka.faults["abort_transaction"].extend([error(KafkaError._TRANSPORT), error(KafkaError._FATAL, fatal=True)])
    assert once.committer.abort() is None
    assert once.committer.abort().code() == KafkaError._FATAL


@pytest.fixture
def short_limits(monkeypatch: pytest.MonkeyPatch) -> Iterator[Event]:
    """Limits that have passed already; a call that stands still is let go in the end."""
    monkeypatch.setattr(commit, "COMMIT_TIMEOUT_S", 0.0)
    monkeypatch.setattr(commit, "GRACE_S", 0.0)
    release = Event()
    yield release
    release.set()


def test_a_call_that_does_not_return_is_left_behind_with_its_session(once: Line, short_limits: Event) -> None:
    """librdkafka's issue 5456: it stands in this call while the coordinator is away."""
    object.__setattr__(once.producer, "send_offsets_to_transaction", lambda *_: short_limits.wait())
    once.write(b"a")
    with pytest.raises(SessionLost) as lost:
        once.committer.commit(OFFSETS)
    once.committer.abort()
    assert (lost.value.cause, once.outcome) == ("timed_out", ([], {}))


def test_at_least_once_commits_offsets_when_every_output_is_acknowledged(at_least: Line) -> None:
    at_least.write(b"a")
    at_least.kafka.acknowledges = False
    with pytest.raises(SessionLost, match="outputs are not acknowledged"):
        at_least.committer.commit(OFFSETS)
    assert at_least.outcome == ([], {})
    at_least.kafka.acknowledges = True
    at_least.committer.commit(OFFSETS)
    assert at_least.outcome == ([b"a"], OFFSETS)


def test_at_least_once_an_output_that_was_not_taken_keeps_the_offsets_where_they_are(at_least: Line) -> None:
    at_least.kafka.faults["deliver"].extend([None, KafkaError(KafkaError.MSG_SIZE_TOO_LARGE)])
    at_least.write(b"small", b"large")
    with pytest.raises(PipelineFailed, match=r"raise max\.message\.bytes"):
        at_least.committer.commit(OFFSETS)
    assert at_least.outcome == ([b"small"], {})
    assert at_least.committer.abort().code() == KafkaError.MSG_SIZE_TOO_LARGE


def test_at_least_once_what_is_given_up_on_purpose_is_no_failure(at_least: Line) -> None:
    at_least.write(b"a")
    at_least.kafka.acknowledges = False
    assert at_least.committer.abort() is None
    at_least.kafka.acknowledges = True
    at_least.committer.commit({})
    assert at_least.outcome == ([], {})


def test_at_least_once_offsets_that_the_group_refuses_lose_the_session(at_least: Line) -> None:
    at_least.kafka.faults["commit"].append(error(KafkaError.REBALANCE_IN_PROGRESS))
    with pytest.raises(SessionLost, match="committing the offsets"):
        at_least.committer.commit(OFFSETS)
