"""The drift agent in a real Faust app on real Kafka: committed summaries only, each alert once, whoever reads them."""

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import faust
import msgspec
import pytest
from msgspec.structs import replace
from prometheus_client import CollectorRegistry

from schemas.drift import DriftAlert, DriftPhase
from schemas.topics import DRIFT_ALERTS, DRIFT_SUMMARIES, TRANSACTIONS
from stream_app.drift.published import SERVES_NO_LONGER
from stream_app.host import drift, read_committed
from stream_app.kafka import clients, topics
from stream_app.kafka.log import read_to_end
from stream_app.metrics import Metrics
from tests.unit.stream_app.drift.streams import MANIFEST, OTHER_SHA, SHA, doubled, fold, stream
from tests.unit.stream_app.drift.test_drift_swap import BOTH, DEPLOYED, ROLLED_BACK, watching

pytestmark = pytest.mark.kafka

LOG = stream(8192, 6144, doubled)
EXPECTED = fold(LOG)


@pytest.fixture
def kafka(settings):
    topics.ensure(settings, [TRANSACTIONS, DRIFT_SUMMARIES, DRIFT_ALERTS])
    return settings


def app_of(settings) -> faust.App:
    app = faust.App(
        f"{settings.app_id}-control",
        broker=f"kafka://{settings.bootstrap_servers}",
        topic_disable_leader=True,
        topic_allow_declare=False,
        consumer_auto_offset_reset="earliest",
        broker_session_timeout=6,
        broker_heartbeat_interval=1,
        stream_wait_empty=False,
        web_enabled=False,
        datadir=settings.model_cache.parent / "faust",
    )
    read_committed.install(app)
    return app


@contextmanager
def running(app: faust.App) -> Iterator[None]:
    """The app in a thread with an event loop of its own."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    asyncio.run_coroutine_threadsafe(app.start(), loop).result(60)
    try:
        yield
    finally:
        asyncio.run_coroutine_threadsafe(app.stop(), loop).result(60)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(30)


@contextmanager
def owned(settings, models=None, swap_to=lambda _: None) -> Iterator[CollectorRegistry]:
    registry = CollectorRegistry()
    app = app_of(settings)
    drift.install(app, settings, (models or {SHA: MANIFEST}).get, swap_to, lambda: True, Metrics(registry))
    with running(app):
        yield registry


def put(settings, summaries) -> None:
    producer = clients.producer(settings)
    for summary in summaries:
        producer.produce(topics.name(settings, DRIFT_SUMMARIES), msgspec.json.encode(summary), key=b"0")
    assert producer.flush(30) == 0


def alerts(settings) -> list[DriftAlert]:
    return [msgspec.json.decode(m.value(), type=DriftAlert) for m in read_to_end(settings, DRIFT_ALERTS)]


def test_what_stood_in_the_log_and_what_comes_live_make_one_fold(kafka, wait_until):
    half = len(LOG) // 2
    put(kafka, LOG[:half])
    with owned(kafka) as registry:
        wait_until(lambda: registry.get_sample_value("stream_app_drift_psi_ratio", {"signal": "input:amount"}), 60)
        assert alerts(kafka) == []
        put(kafka, LOG[half:])
        wait_until(lambda: len(alerts(kafka)) == len(EXPECTED), 60)
        severity = {"severity": EXPECTED[0].severity.value}
        wait_until(lambda: registry.get_sample_value("stream_app_drift_alerts_total", severity) == 1)
    assert alerts(kafka) == EXPECTED
    messages = read_to_end(kafka, DRIFT_ALERTS)
    assert [m.key().decode() for m in messages] == [alert.signals[0].signal for alert in EXPECTED]


def test_the_next_owner_raises_what_was_missed_and_repeats_nothing(kafka, wait_until):
    put(kafka, LOG)
    for _ in range(2):
        with owned(kafka) as registry:
            wait_until(lambda r=registry: r.get_sample_value("stream_app_drift_psi_ratio", {"signal": "score"}), 60)
        assert alerts(kafka) == EXPECTED


def test_a_rolled_back_models_incidents_are_over_once_and_those_that_the_log_does_not_reach_back_to(kafka, wait_until):
    ends = fold(ROLLED_BACK, watching())
    forgotten = replace(ends[0], alert_id="drift:before:1", model=replace(ends[0].model, sha256="c" * 64))
    producer = clients.producer(kafka)
    producer.produce(topics.name(kafka, DRIFT_ALERTS), msgspec.json.encode(forgotten))
    assert producer.flush(30) == 0
    put(kafka, ROLLED_BACK[:-1])
    for last in ([], ROLLED_BACK[-1:], []):
        put(kafka, last)
        with owned(kafka, BOTH, {OTHER_SHA: DEPLOYED}.get) as registry:
            wait_until(lambda r=registry: r.get_sample_value("stream_app_drift_psi_ratio", {"signal": "score"}), 60)
        over = replace(forgotten, phase=DriftPhase.OVER, over_because=SERVES_NO_LONGER)
        assert alerts(kafka) == [forgotten, *ends, over]


def test_agents_are_handed_committed_records_only(kafka, wait_until):
    producer = clients.producer(kafka, **{"transactional.id": f"{kafka.app_id}-test"})
    producer.init_transactions()
    name = topics.name(kafka, DRIFT_SUMMARIES)
    for value, end in (
        (b"aborted", producer.abort_transaction),
        (b"committed", producer.commit_transaction),
        (b"aborted too", producer.abort_transaction),
        (b"last", producer.commit_transaction),
    ):
        producer.begin_transaction()
        producer.produce(name, value)
        assert producer.flush(30) == 0
        end()
    handed = []
    app = app_of(kafka)

    @app.agent(app.topic(name, value_type=bytes, value_serializer="raw"))
    async def collect(values):
        async for value in values:
            handed.append(value)

    with running(app):
        wait_until(lambda: b"last" in handed, 60)
    assert handed == [b"committed", b"last"]
