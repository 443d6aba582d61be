"""Two workers on real Kafka deploy, refuse and roll back together; a third that joins late serves the same.

The workers are real control planes; a thread does what the pipeline does at a batch boundary (score with `.serving`).
"""

import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import pytest
from prometheus_client import CollectorRegistry

from schemas.rollout import AuditRecord
from schemas.topics import AUDIT, MODEL_STATUS, MODEL_SWAP
from stream_app.host.control_plane import ControlPlane
from stream_app.kafka import clients, topics
from stream_app.kafka.log import read_to_end
from stream_app.metrics import Metrics
from stream_app.ops.health import Liveness
from stream_app.pipeline.progress import Progress, Snapshot
from stream_app.rollout.client import Order
from stream_app.rollout.commands import deploy, models, rollback
from stream_app.settings import Settings
from stream_app.testing.tiny_model import tiny_model

pytestmark = pytest.mark.kafka
Wait = Callable[..., None]


class Worker:
    """A worker without its pipeline. Every one believes that it owns the log: two controllers must be harmless."""

    def __init__(self, settings: Settings, name: str, stages: bool = True) -> None:
        own = settings.model_copy(update={"worker_id": name, "model_cache": settings.model_cache / name})
        self.name = name
        self.metrics, self._progress = Metrics(CollectorRegistry()), Progress()
        liveness = Liveness(self._progress, own.stall_after_s)
        self._control = ControlPlane(own, self.metrics, self._progress, liveness, owner=lambda: True)
        self.follower = self._control.follower
        self._gone = threading.Event()
        self._thread = threading.Thread(target=self._live, daemon=True)
        for thread in self._control.threads:
            if stages or thread.name == "heartbeat":
                thread.start()
        self._thread.start()

    @property
    def serves(self) -> str | None:
        serving = self.follower.serving
        return serving.model.version if serving else None

    def leave(self) -> None:
        self._gone.set()
        self._thread.join()
        self._control.stop()

    def _live(self) -> None:
        while not self._gone.wait(0.01):
            serving = self.follower.serving
            if serving is not None and serving.command_id != self._progress.latest.command_id:
                self._progress.latest = Snapshot(command_id=serving.command_id)
                self._progress.news.set()


@pytest.fixture
def cluster(settings: Settings, wait_until: Wait) -> Settings:
    topics.ensure(settings)
    wait_until(lambda: _readable(settings))
    return settings.model_copy(update={"stage_timeout_s": 20.0, "worker_lost_after_s": 3.0})


def _readable(settings: Settings) -> bool:
    """A broker may say for a moment that it does not lead a topic that it has just created."""
    try:
        return all(not list(read_to_end(settings, topic)) for topic in (MODEL_SWAP, MODEL_STATUS, AUDIT))
    except clients.BrokerError:
        return False


Join = Callable[..., Worker]


@pytest.fixture
def join(cluster: Settings) -> Iterator[Join]:
    workers: list[Worker] = []

    def start(name: str, stages: bool = True) -> Worker:
        workers.append(Worker(cluster, name, stages))
        return workers[-1]

    yield start
    for worker in workers:
        worker.leave()


def audit(settings: Settings) -> list[AuditRecord]:
    return [msgspec.json.decode(m.value() or b"", type=AuditRecord) for m in read_to_end(settings, AUDIT)]


def test_a_model_goes_through_its_life_on_every_worker(
    cluster: Settings, join: Join, tmp_path: Path, wait_until: Wait
) -> None:
    paths = {v: tmp_path / f"{v}.pt" for v in "123"}
    refs = {v: tiny_model(path, v, centre=float(v)) for v, path in paths.items()}
    first, second = join("w1"), join("w2")
    wait_until(lambda: first.follower.caught_up and second.follower.caught_up)

    said: list[str] = []
    outcome = deploy(cluster, Order("ann", "first", on_progress=said.append), paths["1"])
    assert outcome.ok, outcome.sentence
    assert set(outcome.workers) == {"w1", "w2"}
    assert (first.serves, second.serves, outcome.model) == ("1", "1", refs["1"])
    assert said[0].startswith("staging tiny 1")

    outcome = deploy(cluster, Order("ann", "better"), paths["2"])
    assert outcome.ok, outcome.sentence
    assert (outcome.model, outcome.previous) == (refs["2"], refs["1"])

    damaged = tmp_path / "damaged.pt"
    data = bytearray(paths["3"].read_bytes())
    data[-1] ^= 1
    damaged.write_bytes(data)
    refused = deploy(cluster, Order("mallory"), damaged, sha256=refs["3"].sha256)
    assert not refused.ok
    assert "damaged or not the one meant" in refused.sentence
    assert (first.serves, second.serves, refused.model) == ("2", "2", refs["2"])

    again = deploy(cluster, Order("ann"), paths["2"])
    assert again.ok
    assert again.command_id == ""

    back = rollback(cluster, Order("bob", "false positives"))
    assert back.ok, back.sentence
    assert (first.serves, second.serves) == ("1", "1")
    assert set(back.workers) == {"w1", "w2"}
    assert back.previous is None

    late = join("w3")
    wait_until(lambda: late.follower.caught_up)
    assert late.serves == "1"
    forth = rollback(cluster, Order("bob", "it was not the model"), to="2")
    assert forth.ok, forth.sentence
    assert {worker.serves for worker in (first, second, late)} == {"2"}
    assert set(forth.workers) == {"w1", "w2", "w3"}

    listing = models(cluster)
    assert listing.rollout.serving is not None
    assert listing.rollout.serving.model == refs["2"]
    assert listing.rollout == late.follower.rollout == first.follower.rollout

    told = {
        ("ann", "stage", outcome.command_id),
        ("ann", "deploy", outcome.command_id),
        ("mallory", "stage", refused.command_id),
        ("bob", "rollback", back.command_id),
    }
    wait_until(lambda: {(r.actor, r.action, r.command_id) for r in audit(cluster)} >= told)
    # One rejection ends a stage, so the other worker may have had nothing left to answer.
    refusers = {r.actor for r in audit(cluster) if (r.action, r.command_id) == ("reject", refused.command_id)}
    assert refusers
    assert refusers <= {"w1", "w2"}
    assert {"activate", "abort"} <= {r.action for r in audit(cluster) if r.actor.startswith("controller@")}


def test_a_model_whose_file_is_gone_serves_again_once_it_is_deployed_from_another_place(
    cluster: Settings, join: Join, tmp_path: Path, wait_until: Wait
) -> None:
    path, other = tmp_path / "1.pt", tmp_path / "other.pt"
    ref = tiny_model(path, "1")
    first = join("w1")
    wait_until(lambda: first.follower.caught_up)
    assert deploy(cluster, Order("ann"), path).ok
    path.rename(other)
    assert deploy(cluster, Order("ann"), other).model == ref
    late = join("w2")
    wait_until(lambda: late.follower.caught_up)
    assert (first.serves, late.serves) == ("1", "1")
    assert models(cluster).rollout.serving.uri == other.as_uri()


def test_a_rollback_cannot_make_it_worse_and_a_version_is_one_model(
    cluster: Settings, join: Join, tmp_path: Path, wait_until: Wait
) -> None:
    refs = {v: tiny_model(tmp_path / f"{v}.pt", v, centre=float(v)) for v in "123"}
    worker = join("w1")
    wait_until(lambda: worker.follower.caught_up)
    for version in "123":
        assert deploy(cluster, Order("ann"), tmp_path / f"{version}.pt").ok

    other = tiny_model(tmp_path / "other.pt", "2", centre=9.0)
    namesake = deploy(cluster, Order("ann"), tmp_path / "other.pt")
    assert (namesake.ok, namesake.command_id) == (False, "")
    assert f"{refs['2']} has served or was tried out, and {other} is another model" in namesake.sentence

    for expected in "21":  # the second of them is not warm, and is staged
        back = rollback(cluster, Order("bob", "false positives"))
        assert back.ok, back.sentence
        assert worker.serves == expected
    again = rollback(cluster, Order("bob", "still"))
    assert (again.ok, again.command_id, worker.serves) == (False, "", "1")
    assert f"not rolled back from: {refs['2']}, {refs['3']} may be named" in again.sentence
    assert rollback(cluster, Order("bob", "on purpose"), to="3").ok
    assert worker.serves == "3"


def test_without_a_worker_a_stage_waits_and_the_first_worker_serves_it(
    cluster: Settings, join: Join, tmp_path: Path, wait_until: Wait
) -> None:
    tiny_model(tmp_path / "1.pt", "1")
    outcome = deploy(cluster, Order("ann"), tmp_path / "1.pt")
    assert not outcome.ok
    assert outcome.waiting
    assert "no worker is running" in outcome.sentence
    worker = join("w1")
    wait_until(lambda: worker.serves == "1")


def test_a_worker_that_never_answers_ends_the_deploy_everywhere(
    cluster: Settings, join: Join, tmp_path: Path, wait_until: Wait
) -> None:
    impatient = cluster.model_copy(update={"stage_timeout_s": 2.0})
    tiny_model(tmp_path / "1.pt", "1")
    worker = Worker(impatient, "w1")
    join("mute", stages=False)
    wait_until(lambda: worker.follower.caught_up)
    outcome = deploy(impatient, Order("ann"), tmp_path / "1.pt")
    worker.leave()
    assert not outcome.ok
    assert "no answer within 2 s from mute" in outcome.sentence
    assert (worker.serves, models(cluster).rollout.pending) == (None, None)


def test_a_killed_worker_whose_transaction_is_still_open_hides_nobody(
    cluster: Settings, join: Join, tmp_path: Path, wait_until: Wait
) -> None:
    """It had begun to say what it serves; whoever reads committed records only stands before that for a while."""
    killed = clients.producer(cluster, **{"transactional.id": f"{cluster.topic_prefix}killed"})
    killed.init_transactions(30)
    killed.begin_transaction()
    killed.produce(topics.name(cluster, MODEL_STATUS), b"never to be committed")
    assert killed.flush(10) == 0
    worker = join("w1")
    wait_until(lambda: worker.follower.caught_up)
    tiny_model(tmp_path / "1.pt", "1")
    outcome = deploy(cluster, Order("ann"), tmp_path / "1.pt")
    assert outcome.ok, outcome.sentence
    assert set(outcome.workers) == {"w1"}


def test_noise_on_the_log_stops_nobody_and_goes_on_record(
    cluster: Settings, join: Join, tmp_path: Path, wait_until: Wait
) -> None:
    worker = join("w1")
    wait_until(lambda: worker.follower.caught_up)
    for version in "12":
        tiny_model(tmp_path / f"{version}.pt", version)
    outcome = deploy(cluster, Order("ann"), tmp_path / "1.pt")  # its controller has read the log to its end, too
    assert outcome.ok, outcome.sentence
    nothing = rollback(cluster, Order("bob"))
    assert not nothing.ok
    assert "no previous model" in nothing.sentence
    producer = clients.producer(cluster)
    for value in (b"\x80\x04noise", None, b"{}"):
        producer.produce(topics.name(cluster, MODEL_SWAP), value=value)
    producer.flush(10)
    outcome = deploy(cluster, Order("ann"), tmp_path / "2.pt")
    assert outcome.ok, outcome.sentence
    wait_until(lambda: [r.action for r in audit(cluster)].count("refuse") >= 3)
