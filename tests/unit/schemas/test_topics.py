"""What the topics' declarations promise: names that Kafka takes, and one order where one order is needed."""

import re
from datetime import timedelta

import pytest

from schemas import topics
from schemas.topics import Topic

EVERY_TOPIC = pytest.mark.parametrize("topic", topics.ALL, ids=lambda topic: topic.name)


@EVERY_TOPIC
def test_the_name_is_legal_in_kafka_with_a_prefix_before_it(topic: Topic):
    assert re.fullmatch(r"[a-z][a-z-]{0,99}", topic.name)


@EVERY_TOPIC
def test_the_topic_is_described_by_one_sentence(topic: Topic):
    assert re.fullmatch(r"[A-Z].*\.", topic.description)


@EVERY_TOPIC
def test_broker_settings_are_text_and_do_not_repeat_the_retention(topic: Topic):
    assert all(isinstance(value, str) for value in topic.config.values())
    assert "retention.ms" not in topic.config
    assert topic.retention > timedelta(0)


def test_no_topic_is_declared_twice_or_left_out():
    declared = [value for value in vars(topics).values() if isinstance(value, Topic)]
    assert sorted(declared, key=lambda topic: topic.name) == sorted(topics.ALL, key=lambda topic: topic.name)
    assert len({topic.name for topic in topics.ALL}) == len(topics.ALL)


def test_commands_and_what_is_folded_into_state_have_one_order_for_all():
    for topic in (topics.MODEL_SWAP, topics.MODEL_STATUS, topics.DRIFT_SUMMARIES, topics.AUDIT):
        assert topic.partitions == 1


def test_what_state_is_rebuilt_from_is_kept_for_ever():
    for topic in (topics.MODEL_SWAP, topics.AUDIT):
        assert topic.retention is topics.FOREVER


def test_outputs_follow_the_partitions_of_the_input():
    for topic in (topics.TRANSACTIONS, topics.ANOMALIES, topics.SCORES, topics.LATENTS, topics.DEAD_LETTERS):
        assert topic.partitions is None


def test_a_dead_letter_has_room_for_a_record_that_was_too_large():
    assert int(topics.DEAD_LETTERS.config["max.message.bytes"]) >= 10 * 1_000_000
