"""Records in and out of a real Kafka, as producers and consumers of the product would see them."""

from collections.abc import Iterable
from typing import Any

import msgspec
from confluent_kafka import KafkaError, KafkaException, TopicPartition

from schemas.topics import TRANSACTIONS, Topic
from stream_app.kafka import clients, topics
from stream_app.kafka.log import read_to_end
from stream_app.settings import Settings

RESTARTING = {
    KafkaError.NOT_COORDINATOR,
    KafkaError.COORDINATOR_NOT_AVAILABLE,
    KafkaError.COORDINATOR_LOAD_IN_PROGRESS,
}


def publish(settings: Settings, records: Iterable[tuple[bytes | None, bytes | None]], to: Topic = TRANSACTIONS) -> int:
    """Keys and values onto the input topic, or another one. Returns how many."""
    producer, topic, count = clients.producer(settings), topics.name(settings, to), 0
    for key, value in records:
        while True:
            try:
                producer.produce(topic, value, key)
                break
            except BufferError:
                producer.poll(0.1)
        count += 1
        producer.poll(0)
    assert producer.flush(30) == 0
    return count


def committed_records(settings: Settings, topic: Topic) -> list[Any]:
    """Every record of an output topic that a read-committed consumer sees, decoded."""
    decode = msgspec.json.Decoder(topic.record).decode
    return [decode(message.value() or b"") for message in read_to_end(settings, topic)]


def committed_offsets(settings: Settings) -> int:
    """Input offsets that the group has committed, over all partitions; -1 while a restarted broker cannot say."""
    group = clients.group_observer(settings)
    topic = topics.name(settings, TRANSACTIONS)
    places = [TopicPartition(topic, p) for p in group.list_topics(topic, timeout=10).topics[topic].partitions]
    try:
        found = group.committed(places, timeout=10)
    except KafkaException as error:
        if error.args[0].code() not in RESTARTING:
            raise
        return -1
    finally:
        group.close()
    return sum(max(place.offset, 0) for place in found)
