"""Swaps under load, on real workers: nothing lost, nothing twice, every score by the model that the barriers say."""

from collections import defaultdict
from threading import Event, Thread
from typing import Any

import msgspec
import pytest

from schemas import topics as declared
from schemas.rollout import Phase
from schemas.topics import ANOMALIES, AUDIT, MODEL_STATUS, SCORES
from stream_app.kafka import topics
from stream_app.rollout import commands
from stream_app.rollout.client import Order
from stream_app.testing.tiny_model import tiny_model
from stream_app.verify.cluster import verify
from tests.traffic import committed_offsets, committed_records, publish
from tests.workers import running

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(300)]

CHUNK = 200


def records(first: int, amount=lambda i: i % 7):
    for i in range(first, first + CHUNK):
        event: dict[str, Any] = {
            "transaction_id": str(i),
            "event_time": "2026-01-01T00:00:00Z",
            "customer_id": str(i % 97),
            "amount": float(amount(i)),
            "features": {"terminal_risk_7d": 0.5},
        }
        yield event["customer_id"].encode(), msgspec.json.encode(event)


class Load:
    """Transactions, one chunk after another, until told to stop."""

    def __init__(self, settings, records=records) -> None:
        self.sent = 0
        self._records = records
        self._settings = settings
        self._stop = Event()
        self._thread = Thread(target=self._run)

    def _run(self) -> None:
        while not self._stop.is_set():
            self.sent += publish(self._settings, self._records(self.sent))

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_) -> None:
        self._stop.set()
        self._thread.join()


def models_by_barriers(settings):
    """For each partition, (first offset, model) in the order of the offsets, as `model-status` says."""
    barriers = defaultdict(list)
    for status in committed_records(settings, MODEL_STATUS):
        if status.phase is Phase.APPLIED:
            for partition, offset in status.barriers.items():
                barriers[int(partition)].append((offset, status.serving.sha256))
    return barriers


def model_at(barriers, source) -> str:
    """The last barrier at or before an offset wins: those of one partition are written in the order of its offsets."""
    return [sha256 for offset, sha256 in barriers[source.partition] if offset <= source.offset][-1]


def test_every_score_is_by_the_model_that_the_barriers_prescribe(settings, tmp_path, wait_until):
    topics.ensure(settings, declared.ALL)
    old, new = tmp_path / "old.pt", tmp_path / "new.pt"
    tiny_model(old, "1")
    ref = tiny_model(new, "2", centre=-3.0)
    with (
        running(settings, tmp_path, publish_scores=True) as one,
        running(settings, tmp_path, publish_scores=True) as two,
    ):
        assert commands.deploy(settings, Order("test"), old).ok
        for worker in (one, two):
            worker.await_ready()
        wait_until(lambda: all(len(worker.partitions()) == 1 for worker in (one, two)), 60)
        with Load(settings) as load:
            for swap in (
                lambda: commands.deploy(settings, Order("test"), new),
                lambda: commands.rollback(settings, Order("test")),
                lambda: commands.rollback(settings, Order("test"), to="2"),
            ):
                before = committed_offsets(settings)
                wait_until(lambda before=before: committed_offsets(settings) > before + CHUNK, 60)
                outcome = swap()
                assert outcome.ok, outcome.sentence
                assert len(outcome.workers) == 2
            before = committed_offsets(settings)
            wait_until(lambda: committed_offsets(settings) > before + CHUNK, 60)
        wait_until(lambda: committed_offsets(settings) >= load.sent, 60)
        assert commands.models(settings).rollout.serving.model == ref
    verdict = verify(settings)
    assert verdict.ok, verdict.breaks
    scores = committed_records(settings, SCORES)
    assert len(scores) == len({str(score.source) for score in scores}) == load.sent
    barriers = models_by_barriers(settings)
    assert {score.model_sha256 for score in scores} == {sha for chain in barriers.values() for _, sha in chain}
    for score in scores:
        assert score.model_sha256 == model_at(barriers, score.source)
    for anomaly in committed_records(settings, ANOMALIES):
        assert anomaly.model.sha256 == model_at(barriers, anomaly.source)
    assert {record.action for record in committed_records(settings, AUDIT)} >= {"stage", "activate", "rollback"}


def test_a_model_that_fails_its_checks_leaves_the_old_one_serving(settings, tmp_path, wait_until):
    topics.ensure(settings, declared.ALL)
    good, lying, damaged = tmp_path / "good.pt", tmp_path / "lying.pt", tmp_path / "damaged.pt"
    ref = tiny_model(good, "1")
    tiny_model(lying, "2", golden_error=1.0)
    announced = tiny_model(damaged, "3", centre=1.0)
    damaged.write_bytes(damaged.read_bytes()[:-1] + b"\x01")
    with running(settings, tmp_path) as worker:
        assert commands.deploy(settings, Order("test"), good).ok
        worker.await_ready()
        for path, sha256, why in ((lying, None, "golden row"), (damaged, announced.sha256, "sha256")):
            outcome = commands.deploy(settings, Order("test"), path, sha256=sha256)
            assert not outcome.ok
            assert why in outcome.sentence
        sent = publish(settings, records(0))
        wait_until(lambda: committed_offsets(settings) >= sent, 60)
    assert commands.models(settings).rollout.serving.model == ref
    assert {anomaly.model for anomaly in committed_records(settings, ANOMALIES)} == {ref}


def test_a_worker_that_joins_later_serves_what_the_log_prescribes(settings, tmp_path):
    topics.ensure(settings, declared.ALL)
    first, second = tmp_path / "1.pt", tmp_path / "2.pt"
    expected = tiny_model(first, "1")
    tiny_model(second, "2")
    with running(settings, tmp_path) as worker:
        assert commands.deploy(settings, Order("test"), first).ok
        worker.await_ready()
        assert commands.deploy(settings, Order("test"), second).ok
        assert commands.rollback(settings, Order("test")).ok
    with running(settings, tmp_path, model_cache=tmp_path / "another-cache") as later:
        later.await_ready()
        assert later.model() == expected.sha256
