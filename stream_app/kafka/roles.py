"""The roles of the cluster's users, each with the topics, groups and transactional ids that its work needs.

The only declaration of rights: `stream-app rights` grants it and docs/operations.md shows it.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

from schemas import topics as declared
from schemas.topics import Topic
from stream_app.kafka import topics
from stream_app.settings import Settings

REKEYING, REDELIVERING = "-rekey", "-deadletters"  # after the names of the application's group and ids
NOTIFYING = "-notify-"  # after the application's group; the name of a destination follows


class Resource(StrEnum):
    """The kind of resource, in the words of Kafka's access lists."""

    TOPIC = "topic"
    GROUP = "group"
    TRANSACTIONAL_ID = "transactional id"


class Operation(StrEnum):
    """What may be done with a resource. Reading and writing include describing."""

    READ = "read"
    WRITE = "write"
    DESCRIBE = "describe"
    DESCRIBE_CONFIGS = "describe configs"


@dataclass(frozen=True, order=True)
class Right:
    """One entry of an access list.

    Attributes:
        resource: The kind of resource.
        name: Its name, or the prefix of names.
        prefixed: Whether the name is a prefix.
        operation: What may be done.
    """

    resource: Resource
    name: str
    prefixed: bool
    operation: Operation

    def __str__(self) -> str:
        """The name, with a star after a prefix."""
        return f"{self.name}*" if self.prefixed else self.name


@dataclass(frozen=True)
class Role:
    """One kind of user of the cluster.

    Attributes:
        name: As on the command line.
        purpose: What it does, in words.
        reads: Topics that it reads.
        writes: Topics that it writes.
        works: Whether it is the application, and uses its groups and transactions.
        rekeys: Whether it is `stream-app rekey`, with a group and transactions of its own.
        notifies: Whether it is `stream-app notify`, with a group for each destination.
        redelivers: Whether it is `stream-app deadletters replay`, with transactions of its own.
        follows: Whether it sees the committed offsets of the application's group.
    """

    name: str
    purpose: str
    reads: tuple[Topic, ...] = ()
    writes: tuple[Topic, ...] = ()
    works: bool = False
    rekeys: bool = False
    notifies: bool = False
    redelivers: bool = False
    follows: bool = False


_ALERTS = (declared.ANOMALIES, declared.DRIFT_ALERTS)
_NEVER_READ_BACK = (declared.SCORES, declared.LATENTS, declared.DEAD_LETTERS)
_INPUTS = (declared.TRANSACTIONS, declared.LABELS, declared.REDELIVERIES)

PRODUCER = Role("producer", "sends events", writes=(declared.TRANSACTIONS,))
REKEY = Role(
    "rekey",
    "writes the input keyed by the entity",
    writes=(declared.TRANSACTIONS, declared.DEAD_LETTERS),
    rekeys=True,
)
WORKER = Role(
    "worker",
    "scores, watches drift, carries out swaps",
    reads=tuple(topic for topic in declared.ALL if topic not in _NEVER_READ_BACK),
    writes=tuple(topic for topic in declared.ALL if topic not in _INPUTS),
    works=True,
)
REDELIVERY = Role(
    "redelivery",
    "puts dead letters back onto the input",
    reads=(declared.DEAD_LETTERS, declared.REDELIVERIES),
    writes=(declared.TRANSACTIONS, declared.REDELIVERIES, declared.AUDIT),
    redelivers=True,
)
OPERATOR = Role(
    "operator",
    "deploys, rolls back, looks at everything",
    reads=declared.ALL,
    writes=(declared.MODEL_SWAP, declared.AUDIT),
    follows=True,
)
READER = Role("reader", "reads alerts", reads=_ALERTS)
NOTIFIER = Role("notifier", "tells people and their tools", reads=_ALERTS, notifies=True)
CASE_TOOL = Role("case-tool", "reads alerts, sends labels", reads=_ALERTS, writes=(declared.LABELS,))
ANALYST = Role(
    "analyst",
    "looks events up, checks decisions, labels",
    reads=(
        declared.TRANSACTIONS,
        *_ALERTS,
        declared.DEAD_LETTERS,
        declared.LABELS,
        declared.MODEL_SWAP,
        declared.WINDOW_STATE,  # for receipts, as what follows
        declared.WINDOW_TOTALS,
    ),
    writes=(declared.LABELS, declared.AUDIT),
    follows=True,
)

ROLES = (PRODUCER, REKEY, REDELIVERY, WORKER, OPERATOR, READER, NOTIFIER, CASE_TOOL, ANALYST)


def user(settings: Settings, role: Role) -> str:
    """The default user name of a role, under the prefix of the transactional ids."""
    return f"{settings.transactional_ids}{role.name}"


def rights(settings: Settings, role: Role) -> list[Right]:
    """The rights of a role under the names of this installation, in order of resource and name, without duplicates."""
    return sorted({*_on_topics(settings, role), *_on_groups(settings, role), *_on_transactions(settings, role)})


def _on_topics(settings: Settings, role: Role) -> Iterator[Right]:
    used = {Operation.READ: role.reads, Operation.WRITE: role.writes}
    # Commands check that a topic is as declared before they use it
    used[Operation.DESCRIBE_CONFIGS] = role.reads + role.writes
    for operation, those in used.items():
        for topic in those:
            yield Right(Resource.TOPIC, topics.name(settings, topic), False, operation)


def _on_groups(settings: Settings, role: Role) -> Iterator[Right]:
    if role.reads:
        yield Right(Resource.GROUP, settings.reader_groups, True, Operation.READ)
    if role.follows:
        yield Right(Resource.GROUP, settings.group, False, Operation.DESCRIBE)
    if role.works:
        yield Right(Resource.GROUP, settings.group, False, Operation.READ)
        yield Right(Resource.GROUP, settings.control_group, False, Operation.READ)
    if role.rekeys:
        yield Right(Resource.GROUP, f"{settings.group}{REKEYING}", False, Operation.READ)
    if role.notifies:
        yield Right(Resource.GROUP, f"{settings.group}{NOTIFYING}", True, Operation.READ)


def _on_transactions(settings: Settings, role: Role) -> Iterator[Right]:
    if role.works:
        yield Right(Resource.TRANSACTIONAL_ID, settings.transactional_ids, True, Operation.WRITE)
    if role.rekeys:
        yield Right(Resource.TRANSACTIONAL_ID, f"{settings.group}{REKEYING}-", True, Operation.WRITE)
    if role.redelivers:
        yield Right(Resource.TRANSACTIONAL_ID, f"{settings.group}{REDELIVERING}", False, Operation.WRITE)
