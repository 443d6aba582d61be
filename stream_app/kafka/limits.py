"""Limits of the brokers that a worker's settings have to keep, where this user may see them."""

from confluent_kafka import KafkaException
from confluent_kafka.admin import ConfigResource, ResourceType

from stream_app.kafka import clients
from stream_app.kafka.clients import explain
from stream_app.settings import Settings, SettingsError

ANSWER_S = 10.0
# Setting, property of a broker, and whether the property is the least or the most
LIMITS = (
    ("session_timeout_ms", "group.min.session.timeout.ms", False),
    ("session_timeout_ms", "group.max.session.timeout.ms", True),
    ("transaction_timeout_ms", "transaction.max.timeout.ms", True),
)


def require(settings: Settings) -> None:
    """Return if the brokers take the timeouts of the settings, as far as they tell this user.

    Raises:
        SettingsError: a group or a transaction of this worker would be refused; every such setting is named.
        BrokerUnavailable, NotAuthorised: see `clients`.
    """
    if wrong := beyond(settings, properties(settings)):
        raise SettingsError("; ".join(wrong))


def properties(settings: Settings) -> dict[str, str]:
    """The properties of a broker; none where this user may not see them.

    Raises:
        BrokerUnavailable, NotAuthorised: see `clients`.
    """
    client = clients.admin(settings)
    try:
        broker = next(iter(client.list_topics(timeout=ANSWER_S).brokers))
    except KafkaException as exception:
        raise explain(exception, settings) from exception
    try:
        (answer,) = client.describe_configs([ConfigResource(ResourceType.BROKER, str(broker))]).values()
        return {name: entry.value for name, entry in answer.result(ANSWER_S).items()}
    except KafkaException:  # a worker need not see them
        return {}


def beyond(settings: Settings, found: dict[str, str]) -> list[str]:
    """A sentence for each setting that breaks a limit."""
    sentences = []
    for name, limit, most in LIMITS:
        given, bound = getattr(settings, name), found.get(limit)
        if bound is not None and (given > int(bound) if most else given < int(bound)):
            word = "at most" if most else "at least"
            sentences.append(f"{name} is {given}, but the brokers take {word} {bound} ({limit})")
    return sentences
