"""Whatever stands on a topic, and whatever its timestamp says: all read on, and count what they pass over."""

import itertools
import math
from collections.abc import Callable, Iterable
from functools import cache
from typing import Any

import msgspec
import pytest
from prometheus_client import CollectorRegistry

from schemas.rollout import AuditRecord
from schemas.topics import AUDIT, COMPARISONS, DRIFT_ALERTS, DRIFT_SUMMARIES, MODEL_STATUS, MODEL_SWAP, OF_JSON, Topic
from stream_app.audit.proof import prove
from stream_app.audit.sealer import Sealer
from stream_app.cli.readable import Reader, as_json_line, moment
from stream_app.drift.host import Replica
from stream_app.drift.published import published
from stream_app.metrics import Metrics
from stream_app.ops.board import Board
from stream_app.ops.feed import SHOWN, Feed
from stream_app.rollout.guard.enforcer import GuardEnforcer
from stream_app.rollout.state import Candidate, Release, Rollout
from stream_app.rollout.statuses import Statuses
from stream_app.rollout.swap_log import SwapLog
from stream_app.settings import Settings
from stream_app.testing.memory_cluster import MemoryMessage
from tests.contract.examples import MODEL
from tests.unit.stream_app.drift.streams import MANIFEST, SHA
from tests.unit.stream_app.poison import NOON_MS, NOTHING_A_TOPIC_HOLDS, disfigured, examples, poisoned
from tests.unit.stream_app.rollout.test_rollout_guard import Said

SETTINGS = Settings()
ON_TRIAL = Rollout(candidate=Candidate("c-1", Release(MODEL, "m.pt"), 0.0))
STAMPS = [(0, -1), (1, 0), (1, 1), (1, -1), (1, NOON_MS // 1000), (1, NOON_MS * 1000), (1, NOON_MS * 10**6), (2, 2**62)]


class Rig:
    """All readers of a worker over one metrics registry, and how many records they have passed over."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        metrics = Metrics(self.registry)
        self.swaps, self.statuses = SwapLog(), Statuses(skipped=metrics.skip)
        self.board = Board(self.swaps, self.statuses, 5.0)
        self.feed = Feed(SETTINGS, self.board, self.statuses, metrics)
        self.said = Said()
        self.guard = GuardEnforcer(SETTINGS, self.said, metrics, itertools.count(step=10.0).__next__)
        self.sealer = Sealer("w", lambda _: None, lambda: True, skipped=metrics.skip)
        self.replica = Replica(SETTINGS, {SHA: MANIFEST}.get, metrics.skip)

    def passed_over(self, topic: Topic) -> float:
        value = self.registry.get_sample_value("stream_app_records_skipped_total", {"topic": topic.name})
        return value or 0.0

    def page(self) -> bytes:
        """What the page's API would answer."""
        return msgspec.json.encode(self.board.read())


Read = Callable[[Rig, list[MemoryMessage]], Any]


def fold(rig: Rig, records: Iterable[MemoryMessage]) -> None:
    for record in records:
        rig.replica.take(record.offset(), record.value())


def swaps(rig: Rig, records: Iterable[MemoryMessage]) -> None:
    for record in records:
        rig.swaps.read(record)


def guard(rig: Rig, records: list[MemoryMessage]) -> None:
    for record in records:
        rig.guard.read([record], True)
        rig.guard.act(ON_TRIAL)
    reports = [status.guard for status in rig.said.statuses if status.guard is not None]
    assert reports
    assert all(math.isfinite(signal.against) for report in reports for signal in report.evidence)


WORKER: dict[str, tuple[Topic, Read]] = {
    "the swap log": (MODEL_SWAP, swaps),
    "statuses": (MODEL_STATUS, lambda rig, records: rig.feed.read_statuses(records, True)),
    "statuses of before": (MODEL_STATUS, lambda rig, records: rig.feed.read_statuses(records, False)),
    "the guard": (COMPARISONS, guard),
    "the sealer": (AUDIT, lambda rig, records: (rig.sealer.read(records, True), rig.sealer.step())),
    "the drift agent": (DRIFT_SUMMARIES, fold),
    **{f"the page's {topic.name}": (topic, lambda rig, records: rig.feed.read(records, True)) for topic in SHOWN},
}
COMMANDS: dict[str, tuple[Topic, Callable[[list[MemoryMessage]], Any]]] = {
    "explain": (DRIFT_ALERTS, published),
    "audit --verify": (AUDIT, lambda records: prove([(r.offset(), r.value() or b"") for r in records])),
    **{f"consume {t.name}": (t, lambda rs, t=t: [Reader(t).line(r.value()) for r in rs]) for t in OF_JSON},
    **{f"consume --json {t.name}": (t, lambda rs: [as_json_line(r.value()) for r in rs]) for t in OF_JSON},
}


@cache
def poison(topic: Topic) -> list[MemoryMessage]:
    """Everything, in one log."""
    values = [*NOTHING_A_TOPIC_HOLDS.values(), *examples(topic), *disfigured(topic)]
    return [poisoned(topic.name, value, place) for place, value in enumerate(values)]


@pytest.mark.parametrize("reader", WORKER)
def test_a_worker_reads_on_whatever_stands_on_its_topics(reader: str) -> None:
    topic, read = WORKER[reader]
    rig = Rig()
    read(rig, poison(topic))
    assert topic is MODEL_SWAP or rig.passed_over(topic) >= len(NOTHING_A_TOPIC_HOLDS)
    assert rig.page()
    good = [poisoned(topic.name, value, 10**9 + i) for i, value in enumerate(examples(topic))]
    before = rig.passed_over(topic)
    read(rig, good)
    assert rig.passed_over(topic) == before


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_reads_on_whatever_stands_on_its_topic(command: str) -> None:
    topic, read = COMMANDS[command]
    read(poison(topic))


def test_the_timeline_of_the_audit_shows_any_time() -> None:
    records = [r for value in disfigured(AUDIT) for r in [_audit(value)] if r is not None]
    assert records
    assert all(moment(record.at) for record in records)


def _audit(value: bytes) -> AuditRecord | None:
    try:
        return msgspec.json.decode(value, type=AuditRecord)
    except msgspec.ValidationError:
        return None


@pytest.mark.parametrize("stamp", STAMPS)
@pytest.mark.parametrize("reader", WORKER)
def test_a_worker_reads_records_whose_timestamp_cannot_be(reader: str, stamp: tuple[int, int]) -> None:
    topic, read = WORKER[reader]
    rig = Rig()
    good = [poisoned(topic.name, value, i, stamp) for i, value in enumerate(examples(topic))]
    read(rig, good)
    assert rig.passed_over(topic) == 0
    assert rig.page()
