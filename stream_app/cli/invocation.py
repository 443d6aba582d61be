"""Who calls the program, and the options that every command takes, before or after its name."""

import getpass
import socket
from contextvars import ContextVar
from dataclasses import dataclass


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


def issuer() -> str:
    """Who gives a command, for the audit trail: user and machine."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):  # a container's user id need not have a name
        user = "unknown"
    return f"{user}@{socket.gethostname()}"
