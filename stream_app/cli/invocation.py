"""The options that every command takes, before or after its name, and the settings they lead to."""

import logging
from contextvars import ContextVar
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from stream_app.settings import Settings

BROKER_PATIENCE_S = 5.0


@dataclass(frozen=True)
class Invocation:
    """What was given for every command; None is: as the settings say.

    Attributes:
        bootstrap_servers: Kafka brokers, host:port, separated by commas.
        topic_prefix: Put before every topic name.
    """

    bootstrap_servers: str | None = None
    topic_prefix: str | None = None


current: ContextVar[Invocation] = ContextVar("invocation", default=Invocation())  # noqa: B039 - it is frozen


def settings(**overrides: Any) -> "Settings":
    """The settings of this invocation.

    Raises:
        SettingsError: one is wrong.
    """
    from stream_app.settings import load

    given = current.get()
    return load(bootstrap_servers=given.bootstrap_servers, topic_prefix=given.topic_prefix, **overrides)


def connected_settings() -> "Settings":
    """The settings of this invocation, once a broker has answered: a dead one fails here, in seconds and in one line.

    Raises:
        SettingsError: one is wrong.
        BrokerUnavailable: nobody answers.
    """
    from stream_app.kafka.clients import wait_for_broker

    # A command reports what went wrong in its own words; what librdkafka says while it retries is for --debug.
    logging.getLogger("stream_app").addHandler(logging.NullHandler())
    chosen = settings()
    wait_for_broker(chosen, timeout_s=BROKER_PATIENCE_S, say=lambda line: None)
    return chosen
