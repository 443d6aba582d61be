"""A real worker on topics where somebody has put what they do not hold, at times that cannot be."""

import time
from collections.abc import Callable
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest
from confluent_kafka.admin import AlterConfigOpType, ConfigEntry, ConfigResource

from schemas.scoring import Label
from schemas.topics import ALL, LABELS, TRANSACTIONS, Topic
from stream_app.kafka import clients, topics
from stream_app.kafka.ranges import committed_range
from stream_app.rollout import commands
from stream_app.rollout.client import Order
from stream_app.settings import Settings
from stream_app.testing.tiny_model import tiny_model
from stream_app.verify.cluster import verify
from tests.traffic import committed_offsets
from tests.unit.stream_app.cli.cli_runner import stream_app
from tests.unit.stream_app.pipeline.rows import encoded
from tests.unit.stream_app.poison import DEEP
from tests.workers import Worker, running

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(300)]

STRANGE = encoded(amount=4.0, transaction_id="strange")
POISON: list[bytes | None] = [b'{"a":' + DEEP, DEEP, b"\xff\xfe", b"9" * 5000, b"", None]
READ_BY_PEOPLE = [topic for topic in ALL if topic.record is not bytes]
READ_BY_WORKERS = {topic.name for topic in READ_BY_PEOPLE} - {
    "transactions",
    "scores",
    "latents",
    "dead-letters",
    "redeliveries",
}


def take_any_timestamp(settings: Settings, topic: Topic) -> None:
    """As brokers before Kafka 4 do, and others that are set up so."""
    resource = ConfigResource(ConfigResource.Type.TOPIC, topics.name(settings, topic))
    entry = ConfigEntry("message.timestamp.after.max.ms", str(2**63 - 1), incremental_operation=AlterConfigOpType.SET)
    resource.add_incremental_config(entry)
    admin = clients.admin(settings)
    for change in admin.incremental_alter_configs([resource]).values():
        change.result()


def put(settings: Settings, topic: Topic, *values: bytes | None, stamp: int = 0) -> None:
    producer, errors = clients.producer(settings), list[str]()
    for value in values:
        producer.produce(
            topics.name(settings, topic),
            value,
            key=b"poison" if topic.config.get("cleanup.policy") == "compact" else None,  # brokers refuse others there
            partition=0,
            timestamp=stamp,
            on_delivery=lambda error, _: errors.append(error.str()) if error else None,
        )
    assert producer.flush(30) == 0
    assert not errors


def document(worker: Worker) -> dict[str, Any]:
    found: dict[str, Any] = httpx.get(f"{worker.url}api/state").json()
    return found


def passed_over(worker: Worker) -> dict[str, float]:
    """Topic, without its prefix, to the records that the worker has passed over."""
    lines = httpx.get(f"{worker.url}metrics", follow_redirects=True).text.splitlines()
    samples = [line for line in lines if line.startswith("stream_app_records_skipped_total{")]
    return {line.split('"')[1].split("-", 1)[1]: float(line.rsplit(" ", 1)[1]) for line in samples}


def test_a_worker_lives_and_starts_again_on_poisoned_topics(
    settings: Settings, tmp_path: Path, wait_until: Callable[..., None]
) -> None:
    topics.ensure(settings, ALL)
    for topic in (LABELS, TRANSACTIONS):
        take_any_timestamp(settings, topic)
    tiny_model(tmp_path / "1.pt", "1")
    now = int(time.time())
    with ExitStack() as stack:
        worker = stack.enter_context(running(settings, tmp_path, breaker_share=1))
        assert commands.deploy(settings, Order("test"), tmp_path / "1.pt").ok
        worker.await_ready()
        put(settings, TRANSACTIONS, STRANGE, encoded(event_time="9999-12-31T23:59:59Z"))
        for topic in ALL:
            put(settings, topic, *POISON)
        label = msgspec.json.encode(Label("strange", True, datetime.now(UTC)))
        for stamp in (1, now, now * 10**6, now * 10**9):
            put(settings, LABELS, label, stamp=stamp)
        put(settings, TRANSACTIONS, STRANGE, stamp=1)
        put(settings, TRANSACTIONS, STRANGE, stamp=now * 10**6)
        put(settings, TRANSACTIONS, STRANGE)
        wait_until(lambda: set(passed_over(worker)) >= READ_BY_WORKERS, 60)
        wait_until(lambda: committed_offsets(settings) >= 5 + len(POISON), 60)
        wait_until(lambda: document(worker)["labelled"] > 0, 60)
        _is_well(worker)
    with running(settings, tmp_path, breaker_share=1) as again:
        again.await_ready()
        wait_until(lambda: set(passed_over(again)) >= READ_BY_WORKERS, 60)
        put(settings, TRANSACTIONS, STRANGE)
        wait_until(lambda: again.committed() >= 1, 60)
        _is_well(again)
        _commands_work(settings)
    verdict = verify(settings)
    assert verdict.ok, verdict.breaks
    assert (verdict.scored, verdict.dead_lettered, verdict.anomalies) == (5, 1 + len(POISON), 5)
    _the_range_goes_by_times_that_can_be(settings, now)


def _is_well(worker: Worker) -> None:
    assert worker.answers("health/live")
    assert worker.answers("health/ready")
    latency = worker.here()["vitals"]["latency_p99_ms"]
    assert latency is None or 0 <= latency < 600_000
    assert document(worker)["anomalies"]
    assert "Traceback" not in worker.said
    assert "not what this topic holds, and passed over" in worker.said


def _commands_work(settings: Settings) -> None:
    where = ("--bootstrap-servers", settings.bootstrap_servers, "--topic-prefix", settings.topic_prefix)
    environment = {"STREAM_APP_APP_ID": settings.app_id, "STREAM_APP_MODEL_CACHE": settings.model_cache}
    for command in (
        ("status",),
        ("verify",),
        ("audit",),
        ("drift", "list"),
        ("models",),
        ("replay", "--anomaly", "strange"),
        ("replay",),
        ("show", "strange"),
        *(("consume", topic.name, "--from-beginning", "--until-end") for topic in READ_BY_PEOPLE),
        *(("consume", topic.name, "--from-beginning", "--until-end", "--json") for topic in READ_BY_PEOPLE),
    ):
        result = stream_app(*command, *where, **environment)
        assert result.exit_code == 0, (command, result.output)
    status = stream_app("status", *where, **environment)
    assert "not what this topic holds, and passed over" in status.stderr


def _the_range_goes_by_times_that_can_be(settings: Settings, now: int) -> None:
    """The record in microseconds stands before the last two; it is no beginning, and no end."""
    point = datetime.fromtimestamp(now, UTC)
    first, last = 0, committed_offsets(settings)
    future = point + timedelta(minutes=30)
    assert committed_range(settings, TRANSACTIONS, point, None) == {0: (first, last)}
    assert committed_range(settings, TRANSACTIONS, None, future) == {0: (first, last)}
    assert committed_range(settings, TRANSACTIONS, future, None) == {}
