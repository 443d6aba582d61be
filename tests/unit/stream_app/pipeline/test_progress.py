"""Progress: before the first commit nothing is promised, and a reader's snapshot never changes under it."""

from dataclasses import FrozenInstanceError

import pytest

from stream_app.pipeline.progress import RUNNING, Progress, Snapshot
from stream_app.testing.memory_kafka import assign, lose
from tests.unit.stream_app.pipeline.rig import USUAL, Rig


def test_before_anything_is_known_it_is_not_ready() -> None:
    latest = Progress().latest
    assert (latest.ready, latest.model, latest.partitions, latest.latency_p50_ms) == (False, None, (), None)
    assert latest.state != RUNNING  # lag without movement is a stall only there


def test_a_snapshot_is_replaced_whole_and_never_changed(rig: Rig) -> None:
    seen: list[Snapshot] = []
    rig.kafka.publish(0, USUAL)
    rig.run(assign(0), rig.later(0.1), rig.look(lambda: rig.progress.latest, seen), rig.publish(0, USUAL), rig.later(1))
    (before,) = seen
    assert (before.scored, rig.progress.latest.scored) == (1, 2)
    with pytest.raises(FrozenInstanceError):
        before.scored = 3  # type: ignore[misc]


def test_it_is_ready_once_a_model_serves_and_no_longer_when_the_session_is_lost(rig: Rig) -> None:
    ready: list[tuple[bool, int]] = []
    look = rig.look(lambda: (rig.progress.latest.ready, len(rig.progress.latest.partitions)), ready)
    rig.run(look, assign(0, 1), rig.later(1), look, lose(0, 1), look)
    # The barrier of a model that serves before anything is assigned is a commit of its own.
    assert ready == [(False, 0), (True, 2), (False, 0)]
