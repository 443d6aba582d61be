"""Commands, kills, joins and restarts in random order on real workers: all who live end on what the log prescribes.

A sample, on real Kafka, of what `test_rollout_machine` tries 500 times on the state machine alone.
"""

import random
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import pytest

from models import archive
from schemas.topics import SCORES
from stream_app.rollout import commands
from stream_app.rollout.client import Order, Outcome
from stream_app.rollout.commands import models
from stream_app.settings import Settings
from stream_app.testing.tiny_model import tiny_model
from tests.known_stream import Trickle, Wait, proved
from tests.traffic import committed_offsets, committed_records
from tests.workers import Worker, running

pytestmark = [pytest.mark.kafka, pytest.mark.faults, pytest.mark.timeout(600)]

STEPS = 14
NAMES = ("a", "b", "c")
OWN = {"session_timeout_ms": 6000, "worker_lost_after_s": 3.0, "stage_timeout_s": 20.0, "publish_scores": True}
EFFECT_S = 6.0  # a command that waits for a worker which was killed is left to itself


class Stage:
    """Where it happens: models, of which one lies about its golden row, and at most three workers.

    Attributes:
        passed: Digests of the models that pass their checks.
        workers: Who lives, by name.
    """

    def __init__(self, settings: Settings, folder: Path, stack: ExitStack, chance: random.Random) -> None:
        self._settings, self._folder, self._stack, self._chance = settings, folder, stack, chance
        self.paths = [folder / f"{version}.pt" for version in "567"]
        waiting = archive.read(folder / "1.pt").sha256  # for its first worker
        self.passed = {waiting, *(tiny_model(path, path.stem).sha256 for path in self.paths)}
        tiny_model(folder / "8.pt", "8", golden_error=1.0)
        self.workers: dict[str, Worker] = {}

    def move(self) -> str:
        """Do something, and say what."""
        moves: dict[str, Callable[[], object]] = {
            "deploy": lambda: commands.deploy(self._settings, Order("test", timeout_s=EFFECT_S), self._any()),
            "deploy a broken one": self._deploy_broken,
            "shadow": lambda: commands.try_out(self._settings, Order("test", timeout_s=EFFECT_S), self._any(), None),
            "canary": lambda: commands.try_out(self._settings, Order("test", timeout_s=EFFECT_S), self._any(), 30.0),
            "promote": lambda: commands.promote(self._settings, Order("test", timeout_s=EFFECT_S)),
            "abort": lambda: commands.abort(self._settings, Order("test", timeout_s=EFFECT_S)),
            "rollback": lambda: commands.rollback(self._settings, Order("test", timeout_s=EFFECT_S)),
            "join": self.join,
            "kill": self.kill,
        }
        name = self._chance.choice(list(moves))
        outcome = moves[name]()
        return f"{name}: {getattr(outcome, 'sentence', outcome)}"

    def join(self) -> str:
        """One that does not live comes back under its own name; in silence where all live."""
        absent = [name for name in NAMES if name not in self.workers]
        if not absent:
            return "all are there"
        name = self._chance.choice(absent)
        self.workers[name] = self._stack.enter_context(running(self._settings, self._folder, worker_id=name, **OWN))
        return name

    def kill(self) -> str:
        """One of them, but never the last."""
        if len(self.workers) < 2:
            return "the last one stays"
        name = self._chance.choice(sorted(self.workers))
        self.workers.pop(name).kill()
        return name

    def _any(self) -> Path:
        return self._chance.choice(self.paths)

    def _deploy_broken(self) -> Outcome:
        return commands.deploy(self._settings, Order("test", timeout_s=EFFECT_S), self._folder / "8.pt")


@pytest.mark.parametrize("seed", range(3))
def test_all_live_workers_end_on_what_the_log_prescribes_and_nothing_unchecked_has_scored(
    stream: Settings, tmp_path: Path, wait_until: Wait, seed: int
) -> None:
    settings = stream.model_copy(update=OWN)
    chance, trickle = random.Random(seed), Trickle(settings)
    with ExitStack() as stack:
        stage = Stage(settings, tmp_path, stack, chance)
        stage.join()
        stage.join()
        for worker in stage.workers.values():
            worker.await_ready()
        for step in range(STEPS):
            trickle()
            print(f"seed {seed}, step {step}: {stage.move()}")  # noqa: T201
        wait_until(lambda: models(settings).rollout.pending is None, 60)
        prescribed = models(settings).rollout.serving
        assert prescribed is not None
        wait_until(lambda: {w.model() for w in stage.workers.values()} == {prescribed.model.sha256}, 60)
        trickle()
        wait_until(lambda: committed_offsets(settings) == trickle.sent, 90)
    assert proved(settings).dead_lettered == 0
    scored_by = {score.model_sha256 for score in committed_records(settings, SCORES)}
    assert prescribed.model.sha256 in scored_by
    assert scored_by <= stage.passed
