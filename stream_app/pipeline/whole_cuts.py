"""Checkpoints of windows, read and written by commands while no worker runs: whole ones, in one transaction."""

import time
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from typing import NamedTuple

from confluent_kafka import ConsumerGroupState, KafkaError, KafkaException

from schemas.errors import UserError
from schemas.topics import WINDOW_STATE
from stream_app.kafka import clients, limits
from stream_app.kafka.clients import BrokerError, explain
from stream_app.kafka.log import read_to_end
from stream_app.kafka.records import headers_of
from stream_app.kafka.topics import name
from stream_app.pipeline.emit import Emitter
from stream_app.pipeline.session import outputs_of
from stream_app.pipeline.window_records import CUT_HEADER, ENTITY_BYTES, Checkpoint, StateRecord, prefix
from stream_app.settings import Settings

ANSWER_S = 10.0
RETRY_S = 0.1
COMING = {  # what a coordinator of groups answers while it is made
    KafkaError.COORDINATOR_LOAD_IN_PROGRESS,
    KafkaError.COORDINATOR_NOT_AVAILABLE,
    KafkaError.NOT_COORDINATOR,
}
LONGEST_MS = 900_000  # of a transaction, where the brokers do not allow less


class WorkersRun(UserError):  # noqa: N818 - named after the state of the world
    """A worker would not see what is written, and write over it."""


class KnownWindows(NamedTuple):
    """What stands on `window-state` of one partition's windows.

    Attributes:
        checkpoint: As a worker reads it.
        entities: Keys of all entities of which there is a record, also of a checkpoint that was given up.
    """

    checkpoint: Checkpoint
    entities: set[bytes]


def standing(settings: Settings, fingerprint: bytes, partitions: Iterable[int]) -> dict[int, KnownWindows]:
    """What `window-state` holds of some windows, by partition of the input.

    Raises:
        BrokerError: it cannot be read.
    """
    begins = {partition: prefix(fingerprint, partition) for partition in partitions}
    found = {begin: KnownWindows(Checkpoint(begin), set()) for begin in begins.values()}
    length = len(prefix(fingerprint, 0))
    for message in read_to_end(settings, WINDOW_STATE):
        key, value = message.key() or b"", message.value()
        there = found.get(key[:length])
        if there is None:
            continue
        header = None if value is not None else dict(headers_of(message) or ()).get(CUT_HEADER)
        there.checkpoint.add(key, value, header)
        if len(key) == length + ENTITY_BYTES:
            (there.entities.discard if value is None else there.entities.add)(key[length:])
    return {partition: found[begin] for partition, begin in begins.items()}


def refuse_running(settings: Settings) -> None:
    """Refuse to go on while the group has members.

    Raises:
        WorkersRun: it has.
        BrokerError: the brokers do not tell.
    """
    client, deadline = clients.admin(settings), time.monotonic() + ANSWER_S
    while True:
        try:
            asked = client.describe_consumer_groups([settings.group], request_timeout=ANSWER_S)
            state = asked[settings.group].result(ANSWER_S).state
            break
        except KafkaException as exception:
            code = exception.args[0].code()
            if code == KafkaError.GROUP_ID_NOT_FOUND:
                return
            if code not in COMING or time.monotonic() > deadline:
                raise explain(exception, settings, settings.group) from exception
            time.sleep(RETRY_S)
        except TimeoutError:
            raise BrokerError(f"the brokers do not tell whether workers of {settings.group} run: try again") from None
    if state not in (ConsumerGroupState.EMPTY, ConsumerGroupState.DEAD, ConsumerGroupState.UNKNOWN):
        raise WorkersRun(
            f"workers of {settings.group} run, and hold windows of their own: stop them all, do this, then start them"
        )


def write(
    settings: Settings, whole: Mapping[int, Iterable[StateRecord]], advance: Callable[[int], object] = lambda _: None
) -> None:
    """Write the checkpoints of partitions, all of them or nothing, if no worker runs by then.

    Args:
        settings: Where to.
        whole: Input partition to the records of its checkpoint, the mark last.
        advance: Called with how many partitions are done.

    Raises:
        WorkersRun: one has started meanwhile.
        BrokerError: the brokers do not take them.
    """
    longest = limits.properties(settings).get("transaction.max.timeout.ms", LONGEST_MS)
    properties = {
        "transactional.id": f"{settings.transactional_ids}windows",
        "transaction.timeout.ms": min(int(longest), LONGEST_MS),
    }
    producer, topic = clients.producer(settings, **properties), name(settings, WINDOW_STATE)
    try:
        partitions = len(producer.list_topics(topic, ANSWER_S).topics[topic].partitions)
        producer.init_transactions(ANSWER_S)
        producer.begin_transaction()
        emitter = Emitter(producer, outputs_of(settings), "", lambda: datetime.now(UTC))
        for done, records in enumerate(whole.values()):
            emitter.window_state(records, max(partitions, 1))
            advance(done + 1)
        producer.flush()
        refuse_running(settings)
        producer.commit_transaction()
    except KafkaException as exception:
        raise explain(exception, settings, topic) from exception
