"""The page's way through a real Kafka: heartbeats out, five topics in, the document over HTTP."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from time import monotonic
from typing import Any

import httpx
import msgspec
import pytest
import uvicorn
from prometheus_client import CollectorRegistry

from schemas.rollout import Activate, ModelStatus, PartitionProgress, Phase, Stage
from schemas.topics import ALL, ANOMALIES, DRIFT_ALERTS, LABELS, MODEL_STATUS, MODEL_SWAP, Topic
from stream_app.host.control_plane import ControlPlane
from stream_app.kafka import clients, topics
from stream_app.kafka.log import read_to_end
from stream_app.metrics import Metrics
from stream_app.ops.board import Board
from stream_app.ops.health import Liveness
from stream_app.ops.overview import StatusPage
from stream_app.ops.progress_metrics import ProgressCollector
from stream_app.ops.web import application
from stream_app.pipeline.progress import Progress, Snapshot
from stream_app.rollout.statuses import Statuses
from stream_app.rollout.swap_log import SwapLog
from stream_app.settings import Settings
from tests.conftest import free_port
from tests.unit.stream_app.ops.ops_records import MODEL, alert, anomaly, heartbeat, label


class Operations:
    """The operations room of one worker over a pipeline that the test stands in for."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.progress = Progress()
        self.registry = CollectorRegistry()
        self.metrics = Metrics(self.registry)
        ProgressCollector(self.progress, self.registry)
        self.liveness = Liveness(self.progress, settings.stall_after_s)
        self.progress.latest = Snapshot(
            state="running",
            ready=True,
            model=MODEL,
            partitions=(PartitionProgress(0, 10, 0),),
            events_per_second=250.0,
            latency_p99_ms=61.0,
            moved_at=monotonic(),
            looped_at=monotonic(),
        )

    def start(self) -> ControlPlane:
        """Its control plane on Kafka, running."""
        control = ControlPlane(self.settings, self.metrics, self.progress, self.liveness, lambda: False)
        control.start()
        self.show(control.board)
        return control

    def show(self, board: Board) -> None:
        """The page of this board."""
        page = StatusPage(self.settings, self.progress, self.liveness, board)
        self.app = application(page, self.registry, "")


@contextmanager
def served(operations: Operations) -> Iterator[httpx.Client]:
    """Over HTTP, by the server that the worker uses."""
    port = free_port()
    server = uvicorn.Server(uvicorn.Config(operations.app, port=port, log_config=None, lifespan="on"))
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", transport=httpx.HTTPTransport(retries=10)) as client:
            yield client
    finally:
        server.should_exit = True
        thread.join()


@contextmanager
def started(operations: Operations) -> Iterator[None]:
    """With its control plane."""
    control = operations.start()
    try:
        yield
    finally:
        control.stop()


def publish(settings: Settings, *records: tuple[Topic, Any]) -> None:
    producer = clients.producer(settings)
    for topic, record in records:
        value = record if isinstance(record, bytes) else msgspec.json.encode(record)
        producer.produce(topics.name(settings, topic), key=b"k", value=value)
    assert producer.flush(20) == 0


@pytest.fixture
def operations(settings: Settings) -> Operations:
    topics.ensure(settings, ALL)
    return Operations(settings.model_copy(update={"worker_id": "here", "heartbeat_interval_s": 0.1}))


@pytest.mark.kafka
def test_what_is_on_the_topics_is_on_the_page(operations: Operations, wait_until: Callable[..., None]) -> None:
    now = datetime.now(UTC)
    stage = Stage(command_id="s", issuer="ana", issued_at=now, uri="x", model=MODEL)
    publish(
        operations.settings,
        (MODEL_SWAP, stage),
        (MODEL_SWAP, Activate(command_id="a", issuer="controller", issued_at=now, stage_id="s")),
        (MODEL_STATUS, heartbeat("there", partitions={1: 0})),
        (MODEL_STATUS, ModelStatus(worker="there", phase=Phase.APPLIED, at=now, serving=MODEL, barriers={"1": 5})),
        (ANOMALIES, anomaly(1)),
        (ANOMALIES, anomaly(2)),
        (LABELS, label(1, True)),
        (DRIFT_ALERTS, alert()),
    )
    with started(operations), served(operations) as http:

        def complete() -> bool:
            state = http.get("/api/state").json()
            return len(state["alerts"]) == 1 and len(state["anomalies"]) == 2 and len(state["series"]) > 0

        wait_until(complete)
        state = http.get("/api/state").json()
        scrape = http.get("/metrics").text
    assert state["precision"] == 1.0
    assert state["model"]["model"]["version"] == "7"
    assert state["model"]["since"] is not None
    assert [event["phase"] for event in state["rollout"]] == ["applied"]
    assert "there" in [worker["id"] for worker in state["workers"]]
    assert 'stream_app_labels_total{kind="fraud"} 1.0' in scrape
    assert "stream_app_anomaly_precision_ratio 1.0" in scrape


@pytest.mark.kafka
def test_a_worker_shows_on_the_page_of_another_and_says_goodbye(
    operations: Operations, wait_until: Callable[..., None]
) -> None:
    other = Operations(operations.settings.model_copy(update={"worker_id": "other"}))
    control = other.start()
    with started(operations), served(operations) as http:

        def presence() -> str | None:
            workers = {worker["id"]: worker["presence"] for worker in http.get("/api/state").json()["workers"]}
            return workers.get("other")

        wait_until(lambda: presence() == "live")
        control.stop()
        wait_until(lambda: presence() == "stopped")
    said = [msgspec.json.decode(m.value() or b"", type=ModelStatus) for m in read_to_end(other.settings, MODEL_STATUS)]
    assert [status.phase for status in said][-1] is Phase.STOPPED
    assert all(s.vitals is not None and s.vitals.partitions == [PartitionProgress(0, 10, 0)] for s in said)


@pytest.mark.kafka
def test_records_that_nobody_can_read_are_counted_and_the_page_goes_on(
    operations: Operations, wait_until: Callable[..., None]
) -> None:
    publish(operations.settings, (ANOMALIES, b"\xff not json"), (ANOMALIES, b'{"score": "x"}'), (ANOMALIES, anomaly(3)))
    with started(operations), served(operations) as http:
        wait_until(lambda: http.get("/api/state").json()["anomalies"])
    name = topics.name(operations.settings, ANOMALIES)
    assert operations.registry.get_sample_value("stream_app_records_skipped_total", {"topic": name}) == 2


@pytest.mark.kafka
def test_a_command_over_the_limit_is_refused_by_worker_and_page_alike(
    operations: Operations, wait_until: Callable[..., None]
) -> None:
    now = datetime.now(UTC)
    stage = Stage(command_id="s", issuer="ana", issued_at=now, uri="x", model=MODEL)
    large = Activate(command_id="a", issuer="controller", issued_at=now, stage_id="s", reason="!" * 70_000)
    publish(operations.settings, (MODEL_SWAP, stage), (MODEL_SWAP, large), (ANOMALIES, anomaly(1)))
    control = operations.start()
    with served(operations) as http:
        wait_until(lambda: control.follower.read_to_end and http.get("/api/state").json()["anomalies"])
        state = http.get("/api/state").json()
    control.stop()
    assert [entry.refused is None for entry in control.follower.log.entries] == [True, False]
    assert control.follower.rollout.serving is None
    assert state["model"]["since"] is None


def test_without_a_broker_the_page_shows_this_worker_and_why_it_waits() -> None:
    operations = Operations(Settings(bootstrap_servers=f"127.0.0.1:{free_port()}", worker_id="here"))
    operations.show(Board(SwapLog(), Statuses(), 5.0))
    operations.progress.latest = replace(operations.progress.latest, ready=False, state="waiting for the broker")
    with served(operations) as http:
        state = http.get("/api/state").json()
        assert state["verdict"]["sentence"] == "here takes no part: waiting for the broker."
        assert [worker["id"] for worker in state["workers"]] == ["here"]
        assert http.get("/health/live").status_code == 200
