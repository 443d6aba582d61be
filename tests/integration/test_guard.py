"""A bad model forced through: as a canary and in full, the guard on real workers rolls it back by itself."""

import pytest

from schemas import topics as declared
from schemas.topics import ANOMALIES, AUDIT
from stream_app.kafka import topics
from stream_app.rollout import commands
from stream_app.rollout.client import Order
from stream_app.settings import GuardMode
from stream_app.testing.tiny_model import tiny_model
from stream_app.verify.cluster import verify
from tests.integration.test_swap import Load
from tests.traffic import committed_offsets, committed_records
from tests.workers import running

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(300)]


def test_the_guard_rolls_back_a_bad_canary_and_a_bad_activation(settings, tmp_path, wait_until):
    topics.ensure(settings, declared.ALL)
    good, bad = tmp_path / "1.pt", tmp_path / "2.pt"
    champion, flood = tiny_model(good, "1"), tiny_model(bad, "2", centre=-3.0)  # which alerts on nearly everything

    def rollbacks() -> list[str]:
        log = commands.models(settings).entries
        return [e.command.reason for e in log if e.command is not None and e.command.issuer.startswith("guard@")]

    def decides() -> str:
        rollout = commands.models(settings).rollout
        assert rollout.candidate is None
        return rollout.serving.model.sha256

    with running(settings, tmp_path, guard=GuardMode.ACT) as worker:
        assert commands.deploy(settings, Order("test"), good).ok
        worker.await_ready()
        with Load(settings) as load:
            assert commands.try_out(settings, Order("test", "whatever the gates say"), bad, 5.0).ok
            wait_until(lambda: len(rollbacks()) == 1, 60)
            assert decides() == champion.sha256
            assert commands.deploy(settings, Order("test", "whatever the gates say"), bad).ok
            wait_until(lambda: len(rollbacks()) == 2, 60)
            assert decides() == champion.sha256

            assert commands.freeze(settings, Order("test"), True).ok
            assert commands.try_out(settings, Order("test"), bad, None).ok
            before = committed_offsets(settings)
            wait_until(lambda: committed_offsets(settings) > before + 5000, 60)
            assert len(rollbacks()) == 2
        wait_until(lambda: committed_offsets(settings) >= load.sent, 60)
    assert all("alerts: " in reason for reason in rollbacks())
    verdict = verify(settings)
    assert verdict.ok, verdict.breaks
    assert {a.model.sha256 for a in committed_records(settings, ANOMALIES)} == {champion.sha256, flood.sha256}
    found = [r for r in committed_records(settings, AUDIT) if r.actor.startswith("guard@")]
    assert [r.action for r in found if r.action == "rollback"] == ["rollback", "rollback"]
