"""A worker takes a staged model when its verdict is one and nothing here speaks against it; otherwise it says why."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from msgspec.structs import replace
from prometheus_client import CollectorRegistry

from models import archive, artefact
from schemas.rollout import GateVerdict, Phase
from schemas.scoring import ModelRef
from stream_app.metrics import Metrics
from stream_app.rollout.admission import Admission, lacks
from stream_app.rollout.artefacts import ModelCache
from stream_app.rollout.follower import Follower, connect
from stream_app.rollout.swap_log import SwapLog
from stream_app.settings import GatePolicy, Settings
from stream_app.testing.tiny_model import TinyGraph, tiny_model
from tests.unit.stream_app.rollout.swap_log import CommandLog, Following, Heard, activate, stage

Wait = Callable[..., None]
SERVING = ModelRef("tiny", "1", "1" * 64)
PASSED = GateVerdict(passed=True, against=SERVING.sha256, report_sha256="a" * 64)
REFUSED = GateVerdict(passed=False, against=SERVING.sha256, failed=["alert volume", "latent stability"])


@pytest.mark.parametrize(
    ("verdict", "says"),
    [
        (PASSED, None),
        (None, "none has looked at it"),
        (REFUSED, "refused it for alert volume, latent stability"),
        (replace(PASSED, against="9" * 64), "compared with 999999999999"),
        (replace(PASSED, against=""), "compared with nothing"),
        (replace(REFUSED, override_by="ann", override_reason="the old one is worse"), None),
        (replace(REFUSED, override_by="ann"), "refused it"),
        (replace(REFUSED, override_reason="nobody says so"), "refused it"),
    ],
)
def test_a_required_verdict_must_be_passed_on_what_serves_or_overridden_by_name_and_reason(verdict, says):
    lacking = lacks(verdict, SERVING)
    assert (lacking == "") if says is None else (says in lacking)


class Slow(TinyGraph):
    """The tiny model, with work for nothing."""

    def forward(self, inputs: torch.Tensor):
        waste = torch.ones((100, 100)) * inputs[0, 0].clamp(0, 1)
        for _ in range(150):
            waste = waste @ waste / 200
        score = inputs.square().sum(dim=1) + 0 * waste[0, 0]
        return score, inputs, inputs, score.unsqueeze(1), inputs, inputs


class Bench:
    """One follower with a policy, serving model 1."""

    def __init__(self, folder: Path, policy: GatePolicy, wait_until: Wait) -> None:
        self.folder, self.log, self.heard = folder, CommandLog(), Heard()
        self.first = self.model("1")
        self.log.append(stage(self.first, folder / "1.pt", "s1"), activate("s1"))
        cache, metrics = ModelCache(folder / "cache"), Metrics(CollectorRegistry())
        self.follower = Follower("w1", SwapLog(), cache, self.heard, metrics, admission=Admission(policy))
        self.following = Following(self.follower, self.log.tail())
        wait_until(lambda: self.follower.serving is not None)

    def model(self, version: str) -> ModelRef:
        return tiny_model(self.folder / f"{version}.pt", version, centre=float(version) / 10)

    def stage(self, version: str, stage_id: str, verdict: GateVerdict | None = None) -> None:
        path = self.folder / f"{version}.pt"
        manifest = archive.read(path).manifest
        ref = ModelRef("tiny", manifest.version, archive.read(path).sha256)
        self.log.append(replace(stage(ref, path, stage_id), gates=verdict))


@pytest.fixture
def bench(tmp_path, wait_until):
    made: list[Bench] = []

    def make(policy: GatePolicy) -> Bench:
        made.append(Bench(tmp_path, policy, wait_until))
        return made[-1]

    yield make
    for one in made:
        one.following.stop()


def test_where_gates_are_required_a_stage_needs_its_verdict_and_what_serves_serves_on(bench, wait_until):
    b = bench(GatePolicy.REQUIRE)
    b.model("2")
    b.stage("2", "bare")
    wait_until(lambda: b.heard.answers() == [("bare", Phase.REJECTED)])
    assert "gates are required" in b.heard.statuses[-1].reason
    assert b.follower.serving.model == b.first
    b.stage("2", "judged", replace(PASSED, against=b.first.sha256))
    wait_until(lambda: b.heard.answers()[1:] == [("judged", Phase.STAGED)])
    b.stage("2", "forced", replace(REFUSED, override_by="ann", override_reason="tried"))
    wait_until(lambda: b.heard.answers()[2:] == [("forced", Phase.STAGED)])


def test_the_first_model_has_nothing_to_be_compared_with(bench, wait_until, tmp_path):
    heard, log = Heard(), CommandLog()
    log.append(stage(tiny_model(tmp_path / "7.pt", "7"), tmp_path / "7.pt", "first"))
    cache, admission = ModelCache(tmp_path / "own"), Admission(GatePolicy.REQUIRE)
    follower = Follower("w2", SwapLog(), cache, heard, Metrics(CollectorRegistry()), admission=admission)
    following = Following(follower, log.tail())
    wait_until(lambda: heard.answers() == [("first", Phase.STAGED)])
    following.stop()


def test_a_model_50_times_slower_is_rejected_even_where_gates_are_off_or_overridden_and_its_memory_is_given_back(
    bench, wait_until
):
    b = bench(GatePolicy.OFF)
    path = b.folder / "5.pt"
    tiny_model(path, "5")
    artefact.save(path, torch.jit.script(Slow(0.0)), archive.read(path).manifest)
    b.stage("5", "slow", replace(REFUSED, override_by="ann", override_reason="it will do"))
    wait_until(lambda: b.heard.answers() == [("slow", Phase.REJECTED)])
    assert "cost refused" in b.heard.statuses[-1].reason
    assert b.follower.serving.model == b.first
    b.model("2")
    b.stage("2", "next")
    wait_until(lambda: b.heard.answers()[1:] == [("next", Phase.STAGED)])
    assert b.follower.warm.digests == {b.first.sha256, archive.read(b.folder / "2.pt").sha256}


@pytest.mark.parametrize(("limits", "phase"), [("", Phase.REJECTED), ("[cost]\ntimes_slower_most = 1e6", Phase.STAGED)])
def test_how_much_slower_a_model_may_be_is_what_the_limits_of_the_settings_say(tmp_path, limits, phase):
    (tmp_path / "limits.toml").write_text(limits)
    log, heard = CommandLog(), Heard()
    log.append(stage(tiny_model(tmp_path / "1.pt", "1"), tmp_path / "1.pt", "s1"), activate("s1"))
    tiny_model(tmp_path / "2.pt", "2")
    artefact.save(tmp_path / "2.pt", torch.jit.script(Slow(0.0)), archive.read(tmp_path / "2.pt").manifest)
    ref = ModelRef("tiny", "2", archive.read(tmp_path / "2.pt").sha256)
    log.append(stage(ref, tmp_path / "2.pt", "slow"))
    settings = Settings(gate_limits=tmp_path / "limits.toml", model_cache=tmp_path / "cache")
    follower = connect(settings, heard, Metrics(CollectorRegistry()))
    follower.read(log.records, True)
    for _ in range(2):
        follower.load_missing()
    assert heard.answers() == [("slow", phase)]
