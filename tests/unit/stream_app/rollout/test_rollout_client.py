"""An operator's session waits for the effect of what it commanded, however long workers took to stage it."""

from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace

import pytest
from msgspec import json

from schemas.rollout import Command, ModelStatus, Phase, Stage
from schemas.topics import MODEL_STATUS, MODEL_SWAP
from stream_app.rollout import client
from stream_app.rollout.client import CommandSession, Order
from stream_app.rollout.state import Release
from stream_app.rollout.swap_log import encode
from stream_app.settings import Settings
from stream_app.testing.memory_clients import MemoryTail
from stream_app.testing.memory_kafka import MemoryKafka
from stream_app.testing.tiny_model import tiny_model
from tests.unit.stream_app.rollout.swap_log import activate

STAGING_S = 40.0


def test_a_deploy_whose_staging_took_long_is_seen_to_take_effect(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kafka, clock = MemoryKafka(), [1000.0]

    class SlowCluster:
        """Whose one worker takes long to stage, and then serves at once."""

        def __init__(self, _: Settings) -> None: ...

        def command(self, command: Command) -> None:
            assert isinstance(command, Stage)
            now = datetime.now(UTC)
            kafka.append(MODEL_SWAP.name, encode(command), encode(activate(command.command_id)), at=now)
            clock[0] += STAGING_S
            serves = ModelStatus(worker="w", phase=Phase.HEARTBEAT, at=now, command_id=f"activate-{command.command_id}")
            kafka.append(MODEL_STATUS.name, json.encode(serves), at=now)

        def audit(self, _: object) -> None: ...

        def close(self) -> None: ...

    monkeypatch.setattr(client, "ControlProducer", SlowCluster)
    monkeypatch.setattr(client, "Tail", lambda _, topics, *__, **___: MemoryTail(kafka, *(t.name for t in topics)))
    monkeypatch.setattr(client, "time", SimpleNamespace(monotonic=lambda: clock[0]))
    path = tmp_path / "1.pt"
    release = Release(tiny_model(path, "1"), str(path))
    with CommandSession(Settings(), Order("ann")) as session:
        outcome = session.stage(release, "deploy")
    assert outcome.ok, outcome.sentence
    assert "on 1 worker after 40.00 s" in outcome.sentence
