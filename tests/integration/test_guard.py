"""A bad model forced through: the guard on real workers rolls it back by itself, or the first sentence names it."""

import json
import urllib.request

import pytest

from schemas import topics as declared
from schemas.topics import ANOMALIES, AUDIT
from stream_app.kafka import topics
from stream_app.rollout import commands
from stream_app.rollout.client import Order
from stream_app.settings import GuardMode
from stream_app.testing.tiny_model import tiny_model
from stream_app.verify.cluster import verify
from tests.integration.test_swap import CHUNK, Load, records
from tests.traffic import committed_offsets, committed_records, publish
from tests.unit.stream_app.cli.cli_runner import stream_app
from tests.workers import Worker, running

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


def one_in_a_hundred_alerts(first: int):
    """With a centre of 0."""
    return records(first, lambda i: i % 3 if i % 100 else 6)


def test_through_the_operators_night_the_first_sentence_names_the_cause_and_the_command_that_ends_it(
    settings, tmp_path, wait_until
):
    """The page and `status` have the same one. The guard may only advise; in the end a worker is killed."""
    topics.ensure(settings, declared.ALL)
    good, bad = tmp_path / "1.pt", tmp_path / "2.pt"
    tiny_model(good, "1")
    tiny_model(bad, "2", centre=-3.0)  # which alerts on nearly everything
    where = ("--bootstrap-servers", settings.bootstrap_servers, "--topic-prefix", settings.topic_prefix)
    environment = {"STREAM_APP_APP_ID": settings.app_id, "STREAM_APP_MODEL_CACHE": settings.model_cache}

    def status() -> dict:
        return json.loads(stream_app("status", "--json", *where, **environment).stdout)

    def says(worker: Worker, *parts: str) -> bool:
        with urllib.request.urlopen(f"{worker.url}api/state", timeout=5) as answer:
            sentences = json.load(answer)["verdict"]["sentence"], status()["verdict"]["sentence"]
        return all(part in sentence for part in parts for sentence in sentences)

    assert status()["verdict"]["sentence"].startswith("Nothing runs yet: `stream-app worker`")
    with running(settings, tmp_path, guard=GuardMode.ADVISE) as worker:
        wait_until(lambda: says(worker, "takes no part: waiting for a model", "stream-app deploy"))
        assert commands.deploy(settings, Order("ann@host"), good).ok
        worker.await_ready()
        with Load(settings, one_in_a_hundred_alerts):
            wait_until(lambda: says(worker, "All is well. One worker scores"))
            wait_until(lambda: committed_offsets(settings) > 3000, 60)
            assert commands.deploy(settings, Order("root@host"), bad).ok
            alerts = ("by root@host, alerts on 100 % where ", " % was usual: `stream-app rollback`.")
            wait_until(lambda: says(worker, "tiny 2, deployed ", *alerts))
            doctor = json.loads(stream_app("doctor", "--json", *where, **environment).stdout)
            assert "tiny 2, deployed" in {f["check"]: f["says"] for f in doctor}["guard"]
            assert commands.rollback(settings, Order("ann@host")).ok
            wait_until(lambda: not says(worker, "tiny 2"))
        worker.kill()
        wait_until(lambda: "is lost since" in status()["verdict"]["sentence"])
        publish(settings, records(10**6))
        seen = status()
    (lost,) = seen["workers"]
    assert (lost["presence"], lost["partitions"]) == ("lost", [0, 1])
    assert lost["lag"] >= CHUNK
    assert f"nobody has taken over partition 0, 1, where {lost['lag']:,} events wait" in seen["verdict"]["sentence"]
