"""A cluster of three with two copies in sync as its minimum: a node that dies costs time and nothing else."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import KafkaException

from stream_app.settings import Settings
from tests.faults.cluster import THREE_COPIES, Cluster
from tests.known_stream import SMALL, Trickle, Wait, conclude, prepared, transactions
from tests.traffic import committed_offsets, publish
from tests.workers import running

pytestmark = [pytest.mark.kafka, pytest.mark.faults, pytest.mark.timeout(600)]

COORDINATORS = {
    "transaction.state.log.replication.factor": 1,
    "transaction.state.log.min.isr": 1,
    "transaction.state.log.num.partitions": 1,
}
"""One coordinator of transactions in the whole cluster, and nobody to take its place."""


@pytest.fixture
def cluster(request: pytest.FixtureRequest, tmp_path: Path, wait_until: Wait) -> Iterator[Cluster]:
    properties: dict[str, Any] = {**THREE_COPIES, **getattr(request, "param", {})}
    with Cluster(tmp_path / "kafka", 3, properties, wait_until) as cluster:
        yield cluster


@pytest.fixture
def own_stream(cluster: Cluster, fresh_settings: Callable[..., Settings], tmp_path: Path) -> Settings:
    return prepared(fresh_settings(cluster.bootstrap_servers, batch_max_events=SMALL), tmp_path)


def settled(settings: Settings, sent: int) -> bool:
    """Everything is committed, by the two that are left, who may still have to agree on who leads."""
    try:
        return committed_offsets(settings) == sent
    except KafkaException:
        return False


def test_each_of_three_brokers_killed_in_its_turn(
    cluster: Cluster, own_stream: Settings, tmp_path: Path, wait_until: Wait
) -> None:
    sent = 0
    with running(own_stream, tmp_path) as worker:
        worker.await_ready()
        for victim in cluster.nodes:
            before = worker.committed()
            worker.freeze()  # or it could be done before anything happens
            sent += publish(own_stream, transactions(20_000, first=sent))
            worker.thaw()
            wait_until(lambda: worker.committed() > before, 120)
            cluster.kill(victim)
            wait_until(lambda: settled(own_stream, sent), 240)
            cluster.start(victim)
        conclude(own_stream, sent, wait_until, 180)
        assert worker.process.poll() is None


@pytest.mark.parametrize("cluster", [COORDINATORS], indirect=True)
def test_the_coordinator_of_transactions_is_away(
    cluster: Cluster, own_stream: Settings, tmp_path: Path, wait_until: Wait
) -> None:
    """The input can still be read and the outputs written: there is only nobody to commit them."""
    with running(own_stream, tmp_path) as worker:
        sent = publish(own_stream, transactions(5000))
        wait_until(lambda: worker.committed() == sent, 120)
        victim = cluster.leader("__transaction_state")
        cluster.kill(victim)
        trickle = Trickle(own_stream, sent)
        wait_until(lambda: trickle() and "going on in a new session" in worker.said, 180)
        assert not worker.answers("health/ready")
        cluster.start(victim)
        conclude(own_stream, trickle.sent, wait_until, 240)
        assert worker.process.poll() is None
