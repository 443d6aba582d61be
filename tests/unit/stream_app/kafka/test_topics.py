"""What an existing topic may be like, and what it may not."""

from datetime import timedelta

import pytest

from schemas.topics import ALL, AUDIT, DEAD_LETTERS, MODEL_STATUS, MODEL_SWAP, TRANSACTIONS
from stream_app.kafka.topics import contradictions, name, retention_ms
from stream_app.settings import Settings

FITTING = {"cleanup.policy": "delete", "retention.ms": "-1", "max.message.bytes": str(16 * 1024 * 1024)}


def test_the_prefix_of_the_settings_stands_before_every_name():
    assert name(Settings(topic_prefix="team-a."), MODEL_SWAP) == "team-a.model-swap"


def test_forever_is_minus_one_on_the_wire_and_the_rest_milliseconds():
    assert retention_ms(AUDIT) == -1
    assert retention_ms(TRANSACTIONS) == timedelta(days=7).total_seconds() * 1000


@pytest.mark.parametrize("topic", ALL, ids=lambda topic: topic.name)
def test_a_topic_as_declared_is_accepted(topic):
    assert contradictions(topic.name, topic, topic.partitions or 4, {**FITTING, **topic.config}) == []


@pytest.mark.parametrize("partitions", [1, 3, 48])
def test_the_input_may_have_any_number_of_partitions(partitions):
    assert contradictions("transactions", TRANSACTIONS, partitions, FITTING) == []


def test_a_log_that_needs_one_order_refuses_a_second_partition():
    (sentence,) = contradictions("p.model-swap", MODEL_SWAP, 2, FITTING)
    assert "p.model-swap has 2 partitions but must have 1" in sentence
    assert "topic_prefix" in sentence


@pytest.mark.parametrize("policy", ["compact", "compact,delete"])
def test_a_compacted_topic_is_refused_because_it_loses_records(policy):
    (sentence,) = contradictions("audit", AUDIT, 1, {**FITTING, "cleanup.policy": policy})
    assert "--entity-name audit --add-config cleanup.policy=delete" in sentence


def test_a_ledger_that_forgets_is_refused():
    (sentence,) = contradictions("model-swap", MODEL_SWAP, 1, {**FITTING, "retention.ms": "604800000"})
    assert "604800000 ms" in sentence
    assert "retention.ms=-1" in sentence


def test_how_long_the_input_is_kept_is_its_owners_business():
    assert contradictions("transactions", TRANSACTIONS, 4, {**FITTING, "retention.ms": "3600000"}) == []


def test_dead_letters_that_cannot_hold_a_large_record_are_refused():
    (sentence,) = contradictions("dead-letters", DEAD_LETTERS, 4, {**FITTING, "max.message.bytes": "1048588"})
    assert "max.message.bytes=16777216" in sentence


def test_every_contradiction_of_a_topic_is_named():
    config = {**FITTING, "cleanup.policy": "compact", "retention.ms": "1"}
    assert len(contradictions("model-swap", MODEL_SWAP, 8, config)) == 3


def test_a_topic_whose_times_are_its_writers_is_refused_where_the_brokers_are_relied_on():
    for topic in ALL:
        found = contradictions(
            topic.name,
            topic,
            topic.partitions or 4,
            {**FITTING, **topic.config, "message.timestamp.type": "CreateTime"},
        )
        told = [sentence for sentence in found if "message.timestamp.type=LogAppendTime" in sentence]
        assert len(told) == (topic in (MODEL_SWAP, MODEL_STATUS)), topic.name
        assert found == told


def test_a_log_that_forgets_by_size_is_refused():
    (sentence,) = contradictions("audit", AUDIT, 1, {**FITTING, "retention.bytes": "1000000"})
    assert "--entity-name audit --add-config retention.bytes=-1" in sentence
