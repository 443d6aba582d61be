"""What the cluster lets us do, as far as it tells: asked before a worker begins, and by `stream-app doctor`.

Faust's client waits for ever, and says nothing, where it may not join its group: so a worker asks first.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from confluent_kafka import KafkaError, KafkaException, TopicCollection
from confluent_kafka.admin import AclOperation, AdminClient  # type: ignore[attr-defined]

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
Told = Mapping[Place, set[AclOperation]]
"""What may be done with each topic and group; those are missing of which the cluster does not tell."""

_REFUSED = {KafkaError.TOPIC_AUTHORIZATION_FAILED, KafkaError.GROUP_AUTHORIZATION_FAILED}


def told(settings: Settings) -> Told:
    """Ask for all topics and groups that any role uses.

    Raises:
        BrokerUnavailable, NotAuthorised: see `clients`.
    """
    client = clients.admin(settings)  # kept until the answers are there: they fail when it goes
    try:
        return {place: allowed for place, allowed in _asked(client, settings) if allowed is not None}
    except KafkaException as exception:
        raise explain(exception, settings, "what is allowed") from exception


def lacking(settings: Settings, role: Role, allowed: Told) -> list[Right]:
    """What of a role's rights the cluster says that we do not have."""
    return [
        right
        for right in rights(settings, role)
        if (found := allowed.get((right.resource, right.name))) is not None and OPERATIONS[right.operation] not in found
    ]


def insist(settings: Settings, role: Role) -> None:
    """Return if we may do what a role does, as far as the cluster tells.

    Raises:
        NotAuthorised: we may not; the message names what is missing.
        BrokerUnavailable: see `clients`.
    """
    missing = lacking(settings, role, told(settings))
    if missing:
        raise NotAuthorised(
            f"Kafka at {settings.bootstrap_servers} does not let this user do what a {role.name} does: "
            f"{', '.join(map(words, missing))}; `stream-app rights grant {role.name}` by its administrator gives it"
        )


def words(right: Right) -> str:
    """A right for people."""
    return f"{right.operation} {right.resource} {right}"


def _asked(client: AdminClient, settings: Settings) -> Iterator[tuple[Place, set[AclOperation] | None]]:
    wanted = {right for role in ROLES for right in rights(settings, role)}
    topics = sorted({right.name for right in wanted if right.resource is Resource.TOPIC})
    groups = sorted({right.name for right in wanted if right.resource is Resource.GROUP})
    kept: dict[str, Any] = {"include_authorized_operations": True, "request_timeout": ANSWER_S}
    for name, answer in client.describe_topics(TopicCollection(topics), **kept).items():
        yield (Resource.TOPIC, name), _allowed(answer)
    for name, answer in client.describe_consumer_groups(groups, **kept).items():
        yield (Resource.GROUP, name), _allowed(answer)


def _allowed(answer: Any) -> set[AclOperation] | None:
    """None: the cluster does not tell, for a topic or group that is not there or one that is just moving."""
    try:
        operations = answer.result().authorized_operations
    except KafkaException as exception:
        return set() if exception.args[0].code() in _REFUSED else None
    return set(operations) if operations else None
