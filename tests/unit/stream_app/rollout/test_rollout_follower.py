"""A worker serves what the log prescribes, and nothing that failed its checks."""

import os
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from msgspec.structs import replace
from prometheus_client import CollectorRegistry

from models import archive
from schemas.rollout import Phase
from schemas.scoring import ModelRef
from stream_app.metrics import Metrics
from stream_app.pipeline.serving import Serving
from stream_app.rollout.artefacts import ModelCache
from stream_app.rollout.follower import Follower, connect
from stream_app.rollout.swap_log import SwapLog
from stream_app.settings import GuardMode, Settings
from stream_app.testing.tiny_model import tiny_model
from tests.unit.stream_app.rollout.swap_log import CommandLog, Following, Heard, activate, rollback, stage

Wait = Callable[..., None]


class Bench:
    """A log, two models on disk, and as many followers as a test wants."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.log = CommandLog()
        self.paths = {version: folder / f"{version}.pt" for version in "123"}
        self.refs = {v: tiny_model(path, v, centre=float(v)) for v, path in self.paths.items()}
        self.following: list[Following] = []

    def join(self, name: str = "w1", silent_polls: int = 0) -> tuple[Follower, Heard]:
        heard = Heard()
        tail = self.log.tail(silent_polls)
        cache, metrics = ModelCache(self.folder / f"cache-{name}"), Metrics(CollectorRegistry())
        follower = Follower(name, SwapLog(), cache, heard, metrics)
        self.following.append(Following(follower, tail))
        return follower, heard

    def deploy(self, version: str, stage_id: str | None = None) -> None:
        stage_id = stage_id or f"s{version}"
        self.log.append(stage(self.refs[version], self.paths[version], stage_id), activate(stage_id))


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    bench = Bench(tmp_path)
    yield bench
    for following in bench.following:
        following.stop()


def served(follower: Follower) -> tuple[str, str | None] | None:
    serving: Serving | None = follower.serving
    if serving is None:
        return None
    return serving.model.version, serving.previous.version if serving.previous else None


def test_with_an_empty_log_a_worker_waits_and_says_what_to_do(bench: Bench, wait_until: Wait) -> None:
    follower, _ = bench.join()
    wait_until(lambda: follower.caught_up)
    assert follower.serving is None
    assert follower.rollout.serving is None
    assert follower.prescribed() == "waiting for a model: deploy one with stream-app deploy MODEL"


def test_a_model_that_serves_elsewhere_and_is_missing_here_is_named_with_what_to_do(
    bench: Bench, wait_until: Wait
) -> None:
    bench.deploy("1")
    bench.paths["1"].unlink()
    follower, _ = bench.join()
    wait_until(lambda: "cannot be loaded here" in str(follower.prescribed()))
    said = str(follower.prescribed())
    assert str(bench.paths["1"]) in said
    assert said.endswith("bring its file back, or deploy again")
    assert "deploy one" not in said


def test_a_staged_model_is_reported_and_serves_only_after_its_activation(bench: Bench, wait_until: Wait) -> None:
    follower, heard = bench.join()
    bench.log.append(stage(bench.refs["1"], bench.paths["1"], "s1"))
    wait_until(lambda: heard.answers() == [("s1", Phase.STAGED)])
    assert follower.serving is None
    bench.log.append(activate("s1"))
    wait_until(lambda: served(follower) == ("1", None))
    assert follower.serving is not None
    assert follower.serving.command_id == "activate-s1"
    assert follower.serving.runtime.score(np.array([[1.0, 2.0]], np.float32)).score == pytest.approx([1.0])
    assert follower.caught_up


def test_a_rollback_needs_neither_the_file_nor_the_cache(bench: Bench, wait_until: Wait) -> None:
    follower, _ = bench.join()
    bench.deploy("1")
    wait_until(lambda: served(follower) == ("1", None))
    bench.deploy("2")
    wait_until(lambda: served(follower) == ("2", "1"))
    for path in [*bench.paths.values(), *(bench.folder / "cache-w1").iterdir()]:
        path.unlink()
    bench.log.append(rollback("back"))
    wait_until(lambda: served(follower) == ("1", None))
    bench.log.append(rollback("forth", bench.refs["2"]))
    wait_until(lambda: served(follower) == ("2", None))


def test_a_rollback_takes_effect_while_a_load_hangs(bench: Bench, wait_until: Wait) -> None:
    follower, heard = bench.join()
    bench.deploy("1")
    bench.deploy("2")
    wait_until(lambda: served(follower) == ("2", "1") and follower.caught_up)
    pipe = bench.folder / "endless.pt"
    os.mkfifo(pipe)  # reading it blocks for as long as somebody holds its other end
    bench.log.append(stage(ModelRef("tiny", "9", "9" * 64), pipe, "s9"))
    writers: list[int] = []
    wait_until(lambda: _opened(pipe, writers))
    bench.log.append(rollback("back"))
    wait_until(lambda: served(follower) == ("1", None))
    assert heard.answers() == []
    os.close(writers.pop())


def _opened(pipe: Path, writers: list[int]) -> bool:
    """Whether somebody reads it. Its other end stays open: once closed, the reader has reached the end of the file."""
    try:
        writers.append(os.open(pipe, os.O_WRONLY | os.O_NONBLOCK))
    except OSError:
        return False
    return True


@pytest.mark.parametrize("harm", ["corrupt", "absent", "no model", "wrong golden row", "pickle"])
def test_a_bad_model_is_rejected_with_a_reason_and_the_old_one_serves_on(
    bench: Bench, wait_until: Wait, harm: str
) -> None:
    follower, heard = bench.join()
    bench.deploy("1")
    wait_until(lambda: served(follower) == ("1", None))
    before = follower.serving
    bench.log.append(stage(_harmed(bench, harm), bench.paths["2"], "bad"))
    wait_until(lambda: ("bad", Phase.REJECTED) in heard.answers())
    assert heard.statuses[-1].reason
    assert heard.statuses[-1].serving == bench.refs["1"]
    wait_until(lambda: bool(heard.audits))  # written after the status
    assert [(record.action, record.actor, record.command_id) for record in heard.audits] == [("reject", "w1", "bad")]
    assert follower.serving is before
    bench.deploy("3")
    wait_until(lambda: served(follower) == ("3", "1"))


def _harmed(bench: Bench, harm: str) -> ModelRef:
    """Spoil the file of model 2; its new digest is announced, unless the digest is what is wrong."""
    from models import archive

    path = bench.paths["2"]
    match harm:
        case "corrupt":
            data = bytearray(path.read_bytes())
            data[len(data) // 2] ^= 1
            path.write_bytes(data)
            return bench.refs["2"]
        case "absent":
            path.unlink()
            return bench.refs["2"]
        case "no model":
            path.write_bytes(b"not a model")
        case "wrong golden row":
            tiny_model(path, "2", golden_error=1.0)
        case "pickle":
            path.write_bytes(b"cos\nsystem\n(S'false'\ntR.")
    return ModelRef("tiny", "2", archive.read(path).sha256)


def test_a_stage_is_answered_once(bench: Bench, wait_until: Wait) -> None:
    _, heard = bench.join()
    bench.paths["2"].unlink()
    bench.log.append(stage(bench.refs["2"], bench.paths["2"], "gone"), b"noise", b"noise")
    wait_until(lambda: heard.answers() == [("gone", Phase.REJECTED)])
    bench.log.append(stage(bench.refs["1"], bench.paths["1"], "s1"))
    wait_until(lambda: heard.answers() == [("gone", Phase.REJECTED), ("s1", Phase.STAGED)])


def test_the_same_model_from_a_better_place_is_not_judged_by_the_old_failure(bench: Bench, wait_until: Wait) -> None:
    _, heard = bench.join()
    bench.log.append(stage(bench.refs["2"], bench.folder / "elsewhere.pt", "wrong"))
    wait_until(lambda: heard.answers() == [("wrong", Phase.REJECTED)])
    bench.log.append(stage(bench.refs["2"], bench.paths["2"], "right"))
    wait_until(lambda: heard.answers()[1:] == [("right", Phase.STAGED)])


def test_a_worker_that_joins_late_serves_the_same_and_can_roll_back(bench: Bench, wait_until: Wait) -> None:
    bench.deploy("1")
    bench.deploy("2")
    bench.log.append(b"noise", rollback("r1"))
    bench.deploy("3")
    early, _ = bench.join("early")
    late, _ = bench.join("late")
    wait_until(lambda: early.caught_up and late.caught_up)
    assert served(early) == served(late) == ("3", "1")
    bench.log.append(rollback("r2"))
    wait_until(lambda: served(early) == served(late) == ("1", None))


def test_a_worker_that_joins_neither_serves_nor_loads_what_the_log_no_longer_prescribes(
    bench: Bench, wait_until: Wait
) -> None:
    for version in "123":
        bench.deploy(version)
    follower, _ = bench.join(silent_polls=60)
    seen: set[tuple[str, str | None] | None] = set()
    wait_until(lambda: seen.add(served(follower)) or follower.caught_up)
    wait_until(lambda: len(follower.warm.digests) == 2)
    assert seen - {None} <= {("3", "2")}
    cached = {path.stem for path in (bench.folder / "cache-w1").iterdir()}
    assert cached == {bench.refs["2"].sha256, bench.refs["3"].sha256}


def test_a_previous_model_that_cannot_be_loaded_keeps_nobody_from_serving(bench: Bench, wait_until: Wait) -> None:
    bench.deploy("1")
    bench.deploy("2")
    bench.paths["1"].unlink()
    follower, _ = bench.join()
    wait_until(lambda: follower.caught_up)
    assert served(follower) == ("2", "1")


def test_a_joining_worker_that_cannot_load_what_serves_says_so_and_retries(bench: Bench, wait_until: Wait) -> None:
    bench.deploy("1")
    hidden = bench.paths["1"].rename(bench.folder / "hidden")
    follower, _ = bench.join()
    wait_until(lambda: follower.rollout.serving and follower.warm.failure(follower.rollout.serving))
    assert not follower.caught_up
    hidden.rename(bench.paths["1"])
    wait_until(lambda: served(follower) == ("1", None))


def test_models_that_nobody_needs_are_released(bench: Bench, wait_until: Wait) -> None:
    follower, heard = bench.join()
    for n in range(4):
        bench.deploy("1", f"a{n}")
        bench.deploy("2", f"b{n}")
        bench.deploy("3", f"c{n}")
        wait_until(lambda n=n: follower.serving is not None and follower.serving.command_id == f"activate-c{n}")
    bench.log.append(stage(bench.refs["1"], bench.paths["1"], "last"))
    wait_until(lambda: ("last", Phase.STAGED) in heard.answers())
    assert follower.warm.digests == {bench.refs[v].sha256 for v in "123"}
    bench.log.append(rollback("drop"))
    wait_until(lambda: follower.warm.digests == {bench.refs[v].sha256 for v in "23"})


def test_the_reference_of_any_model_that_the_log_named_can_be_had(bench: Bench, wait_until: Wait) -> None:
    for version in "123":
        bench.deploy(version)
    follower, _ = bench.join()
    wait_until(lambda: follower.caught_up)
    assert [follower.warm.reference(bench.refs[v].sha256).version for v in "123"] == ["1", "2", "3"]
    assert follower.warm.reference("0" * 64) is None


@pytest.mark.parametrize(
    ("settings", "compared"),
    [
        ({"guard_watch_s": 300.0}, True),
        ({"guard_watch_s": 60.0}, False),
        ({"guard_watch_s": 0.0}, False),
        ({"guard_watch_s": 300.0, "guard": GuardMode.OFF}, False),
    ],
)
def test_a_new_model_is_compared_with_the_one_before_for_as_long_as_is_set(
    bench: Bench, settings: dict[str, Any], compared: bool
) -> None:
    """The swap was 100 s ago."""
    for version in "12":
        commands = stage(bench.refs[version], bench.paths[version], version), activate(version)
        bench.log.append(*commands, at=datetime.now(UTC) - timedelta(seconds=100))
    own = Settings(model_cache=bench.folder / "cache", **settings)
    follower = connect(own, Heard(), Metrics(CollectorRegistry()))
    follower.read(bench.log.records, True)
    for _ in range(2):
        follower.load_missing()
    assert served(follower) == ("2", "1")
    assert follower.serving is not None
    assert (follower.serving.second is not None) is compared


@pytest.mark.parametrize("is_recalibration", [True, False])
def test_a_model_that_was_calibrated_anew_is_not_compared_with_the_one_before(
    bench: Bench, is_recalibration: bool
) -> None:
    old = archive.read(bench.paths["1"])
    calibration = replace(old.manifest.calibration, threshold=1.5)
    base = old if is_recalibration else archive.read(bench.paths["2"])
    new = base.described_by(replace(base.manifest, version="1b", calibration=calibration))
    bench.paths["1b"], bench.refs["1b"] = bench.folder / "1b.pt", new.ref
    bench.paths["1b"].write_bytes(new.content)
    for version in ("1", "1b"):
        bench.deploy(version)
    own = Settings(model_cache=bench.folder / "cache", guard_watch_s=300.0)
    follower = connect(own, Heard(), Metrics(CollectorRegistry()))
    follower.read(bench.log.records, True)
    for _ in range(2):
        follower.load_missing()
    assert served(follower) == ("1b", "1")
    assert follower.serving is not None
    assert (follower.serving.second is None) is is_recalibration
