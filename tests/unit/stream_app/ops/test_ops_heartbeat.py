"""A worker's sign of life: what goes wrong once costs one heartbeat, and only an error without end costs the thread."""

import pytest
from confluent_kafka import KafkaError, KafkaException

from schemas.rollout import ModelStatus, Phase
from stream_app import threads
from stream_app.kafka import clients
from stream_app.ops.health import Liveness
from stream_app.ops.heartbeat import Heartbeat
from stream_app.pipeline.progress import Progress
from stream_app.rollout.control_producer import ControlProducer
from stream_app.settings import Settings
from stream_app.testing.memory_kafka import MemoryKafka, error
from stream_app.threads import Supervised


@pytest.fixture
def kafka(monkeypatch):
    kafka = MemoryKafka()
    monkeypatch.setattr(clients, "producer", kafka.producer)
    return kafka


@pytest.fixture
def thread():
    settings, progress = Settings(worker_id="w1", heartbeat_interval_s=0.001), Progress()
    beating = Heartbeat(settings, progress, Liveness(progress, 30.0), ControlProducer(settings))
    thread = Supervised("heartbeat", beating.step, beating.wake)
    yield thread
    threads.stop([thread], 5.0)


@pytest.mark.parametrize(
    "passing", [error(KafkaError._TIMED_OUT), error(KafkaError.TOPIC_AUTHORIZATION_FAILED), BufferError()], ids=repr
)
def test_an_error_that_passes_drops_one_heartbeat_and_the_next_one_goes_out(kafka, thread, wait_until, passing):
    kafka.faults["produce"].extend([None, passing])
    thread.start()
    wait_until(lambda: len(kafka.visible["model-status"]) >= 3, 10)
    assert not kafka.faults["produce"]  # it has happened
    assert (thread.is_alive, thread.failure) == (True, None)
    assert {(s.worker, s.phase) for s in kafka.records("model-status", ModelStatus)} == {("w1", Phase.HEARTBEAT)}


def test_a_producer_that_can_send_nothing_any_more_ends_the_thread(kafka, thread, wait_until):
    kafka.faults["produce"].extend([None, error(KafkaError._FENCED, fatal=True)])
    thread.start()
    wait_until(lambda: not thread.is_alive, 10)
    assert isinstance(thread.failure, KafkaException)
    assert len(kafka.visible["model-status"]) == 1
