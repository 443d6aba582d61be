"""Topics on a real cluster are what `schemas.topics` declares, whoever comes first."""

from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import pytest
from confluent_kafka import KafkaException
from confluent_kafka.admin import ConfigResource, NewTopic, ResourceType

from schemas.topics import ALL, AUDIT, DEAD_LETTERS, MODEL_SWAP, TRANSACTIONS
from stream_app.kafka import clients, topics
from stream_app.kafka.clients import BrokerError, BrokerUnavailable, TopicConflict

pytestmark = pytest.mark.kafka


def partitions(settings):
    found = clients.admin(settings).list_topics(timeout=10).topics
    return {full: len(topic.partitions) for full, topic in found.items() if full.startswith(settings.topic_prefix)}


def config(settings, topic):
    resource = ConfigResource(ResourceType.TOPIC, topics.name(settings, topic))
    client = clients.admin(settings)  # a name of its own: a client that is collected takes its answers with it
    (entries,) = client.describe_configs([resource]).values()
    return {key: entry.value for key, entry in entries.result().items()}


def create(settings, topic, partitions, **values):
    order = NewTopic(topics.name(settings, topic), num_partitions=partitions, replication_factor=1, config=values)
    client = clients.admin(settings)
    for outcome in client.create_topics([order]).values():
        outcome.result()


def test_everything_declared_is_created_as_declared(settings):
    topics.ensure(settings)
    expected = {topics.name(settings, topic): topic.partitions or settings.input_partitions for topic in ALL}
    assert partitions(settings) == expected
    assert config(settings, AUDIT)["retention.ms"] == "-1"
    assert config(settings, TRANSACTIONS)["retention.ms"] == str(7 * 24 * 3600 * 1000)
    assert config(settings, DEAD_LETTERS)["max.message.bytes"] == str(16 * 1024 * 1024)


def test_a_second_time_changes_nothing(settings):
    topics.ensure(settings)
    before = partitions(settings)
    topics.ensure(settings)
    assert partitions(settings) == before


def test_workers_that_start_together_do_not_get_into_each_others_way(settings):
    with ThreadPoolExecutor(4) as workers:
        for outcome in [workers.submit(topics.ensure, settings) for _ in range(4)]:
            outcome.result()
    assert len(partitions(settings)) == len(ALL)


def test_a_topic_that_is_being_deleted_is_no_error(settings):
    """The broker lists it a moment longer than it has it."""
    full = topics.name(settings, DEAD_LETTERS)
    for _ in range(10):
        topics.ensure(settings)
        client = clients.admin(settings)
        with suppress(KafkaException):  # it was still listed when it was ensured
            client.delete_topics([full])[full].result()


def test_an_input_that_its_owner_partitioned_otherwise_is_taken_as_it_is(settings):
    create(settings, TRANSACTIONS, 5)
    topics.ensure(settings)
    assert partitions(settings)[topics.name(settings, TRANSACTIONS)] == 5


def test_all_contradictions_are_named_in_one_line_with_what_to_change(settings):
    create(settings, MODEL_SWAP, 3, **{"retention.ms": "-1"})
    create(settings, AUDIT, 1, **{"cleanup.policy": "compact", "retention.ms": "60000"})
    with pytest.raises(TopicConflict) as raised:
        topics.ensure(settings)
    line = str(raised.value)
    assert f"{topics.name(settings, MODEL_SWAP)} has 3 partitions but must have 1" in line
    assert f"--entity-name {topics.name(settings, AUDIT)} --add-config cleanup.policy=delete" in line
    assert "retention.ms=-1" in line
    assert "\n" not in line


def test_no_cluster_is_one_line(fresh_settings, monkeypatch):
    monkeypatch.setattr(topics, "ANSWER_S", 0.5)
    nobody = fresh_settings("127.0.0.1:9")
    with pytest.raises(BrokerUnavailable, match=r"no Kafka answers at 127\.0\.0\.1:9"):
        topics.ensure(nobody)


def test_a_prefix_that_kafka_takes_for_another_is_one_line_that_asks_for_another(settings):
    dotted, under = (
        settings.model_copy(update={"topic_prefix": f"{settings.topic_prefix}{sign}a."}) for sign in ("x.", "x_")
    )
    topics.ensure(dotted, [MODEL_SWAP])
    with pytest.raises(BrokerError, match=rf"topic {under.topic_prefix}model-swap .*choose another topic_prefix$"):
        topics.ensure(under, [MODEL_SWAP])
