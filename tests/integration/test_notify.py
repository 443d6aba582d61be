"""`stream-app notify` on a real Kafka: it and its receiver are killed, and everything is told once under its key."""

import base64
import hashlib
import hmac
import json
import os
import random
import signal
from collections import defaultdict
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import msgspec
import pytest
from confluent_kafka import TopicPartition

from schemas.scoring import Severity
from schemas.topics import ANOMALIES, DRIFT_ALERTS, Topic
from stream_app.kafka import clients, topics
from stream_app.kafka.roles import NOTIFYING
from stream_app.settings import Settings
from tests import zygote
from tests.conftest import free_port
from tests.known_stream import Wait
from tests.unit.stream_app.cli.cli_runner import stream_app
from tests.unit.stream_app.notify.records import alert, anomaly

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(900)]

SECRET = b"a secret of a receiver, 24+ bytes"
SEED = 20261128
EACH = 30


class Receiver:
    """Takes webhooks on one port; it may be away, answer badly, or take a message and die before it answers."""

    def __init__(self, moods: random.Random) -> None:
        self.moods, self.port = moods, free_port()
        self.bad = 0.0
        self.taken: list[tuple[str, dict[str, Any]]] = []
        self._server: ThreadingHTTPServer | None = None

    def start(self) -> None:
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                content = self.rfile.read(int(self.headers["Content-Length"]))
                mood = receiver.moods.random()
                if mood < receiver.bad / 2:
                    self.send_response(503)
                    self.send_header("Retry-After", "0")
                    self.end_headers()
                    return
                receiver.take(self.headers, content)
                if mood >= receiver.bad:  # else it has taken the message, and the connection ends without an answer
                    self.send_response(204)
                    self.end_headers()

            def log_message(self, *_: object) -> None:
                """Nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", self.port), Handler)
        Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()

    def take(self, headers: Any, content: bytes) -> None:
        key = headers["webhook-id"]
        signed = hmac.new(SECRET, f"{key}.{headers['webhook-timestamp']}.".encode() + content, hashlib.sha256).digest()
        assert headers["webhook-signature"] == f"v1,{base64.b64encode(signed).decode()}"
        self.taken.append((key, json.loads(content)))

    def stop(self) -> None:
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()
            self._server = None

    @property
    def messages(self) -> dict[str, dict[str, Any]]:
        """By key, each once; what comes again under a key is the same."""
        found: dict[str, dict[str, Any]] = {}
        for key, message in list(self.taken):
            assert found.setdefault(key, message) == message, key
        return found

    @property
    def told(self) -> dict[str, list[str]]:
        """Entity to the ids of its anomalies, in the order in which they were told."""
        found = defaultdict(list)
        for message in self.messages.values():
            if message["type"] == "anomaly.raised":
                found[message["data"]["entity"]] += [entry["event_id"] for entry in message["data"]["anomalies"]]
        return dict(found)


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    made = Receiver(random.Random(SEED))
    made.start()
    yield made
    made.stop()


def destinations(folder: Path, receiver: Receiver, **more: object) -> Path:
    (folder / "secret").write_text(f"whsec_{base64.b64encode(SECRET).decode()}")
    path, fields = folder / "destinations.toml", {"group_s": 0.5, **more}
    path.write_text(
        f'[[destination]]\nname = "case-tool"\nurl = "http://127.0.0.1:{receiver.port}/"\nsecret_file = "secret"\n'
        + "".join(f"{name} = {json.dumps(value)}\n" for name, value in fields.items())
    )
    return path


class Notifying:
    """The program, as a process that a test may kill."""

    def __init__(self, settings: Settings, folder: Path, file: Path) -> None:
        self._settings, self._file, self._log = settings, file, folder / "notify.log"

    def start(self) -> None:
        words = ["stream-app", "notify", str(self._file)]
        program = f"import sys; sys.argv = {words!r}; from stream_app.cli.app import main; main()"
        own = {
            "KAFKA_BOOTSTRAP_SERVERS": self._settings.bootstrap_servers,
            "STREAM_APP_TOPIC_PREFIX": self._settings.topic_prefix,
            "STREAM_APP_APP_ID": self._settings.app_id,
            "STREAM_APP_SESSION_TIMEOUT_MS": "6000",
        }
        self.process = zygote.fork(program, self._log, {**os.environ, **own})

    def end(self, by: int) -> int:
        self.process.send_signal(by)
        return self.process.wait(30)

    @property
    def said(self) -> str:
        return self._log.read_text()


def committed(settings: Settings) -> list[int]:
    """What the destination's group has committed of each partition of the anomalies."""
    own = {"isolation.level": "read_uncommitted"}
    group = clients.consumer(settings, f"{settings.group}{NOTIFYING}case-tool", **own)
    name = topics.name(settings, ANOMALIES)
    found = group.committed([TopicPartition(name, partition) for partition in range(2)], timeout=10)
    group.close()
    return [place.offset for place in found]


def put(settings: Settings, topic: Topic, *records: Any) -> None:
    producer = clients.producer(settings)
    for record in records:
        entity = getattr(record, "entity", "signal")
        producer.produce(topics.name(settings, topic), msgspec.json.encode(record), entity.encode())
    assert producer.flush(10) == 0


@pytest.mark.parametrize("kills", [4, pytest.param(30, marks=pytest.mark.faults)])
def test_nothing_is_lost_and_nothing_told_twice_under_two_keys_though_both_ends_are_killed(
    settings: Settings, tmp_path: Path, receiver: Receiver, wait_until: Wait, kills: int
) -> None:
    topics.ensure(settings, [ANOMALIES, DRIFT_ALERTS])
    moments, sent = random.Random(SEED), 0
    notifying = Notifying(settings, tmp_path, destinations(tmp_path, receiver))
    notifying.start()
    wait_until(lambda: min(committed(settings)) >= 0, 60)
    receiver.bad = 0.3
    for _ in range(kills):
        before = len(receiver.taken)
        put(settings, ANOMALIES, *(anomaly(n, entity=f"c{n % 7}") for n in range(sent, sent + EACH)))
        sent += EACH
        wait_until(lambda: len(receiver.taken) > before + moments.randrange(4), 60)
        notifying.end(signal.SIGKILL)
        receiver.stop()
        notifying.start()
        put(settings, ANOMALIES, *(anomaly(n, entity=f"c{n % 7}") for n in range(sent, sent + EACH)))
        sent += EACH
        if moments.random() < 0.5:
            wait_until(lambda: "no answer" in notifying.said, 60)
        receiver.start()
    put(settings, DRIFT_ALERTS, alert())
    expected = {f"c{c}": [f"e{n}" for n in range(sent) if n % 7 == c] for c in range(7)}
    receiver.bad = 0.05  # most of what was sent waits still, for only a few messages were awaited between two kills
    wait_until(lambda: sum(map(len, receiver.told.values())) >= sent and "drift:1:raised" in receiver.messages, 300)
    receiver.bad = 0.0
    wait_until(lambda: sum(committed(settings)) == sent, 60)
    assert notifying.end(signal.SIGTERM) == 0, notifying.said
    assert receiver.told == expected
    assert len(receiver.messages) < sent / 2, "anomalies of an entity were not put together"
    assert not (tmp_path / "undelivered.jsonl").exists()


def test_what_no_try_delivers_is_kept_and_filters_leave_out_the_rest(
    settings: Settings, tmp_path: Path, receiver: Receiver, wait_until: Wait
) -> None:
    topics.ensure(settings, [ANOMALIES, DRIFT_ALERTS])
    file = destinations(tmp_path, receiver, give_up_s=0.3, least_severity="critical", group_s=0)
    notifying = Notifying(settings, tmp_path, file)
    notifying.start()
    wait_until(lambda: min(committed(settings)) >= 0, 60)
    receiver.bad = 2.0  # it answers 503, whatever comes
    put(settings, ANOMALIES, anomaly(0), anomaly(1, severity=Severity.CRITICAL))
    kept = tmp_path / "undelivered.jsonl"
    wait_until(lambda: kept.exists() and sum(committed(settings)) == 2, 60)
    receiver.bad = 0.0
    put(settings, ANOMALIES, anomaly(2, severity=Severity.CRITICAL))
    wait_until(lambda: receiver.told == {"596": ["e2"]}, 60)
    assert notifying.end(signal.SIGTERM) == 0, notifying.said
    (line,) = map(json.loads, kept.read_text().splitlines())
    assert (line["destination"], line["key"]) == ("case-tool", anomaly(1).anomaly_id)
    assert "503" in line["why"]


def test_a_test_tells_each_destination_and_says_who_does_not_take_it(tmp_path: Path, receiver: Receiver) -> None:
    file = destinations(tmp_path, receiver)
    well = stream_app("notify", file, "--test")
    assert (well.exit_code, well.stdout) == (0, "case-tool: ok\n")
    assert [message["type"] for message in receiver.messages.values()] == ["test"]
    receiver.stop()
    away = stream_app("notify", file, "--test")
    assert away.exit_code == 1
    assert "case-tool: WRONG" in away.stdout
