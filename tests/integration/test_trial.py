"""A shadow and a canary under load, on real workers: conserved, every decision by the model that is named for it."""

import pytest

from schemas import topics as declared
from schemas.topics import ANOMALIES, COMPARISONS, SCORES
from stream_app.kafka import topics
from stream_app.rollout import commands
from stream_app.rollout.client import Order
from stream_app.testing.tiny_model import tiny_model
from stream_app.verify.cluster import verify
from tests.integration.test_swap import CHUNK, Load
from tests.traffic import committed_offsets, committed_records
from tests.workers import running

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(300)]


def test_a_candidate_is_a_shadow_then_a_canary_then_serves(settings, tmp_path, wait_until):
    topics.ensure(settings, declared.ALL)
    old, new = tmp_path / "1.pt", tmp_path / "2.pt"
    champion, candidate = tiny_model(old, "1"), tiny_model(new, "2", centre=-3.0)
    with (
        running(settings, tmp_path, publish_scores=True) as one,
        running(settings, tmp_path, publish_scores=True) as two,
    ):
        assert commands.deploy(settings, Order("test"), old).ok
        for worker in (one, two):
            worker.await_ready()
        wait_until(lambda: all(len(worker.partitions()) == 1 for worker in (one, two)), 60)
        with Load(settings) as load:
            for step in (
                lambda: commands.try_out(settings, Order("test"), new, None),
                lambda: commands.try_out(settings, Order("test"), None, 30.0),
                lambda: commands.promote(settings, Order("test")),
                lambda: commands.rollback(settings, Order("test")),
            ):
                outcome = step()
                assert outcome.ok, outcome.sentence
                assert len(outcome.workers) == 2
                before = committed_offsets(settings)
                wait_until(lambda before=before: committed_offsets(settings) > before + CHUNK, 60)
        wait_until(lambda: committed_offsets(settings) >= load.sent, 60)
    verdict = verify(settings)
    assert verdict.ok, verdict.breaks
    assert verdict.scored == load.sent
    scores = {str(score.source): score.model_sha256 for score in committed_records(settings, SCORES)}
    assert len(scores) == load.sent
    for anomaly in committed_records(settings, ANOMALIES):
        assert anomaly.model.sha256 == scores[str(anomaly.source)]
    assert set(scores.values()) == {champion.sha256, candidate.sha256}
    compared = committed_records(settings, COMPARISONS)
    assert {(c.champion, c.candidate) for c in compared} == {(champion.sha256, candidate.sha256)}
    assert sum(c.errors + c.skipped for c in compared) == 0
    assert 0 < sum(c.decided for c in compared) < load.sent
    assert commands.models(settings).rollout.serving.model == champion
