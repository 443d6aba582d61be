"""A session: which clients it opens, what its end leaves behind, and which error is named when several follow."""

from datetime import UTC, datetime

import pytest
from confluent_kafka import KafkaError

from schemas.rollout import ModelStatus, Phase
from stream_app.pipeline.commit import AtLeastOnce, ExactlyOnce
from stream_app.pipeline.faults import PipelineFailed, SessionLost
from stream_app.pipeline.session import Session
from stream_app.settings import Guarantee, Settings
from stream_app.testing.memory_kafka import error
from tests.unit.stream_app.pipeline.rig import Rig


def opened(rig: Rig) -> Session:
    return session(rig, rig.settings)


def session(rig: Rig, settings: Settings) -> Session:
    return Session(settings, rig.metrics, rig.kafka, rig.kafka.recall, lambda sentence: None, rig.clock)


def write(session: Session, times: int = 1) -> None:
    for _ in range(times):
        session.emitter.status(ModelStatus(worker="w1", phase=Phase.APPLIED, at=datetime(2026, 1, 1, tzinfo=UTC)))


def test_the_guarantee_decides_how_intervals_end(rig: Rig) -> None:
    assert isinstance(opened(rig).committer, ExactlyOnce)
    assert list(rig.kafka.owners) == ["stream-app-w1"]
    relaxed = Rig(None, guarantee=Guarantee.AT_LEAST_ONCE)
    assert isinstance(opened(relaxed).committer, AtLeastOnce)
    assert relaxed.kafka.owners == {}


def test_every_topic_has_the_prefix_and_only_what_is_switched_on_is_written(rig: Rig) -> None:
    outputs = session(
        rig, rig.settings.model_copy(update={"topic_prefix": "eu-", "publish_scores": True})
    ).emitter._outputs
    assert (outputs.transactions, outputs.anomalies) == ("eu-transactions", "eu-anomalies")
    assert (outputs.scores, outputs.latents) == ("eu-scores", None)


def test_a_session_that_ends_well_leaves_the_group_and_counts_no_abort(rig: Rig) -> None:
    with opened(rig):
        pass
    assert rig.kafka.consumers[0].closed
    assert rig.sample("commits_total", outcome="aborted") == 0


def test_a_session_that_breaks_leaves_the_group_and_hides_its_outputs(rig: Rig) -> None:
    rig.kafka.faults["produce"].extend([None, error(KafkaError._TRANSPORT)])
    with pytest.raises(SessionLost), opened(rig) as session:
        write(session, 2)
    assert rig.kafka.consumers[0].closed
    assert (rig.kafka.visible, rig.sample("commits_total", outcome="aborted")) == ({}, 1)


def test_an_error_that_only_follows_from_another_is_replaced_by_it(rig: Rig) -> None:
    """The producer that cannot go on reports `_STATE`; that a right is missing, the broker knows."""
    rig.kafka.faults["produce"].append(error(KafkaError._STATE))
    rig.kafka.faults["send_offsets_to_transaction"].append(error(KafkaError.TOPIC_AUTHORIZATION_FAILED))
    with pytest.raises(PipelineFailed, match=r"writing outputs: .* grant this principal"), opened(rig) as session:
        write(session)


def test_any_other_error_is_not_looked_behind(rig: Rig) -> None:
    rig.kafka.faults["produce"].append(error(KafkaError._TRANSPORT))
    rig.kafka.faults["send_offsets_to_transaction"].append(error(KafkaError.TOPIC_AUTHORIZATION_FAILED))
    with pytest.raises(SessionLost) as lost, opened(rig) as session:
        write(session)
    assert lost.value.cause == "transport"
    assert len(rig.kafka.faults["send_offsets_to_transaction"]) == 1


def test_a_fault_of_the_program_itself_stays_what_it_is(rig: Rig) -> None:
    rig.kafka.faults["abort_transaction"].append(error(KafkaError._FATAL, fatal=True))
    with pytest.raises(ZeroDivisionError), opened(rig):
        1 / 0  # noqa: B018
    assert rig.kafka.consumers[0].closed
