"""The embedded broker keeps its word: ready, its own, gone with its parent, back with its data."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from schemas.topics import TRANSACTIONS
from stream_app.embedded.broker import EmbeddedBroker
from stream_app.kafka import clients, topics
from stream_app.kafka.clients import BrokerNotStarted, BrokerUnavailable
from stream_app.kafka.log import read_to_end

pytestmark = pytest.mark.kafka

ROOT = Path(__file__).parents[2]


def alive(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def put(settings, value):
    producer = clients.producer(settings)
    producer.produce(topics.name(settings, TRANSACTIONS), value)
    assert producer.flush(30) == 0


def values(settings):
    return [message.value() for message in read_to_end(settings, TRANSACTIONS)]


def no_words(_line):
    """For those who wait for a broker and need not be told."""


def test_it_survives_being_killed_paused_and_stopped_with_its_data_on_the_same_port(tmp_path, fresh_settings):
    broker = EmbeddedBroker(tmp_path / "kafka")
    with broker:
        settings = fresh_settings(broker.bootstrap_servers)
        topics.ensure(settings, [TRANSACTIONS])
        put(settings, b"before the kill")
        broker.kill()
        assert not broker.running
        with pytest.raises(BrokerUnavailable):
            clients.wait_for_broker(settings, timeout_s=0.5, say=no_words)

        broker.start()
        assert broker.bootstrap_servers == settings.bootstrap_servers
        put(settings, b"after the kill")
        assert sorted(values(settings)) == [b"after the kill", b"before the kill"]

        broker.pause()
        with pytest.raises(BrokerUnavailable):
            clients.wait_for_broker(settings, timeout_s=0.5, say=no_words)
        broker.resume()
        clients.wait_for_broker(settings, timeout_s=30, say=no_words)
        assert len(values(settings)) == 2

        with pytest.raises(BrokerNotStarted, match="in use by another broker"):
            EmbeddedBroker(tmp_path / "kafka").start()
        assert broker.running

    assert not alive(broker.pid)
    assert (tmp_path / "kafka" / "data" / "meta.properties").exists()


@pytest.mark.parametrize("given", [True, False], ids=["its own folder", "a temporary folder"])
def test_kill_9_of_its_parent_takes_it_along(tmp_path, wait_until, given):
    code = (
        "import sys, time\n"
        "from pathlib import Path\n"
        "from stream_app.embedded.broker import EmbeddedBroker\n"
        "folder = Path(sys.argv[1]) if sys.argv[1:] else None\n"
        "broker = EmbeddedBroker(folder)\n"
        "broker.start()\n"
        "print(broker.pid, flush=True)\n"
        "time.sleep(600)\n"
    )
    folder = tmp_path / "kafka"
    parent = subprocess.Popen(
        [sys.executable, "-c", code, *([str(folder)] if given else [])],
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT,
        env={**os.environ, "TMPDIR": str(tmp_path)},
    )
    broker = int(parent.stdout.readline())
    assert alive(broker)
    parent.kill()
    parent.wait()
    wait_until(lambda: not alive(broker))
    assert folder.exists() == given
    wait_until(lambda: not list(tmp_path.glob("stream-app-kafka-*")))


def test_a_port_that_somebody_has_is_refused_in_one_line(tmp_path):
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        with pytest.raises(BrokerNotStarted, match=f"port {port} is in use: choose another") as raised:
            EmbeddedBroker(tmp_path / "kafka", port).start()
    assert "\n" not in str(raised.value)


def test_a_broker_that_dies_at_start_says_its_last_words(tmp_path):
    folder = tmp_path / "kafka"
    (folder / "data").mkdir(parents=True)
    (folder / "data" / "meta.properties").write_text("version=1\ncluster.id=of-somebody-else\nnode.id=77\n")
    with pytest.raises(BrokerNotStarted, match=r"Kafka did not start: .*node.*77") as raised:
        EmbeddedBroker(folder).start()
    assert str(folder) in str(raised.value)
    assert "\n" not in str(raised.value)


def test_a_folder_that_cannot_be_written_is_refused_in_one_line(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(BrokerNotStarted, match="choose a folder that can be written"):
        EmbeddedBroker(tmp_path / "file" / "kafka").start()
