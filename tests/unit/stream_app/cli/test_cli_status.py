"""`status --watch` follows: a record is read once, however often the picture is drawn anew."""

import json
from datetime import UTC, datetime

import msgspec
import pytest

from stream_app.cli import overview, status
from stream_app.kafka import topics
from stream_app.rollout.swap_log import encode
from stream_app.settings import Settings
from stream_app.testing.memory_clients import MemoryTail
from stream_app.testing.memory_kafka import MemoryKafka
from tests.unit.stream_app.cli.cli_runner import stream_app
from tests.unit.stream_app.cli.test_cli_overview import ONE, activate, alert, heartbeat, stage


@pytest.fixture
def kafka(monkeypatch):
    kafka, settings = MemoryKafka(), Settings()

    def tail(_settings, followed, *_args, **_options):
        return MemoryTail(kafka, *(topics.name(settings, topic) for topic in followed))

    monkeypatch.setattr(overview, "Tail", tail)
    monkeypatch.setattr(status, "connected_settings", lambda: settings)
    monkeypatch.setattr(overview, "unread", lambda *_: {})  # what waits is asked of the broker, and there is none
    monkeypatch.setattr(status, "REFRESH_S", 0.02)
    return kafka


def test_each_record_is_read_once_while_it_is_watched(kafka):
    now = datetime.now(UTC)
    kafka.append("model-swap", encode(stage(ONE, "s1")), encode(activate("s1")), at=now)
    kafka.append("drift-alerts", *(msgspec.json.encode(alert(n)) for n in range(5)), at=now)
    kafka.append("model-status", *(msgspec.json.encode(heartbeat(worker)) for worker in "abc"), at=now)
    kafka.faults["poll"].extend([*[None] * 60, KeyboardInterrupt()])  # so many polls, then Ctrl-C
    watched = stream_app("status", "--watch", "--json")
    assert watched.exit_code == 0
    seen = json.loads("[" + watched.stdout.replace("}\n{", "},{") + "]")
    assert len(seen) >= 3
    assert {(len(s["workers"]), s["model"]["version"], s["drift"]["total"]) for s in seen} == {(3, "1", 5)}
    assert {*kafka.tailed.values()} == {1}
    assert kafka.tailed.total() == 10
