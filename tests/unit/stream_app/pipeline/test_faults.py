"""Errors: what stops the worker and what only costs the session."""

import pytest
from confluent_kafka import KafkaError

from stream_app.pipeline.faults import NOT_RETRIABLE, PipelineError, PipelineFailed, SessionLost, raise_for


@pytest.mark.parametrize("code", NOT_RETRIABLE)
def test_what_a_person_must_mend_stops_the_worker_in_one_line_that_says_how(code: int) -> None:
    with pytest.raises(PipelineFailed) as failed:
        raise_for(KafkaError(code, "refused"), "writing to anomalies")
    assert str(failed.value) == f"writing to anomalies: refused; {NOT_RETRIABLE[code]}"


@pytest.mark.parametrize(
    ("code", "cause"),
    [
        (KafkaError._FENCED, "fenced"),
        (KafkaError._ALL_BROKERS_DOWN, "all_brokers_down"),
        (KafkaError._STATE, "state"),
        (KafkaError.ILLEGAL_GENERATION, "illegal_generation"),
        (KafkaError.UNKNOWN_TOPIC_OR_PART, "unknown_topic_or_part"),
    ],
)
def test_any_other_error_fatal_or_not_is_healed_by_a_new_session_and_its_cause_is_one_word(
    code: int, cause: str
) -> None:
    for fatal in (True, False):
        with pytest.raises(SessionLost) as lost:
            raise_for(KafkaError(code, "gone", fatal=fatal), "committing")
        assert (lost.value.cause, str(lost.value)) == (cause, "committing: gone")


def test_both_are_pipeline_errors() -> None:
    assert issubclass(SessionLost, PipelineError)
    assert issubclass(PipelineFailed, PipelineError)
