"""Rights taken away in the middle of the work: the worker ends and says which; given back, nothing is missing."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from confluent_kafka.admin import (  # type: ignore[attr-defined]
    AclBinding,
    AclBindingFilter,
    AclOperation,
    AclPermissionType,
    ResourcePatternType,
    ResourceType,
)

from schemas.topics import ANOMALIES, TRANSACTIONS
from stream_app.kafka import clients, topics
from stream_app.settings import Settings
from tests.faults.cluster import ACCESS_LISTS, Cluster
from tests.known_stream import SMALL, Trickle, Wait, conclude, prepared, transactions
from tests.traffic import committed_offsets, publish
from tests.workers import running

pytestmark = [pytest.mark.kafka, pytest.mark.faults, pytest.mark.timeout(300)]

EVERYBODY = "User:ANONYMOUS"


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory, wait_until: Wait) -> Iterator[Cluster]:
    """One broker that asks who may do what."""
    with Cluster(tmp_path_factory.mktemp("kafka") / "nodes", 1, ACCESS_LISTS, wait_until) as cluster:
        yield cluster


@pytest.fixture
def own_stream(guarded: Cluster, fresh_settings: Callable[..., Settings], tmp_path: Path) -> Settings:
    return prepared(fresh_settings(guarded.bootstrap_servers, batch_max_events=SMALL, worker_id="w"), tmp_path)


Place = tuple[ResourceType, str]


def binding(place: Place, operation: AclOperation, permission: AclPermissionType) -> AclBinding:
    return AclBinding(*place, ResourcePatternType.LITERAL, EVERYBODY, "*", operation, permission)


def revoke(settings: Settings, place: Place, operation: AclOperation) -> None:
    """Everything else on that place stays allowed: who has one entry on a list is allowed nothing that is not on it."""
    everything = binding(place, AclOperation.ALL, AclPermissionType.ALLOW)
    refused = binding(place, operation, AclPermissionType.DENY)
    admin = clients.admin(settings)  # its answers end with it
    for outcome in admin.create_acls([everything, refused]).values():
        outcome.result()


def give_back(settings: Settings, place: Place) -> None:
    every = AclBindingFilter(*place, ResourcePatternType.LITERAL, None, None, AclOperation.ANY, AclPermissionType.ANY)
    admin = clients.admin(settings)
    for outcome in admin.delete_acls([every]).values():
        outcome.result()


RIGHTS: dict[str, tuple[Callable[[Settings], Place], AclOperation, str]] = {
    "read on the input": (
        lambda settings: (ResourceType.TOPIC, topics.name(settings, TRANSACTIONS)),
        AclOperation.READ,
        "grant this principal read on the input",
    ),
    "write on an output": (
        lambda settings: (ResourceType.TOPIC, topics.name(settings, ANOMALIES)),
        AclOperation.WRITE,
        "write on the output topics",
    ),
    "read on the group": (
        lambda settings: (ResourceType.GROUP, settings.group),
        AclOperation.READ,
        "grant this principal read on the consumer group",
    ),
    "write on the transactional id": (
        lambda settings: (ResourceType.TRANSACTIONAL_ID, f"{settings.transactional_ids}w"),
        AclOperation.WRITE,
        "grant this principal write on its transactional ids",
    ),
}


@pytest.mark.parametrize("right", RIGHTS)
def test_a_right_that_is_taken_away(own_stream: Settings, right: str, tmp_path: Path, wait_until: Wait) -> None:
    place_of, operation, remedy = RIGHTS[right]
    place = place_of(own_stream)
    with running(own_stream, tmp_path) as worker:
        sent = publish(own_stream, transactions(5000))
        wait_until(lambda: committed_offsets(own_stream) == sent, 90)
        revoke(own_stream, place, operation)
        trickle = Trickle(own_stream, sent)
        wait_until(lambda: trickle() and worker.process.poll() is not None, 90)
        assert worker.process.returncode == 1, worker.said
        last = worker.said.splitlines()[-1]
        assert "the worker stops: " in last
        assert remedy in last
        assert "Traceback" not in worker.said
    give_back(own_stream, place)
    with running(own_stream, tmp_path):
        conclude(own_stream, trickle.sent, wait_until)
