"""From session to session: back-off, fencing, errors that no session heals, and waiting for a model."""

import pytest
from confluent_kafka import KafkaError

from stream_app.pipeline.faults import PipelineFailed
from stream_app.pipeline.recovery import BACKOFF_S, FENCED_WITHIN_S, MODEL_WAIT_S
from stream_app.testing.memory_kafka import assign, error
from tests.unit.stream_app.pipeline.rig import STRANGE, USUAL, Rig, idle, served


def test_each_failure_in_a_row_waits_longer_up_to_a_bound(rig: Rig) -> None:
    rig.kafka.faults["consume"].extend([error(KafkaError._TRANSPORT)] * 7)
    rig.run()
    assert rig.waits == [*BACKOFF_S, BACKOFF_S[-1], BACKOFF_S[-1]]
    assert rig.sample("sessions_reopened_total", cause="transport") == 7
    assert len(rig.kafka.consumers) == 8
    assert all(consumer.closed for consumer in rig.kafka.consumers)


def test_a_commit_between_two_failures_starts_the_waiting_anew(rig: Rig) -> None:
    failures = [error(KafkaError._TRANSPORT)] * 2
    rig.kafka.faults["consume"].extend([*failures, None, None, *failures])
    rig.kafka.publish(0, USUAL)
    rig.run(assign(0), idle, assign(0), idle)
    assert rig.waits == [BACKOFF_S[0], BACKOFF_S[1], BACKOFF_S[0], BACKOFF_S[1]]


def test_while_it_reconnects_it_is_not_ready_and_says_why(rig: Rig) -> None:
    seen: list[tuple[bool, str]] = []
    rig.kafka.publish(0, USUAL)
    rig.kafka.faults["consume"].extend([None, None, None, error(KafkaError._ALL_BROKERS_DOWN)])
    look = rig.look(lambda: (rig.progress.latest.ready, rig.progress.latest.state.partition(":")[0]), seen)
    rig.run(assign(0), idle, look, look)
    assert seen == [(True, "running"), (False, "reconnecting")]


def test_a_worker_whose_name_is_used_twice_yields(rig: Rig) -> None:
    rig.kafka.faults["consume"].extend([error(KafkaError._FENCED, fatal=True)] * 3)
    with pytest.raises(PipelineFailed, match="another worker runs under the name w1"):
        rig.run()


@pytest.mark.parametrize("call", ["poll", "produce", "begin_transaction", "commit_transaction", "init_transactions"])
def test_it_yields_in_the_same_words_wherever_the_fence_strikes(rig: Rig, call: str) -> None:
    rig.kafka.publish(0, STRANGE, STRANGE, STRANGE)
    for _ in range(6):  # an abort polls, too
        rig.kafka.faults[call].append(error(KafkaError._FENCED, fatal=True))
    with pytest.raises(PipelineFailed, match="another worker runs under the name w1"):
        rig.run(*[assign(0), idle] * 3)


def test_being_fenced_now_and_then_is_no_reason_to_yield(rig: Rig) -> None:
    faults = rig.kafka.faults["consume"]
    for _ in range(4):
        faults.extend([None, error(KafkaError._FENCED, fatal=True)])
    rig.run(*[rig.later(FENCED_WITHIN_S / 2)] * 4)
    assert rig.sample("sessions_reopened_total", cause="fenced") == 4


def test_a_namesake_takes_the_transaction_and_what_was_open_is_done_again(rig: Rig) -> None:
    def namesake(_) -> None:
        rig.kafka.owners.clear()

    rig.kafka.publish(0, STRANGE)
    rig.run(assign(0), idle, rig.publish(0, STRANGE), namesake, idle, assign(0), idle)
    assert rig.places == ["0@0", "0@1"]
    assert rig.sample("sessions_reopened_total", cause="fenced") == 1


@pytest.mark.parametrize("call", ["consume", "init_transactions", "send_offsets_to_transaction"])
def test_an_error_that_no_session_heals_stops_the_worker_with_the_remedy(rig: Rig, call: str) -> None:
    rig.kafka.faults[call].append(error(KafkaError.TOPIC_AUTHORIZATION_FAILED))
    rig.kafka.publish(0, USUAL)
    with pytest.raises(PipelineFailed, match="grant this principal read on the input"):
        rig.run(assign(0), idle)
    assert rig.kafka.committed == {}


def test_without_a_model_nothing_is_opened_until_there_is_one(first) -> None:
    rig = Rig(None)
    states: list[str] = []

    def wait(_, seconds: float) -> None:
        rig.waits.append(seconds)
        states.append(rig.progress.latest.state)
        rig.serving = served(first) if len(rig.waits) == 3 else None

    object.__setattr__(rig.clock, "wait", wait)
    rig.run(assign(0), idle)
    assert rig.waits == [MODEL_WAIT_S] * 3
    assert states == ["no model yet"] * 3
    assert len(rig.kafka.consumers) == 1


def test_a_pipeline_that_is_stopped_without_a_model_ends() -> None:
    rig = Rig(None)
    rig.pipeline.stop()
    rig.pipeline.run()
    assert rig.kafka.consumers == []
