"""The rights of the user that we connect as, as far as the cluster reports them.

A worker checks them before it starts: Faust's client waits for ever, without a log line, for a group that it may not
join. `stream-app doctor` shows them.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from confluent_kafka import KafkaError, KafkaException, TopicCollection
from confluent_kafka.admin import AclOperation, AdminClient

from stream_app.kafka import clients
from stream_app.kafka.clients import NotAuthorised, explain
from stream_app.kafka.roles import ROLES, Operation, Resource, Right, Role, rights
from stream_app.settings import Settings

ANSWER_S = 10.0
OPERATIONS = {
    Operation.READ: AclOperation.READ,
    Operation.WRITE: AclOperation.WRITE,
    Operation.DESCRIBE: AclOperation.DESCRIBE,
    Operation.DESCRIBE_CONFIGS: AclOperation.DESCRIBE_CONFIGS,
}
Place = tuple[Resource, str]
Allowed = Mapping[Place, set[AclOperation]]
"""Permitted operations by topic or group; a resource whose operations the cluster does not report is absent."""

_REFUSED = {KafkaError.TOPIC_AUTHORIZATION_FAILED, KafkaError.GROUP_AUTHORIZATION_FAILED}


def authorized_operations(settings: Settings) -> Allowed:
    """Ask the cluster about every topic and group that any role uses.

    Raises:
        BrokerUnavailable, NotAuthorised: see `clients`.
    """
    client = clients.admin(settings)  # kept until the answers are there: they fail when it goes
    try:
        return {place: allowed for place, allowed in _reported(client, settings) if allowed is not None}
    except KafkaException as exception:
        raise explain(exception, settings, "what is allowed") from exception


def missing_rights(settings: Settings, role: Role, allowed: Allowed) -> list[Right]:
    """Rights of the role that are certainly missing; a resource that was not reported is given the benefit of doubt."""
    return [
        right
        for right in rights(settings, role)
        if (found := allowed.get((right.resource, right.name))) is not None and OPERATIONS[right.operation] not in found
    ]


def require(settings: Settings, role: Role) -> None:
    """Return if we have the rights of the role, as far as the cluster reports them.

    Raises:
        NotAuthorised: some are missing; the message names them.
        BrokerUnavailable: see `clients`.
    """
    missing = missing_rights(settings, role, authorized_operations(settings))
    if missing:
        raise NotAuthorised(
            f"Kafka at {settings.bootstrap_servers} does not let this user do what a {role.name} does: "
            f"{', '.join(map(words, missing))}; `stream-app rights grant {role.name}` by its administrator gives it"
        )


def words(right: Right) -> str:
    """The right in words, for messages."""
    return f"{right.operation} {right.resource} {right}"


def _reported(client: AdminClient, settings: Settings) -> Iterator[tuple[Place, set[AclOperation] | None]]:
    wanted = {right for role in ROLES for right in rights(settings, role)}
    topics = sorted({right.name for right in wanted if right.resource is Resource.TOPIC})
    groups = sorted({right.name for right in wanted if right.resource is Resource.GROUP})
    options: dict[str, Any] = {"include_authorized_operations": True, "request_timeout": ANSWER_S}
    for name, answer in client.describe_topics(TopicCollection(topics), **options).items():
        yield (Resource.TOPIC, name), _allowed(answer)
    for name, answer in client.describe_consumer_groups(groups, **options).items():
        yield (Resource.GROUP, name), _allowed(answer)


def _allowed(answer: Any) -> set[AclOperation] | None:
    """None where the cluster does not report it: the topic or group does not exist, or is just moving."""
    try:
        operations = answer.result().authorized_operations
    except KafkaException as exception:
        return set() if exception.args[0].code() in _REFUSED else None
    return set(operations) if operations else None
