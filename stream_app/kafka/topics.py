"""Creates the topics that `schemas.topics` declares, and refuses existing ones that contradict the declaration.

Safe when several workers and commands do it at once: the second finds the topic and checks it.
"""

import time
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from confluent_kafka import KafkaError, KafkaException, TopicCollection
from confluent_kafka.admin import AdminClient, ConfigResource, NewTopic, ResourceType, TopicDescription

from schemas.topics import ALL, FOREVER, MODEL_SWAP, TRANSACTIONS, Topic
from stream_app.kafka import clients
from stream_app.kafka.clients import BrokerError, TopicConflict, explain
from stream_app.settings import Settings

ANSWER_S = 10.0
PATIENCE_S = 30.0
POLL_S = 0.05
KEPT_FOREVER = -1
NO_ID = "A" * 22


def name(settings: Settings, topic: Topic) -> str:
    """The topic's name on this cluster, prefix included."""
    return f"{settings.topic_prefix}{topic.name}"


def id_of(description: TopicDescription) -> str:
    """Kafka's id of a topic, as its own tools print it; empty where brokers are too old to have any."""
    found = str(description.topic_id).replace("+", "-").replace("/", "_")
    return "" if found == NO_ID else found


def present_id(settings: Settings) -> str:
    """Kafka's id of the topic that is the input now.

    Raises:
        BrokerError: there is none, or nobody answers.
    """
    full, client = name(settings, TRANSACTIONS), clients.admin(settings)
    try:
        return id_of(client.describe_topics(TopicCollection([full]), request_timeout=ANSWER_S)[full].result())
    except KafkaException as exception:
        raise explain(exception, settings, full) from exception


def ensure(settings: Settings, topics: Iterable[Topic] = ALL) -> None:
    """Create missing topics, and return once all of them can be used.

    Raises:
        TopicConflict: existing topics cannot be used; the message names all of them and what to change.
        BrokerUnavailable, NotAuthorised: see `clients`.
    """
    wanted = {name(settings, topic): topic for topic in topics}
    client = clients.admin(settings)
    try:
        conflicts = _made(client, wanted, settings)
    except KafkaException as exception:
        raise explain(exception, settings, "topics") from exception
    if conflicts:
        raise TopicConflict("; ".join(conflicts))


@dataclass(frozen=True)
class Found:
    """The declared topics on the cluster, as they were found.

    Attributes:
        missing: Full names.
        conflicts: A sentence for each contradiction.
        other_prefixes: Of installations whose topics are there.
    """

    missing: list[str]
    conflicts: list[str]
    other_prefixes: list[str]


def look(settings: Settings) -> Found:
    """Compare the cluster with the declarations; changes nothing.

    Raises:
        BrokerUnavailable, NotAuthorised: see `clients`.
    """
    wanted = {name(settings, topic): topic for topic in ALL}
    client = clients.admin(settings)
    try:
        there = client.list_topics(timeout=ANSWER_S).topics
        conflicts = _conflicts(client, {full: topic for full, topic in wanted.items() if full in there})
    except KafkaException as exception:
        raise explain(exception, settings, "topics") from exception
    prefixes = {full.removesuffix(MODEL_SWAP.name) for full in there if full.endswith(MODEL_SWAP.name)}
    return Found([full for full in wanted if full not in there], conflicts, sorted(prefixes - {settings.topic_prefix}))


def _made(client: AdminClient, wanted: dict[str, Topic], settings: Settings) -> list[str]:
    """Create what is missing, and return what contradicts the declarations.

    All are looked at: another process may meanwhile have created a missing one differently. One that was listed and is
    gone now was being deleted: it is made again.
    """
    deadline = time.monotonic() + PATIENCE_S
    while True:
        there = client.list_topics(timeout=ANSWER_S).topics
        missing = {full: topic for full, topic in wanted.items() if full not in there}
        _create(client, settings, missing)
        _await_leaders(client, set(missing), settings)
        try:
            return _conflicts(client, wanted)
        except KafkaException as exception:
            if exception.args[0].code() != KafkaError.UNKNOWN_TOPIC_OR_PART or time.monotonic() > deadline:
                raise
        time.sleep(POLL_S)


def _create(client: AdminClient, settings: Settings, missing: dict[str, Topic]) -> None:
    if not missing:
        return
    orders = [
        NewTopic(
            full,
            num_partitions=topic.partitions or settings.input_partitions,
            replication_factor=settings.replication_factor,
            config={"cleanup.policy": "delete", "retention.ms": str(retention_ms(topic)), **topic.config},
        )
        for full, topic in missing.items()
    ]
    for full, outcome in client.create_topics(orders, operation_timeout=PATIENCE_S).items():
        try:
            outcome.result()
        except KafkaException as exception:
            error = exception.args[0]
            if "collides" in error.str():
                raise BrokerError(
                    f"topic {full} cannot be made at {settings.bootstrap_servers}: to Kafka it is one with a topic "
                    "that is there, whose name has . for _ or the other way round; choose another topic_prefix"
                ) from exception
            if error.code() != KafkaError.TOPIC_ALREADY_EXISTS:
                raise explain(exception, settings, f"topic {full}, to be seen or created") from exception


def _await_leaders(client: AdminClient, names: set[str], settings: Settings) -> None:
    """Wait: a topic that was just created is not yet in every broker's metadata."""
    deadline = time.monotonic() + PATIENCE_S
    while not all(_led(client, full) for full in names):
        if time.monotonic() > deadline:
            raise BrokerError(f"topics created at {settings.bootstrap_servers} have no leader after {PATIENCE_S:.0f} s")
        time.sleep(POLL_S)


def _led(client: AdminClient, full: str) -> bool:
    found = client.list_topics(full, timeout=ANSWER_S).topics[full]
    return found.error is None and bool(found.partitions) and all(p.leader >= 0 for p in found.partitions.values())


def _conflicts(client: AdminClient, wanted: dict[str, Topic]) -> list[str]:
    metadata = client.list_topics(timeout=ANSWER_S).topics
    if not wanted:
        return []
    futures = client.describe_configs([ConfigResource(ResourceType.TOPIC, full) for full in wanted])
    configs = {resource.name: future.result() for resource, future in futures.items()}
    if not configs.keys() <= metadata.keys():
        raise KafkaException(KafkaError(KafkaError.UNKNOWN_TOPIC_OR_PART))
    return [
        sentence
        for full, topic in wanted.items()
        for sentence in contradictions(full, topic, len(metadata[full].partitions), _values(configs[full]))
    ]


def _values(config: dict[str, Any]) -> dict[str, str]:
    return {key: entry.value for key, entry in config.items()}


def contradictions(full: str, topic: Topic, partitions: int, config: dict[str, str]) -> list[str]:
    """Why an existing topic cannot be used as declared; empty when it can.

    The retention of topics that are not read from their beginning, and the number of partitions of partitioned ones,
    are the cluster owner's decision.

    Args:
        full: Its name on the cluster.
        topic: The declaration.
        partitions: Its number of partitions on the cluster.
        config: Its configuration on the cluster.

    Returns:
        A sentence for each contradiction, with what to change.
    """
    alter = f"kafka-configs --alter --entity-type topics --entity-name {full} --add-config"
    sentences = []
    if topic.partitions is not None and partitions != topic.partitions:
        sentences.append(
            f"topic {full} has {partitions} partitions but must have {topic.partitions}, its order matters: "
            "delete it, or set another topic_prefix"
        )
    policy = config.get("cleanup.policy", "delete")
    if topic.config.get("cleanup.policy") == "compact":
        if policy != "compact":
            sentences.append(
                f"topic {full} has the policy {policy} but is read from its beginning: {alter} cleanup.policy=compact"
            )
    elif "compact" in policy:
        sentences.append(f"topic {full} is compacted and would lose records: {alter} cleanup.policy=delete")
    kept = int(config.get("retention.ms", KEPT_FOREVER))
    if topic.retention == FOREVER and kept != KEPT_FOREVER:
        sentences.append(
            f"topic {full} forgets after {kept} ms but is read from its beginning: {alter} retention.ms=-1"
        )
    if topic.retention == FOREVER and int(config.get("retention.bytes", KEPT_FOREVER)) != KEPT_FOREVER:
        sentences.append(
            f"topic {full} forgets when it is large but is read from its beginning: {alter} retention.bytes=-1"
        )
    clock = topic.config.get("message.timestamp.type")
    if clock is not None and config.get("message.timestamp.type", clock) != clock:
        sentences.append(
            f"topic {full} has the time of its writers' clocks but must have the brokers', by which workers count as "
            f"lost and commands as expired: {alter} message.timestamp.type={clock}"
        )
    limit = topic.config.get("max.message.bytes")
    if limit is not None and int(config.get("max.message.bytes", limit)) < int(limit):
        sentences.append(f"topic {full} takes no records of {limit} bytes: {alter} max.message.bytes={limit}")
    return sentences


def retention_ms(topic: Topic) -> int:
    """Retention as Kafka writes it: milliseconds, -1 for ever."""
    return KEPT_FOREVER if topic.retention == FOREVER else int(topic.retention.total_seconds() * 1000)
