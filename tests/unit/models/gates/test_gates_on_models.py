"""Gates that run the model: robustness and cost, on graphs that are jumpy, blind, slow or large on purpose."""

import dataclasses
from datetime import date
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch
from msgspec.structs import replace

from models import artefact
from models.data.simulator import Simulation, simulate
from models.definition import cards
from models.gates import cost, robustness
from models.gates.judge import without_data
from models.inputs import matrix
from models.recipe import TrainingConfig
from models.runtime import Runtime, torchscript
from models.training import train
from schemas.definition import Input, Window
from stream_app.testing.tiny_model import TinyGraph, tiny_model
from tests.unit.models.gates.gate_sides import limits

ROWS = np.random.default_rng(0).uniform(0, 4, (4000, 2)).astype(np.float32)


@pytest.fixture
def tiny(tmp_path: Path) -> Runtime:
    tiny_model(tmp_path / "1.pt", "1")
    return artefact.load(tmp_path / "1.pt")


def altered(tiny: Runtime, graph: torch.nn.Module) -> Runtime:
    with torchscript():
        return Runtime(tiny.manifest, "0" * 64, torch.jit.freeze(torch.jit.script(graph.eval())))


class Jumpy(TinyGraph):
    """Its score hangs on the fourth digit."""

    def forward(self, inputs: torch.Tensor):
        score = 20 * (torch.floor(inputs[:, 0] * 1e4) % 2)
        wide = torch.zeros_like(inputs)
        return score, wide, wide, score.unsqueeze(1), wide, wide


class Blind(TinyGraph):
    """What is beyond 100 counts as 0."""

    def forward(self, inputs: torch.Tensor):
        seen = torch.where(inputs.abs() > 100, 0.0, inputs)
        score = seen.square().sum(dim=1)
        return score, seen, seen, score.unsqueeze(1), seen, seen


class Slow(TinyGraph):
    """Works for nothing."""

    def forward(self, inputs: torch.Tensor):
        waste = torch.ones((100, 100)) * inputs[0, 0].clamp(0, 1)  # what hangs on no input is folded away
        for _ in range(600):
            waste = waste @ waste / 200
        score = inputs.square().sum(dim=1) + 0 * waste[0, 0]
        return score, inputs, inputs, score.unsqueeze(1), inputs, inputs


class Large(TinyGraph):
    """Carries parameters for nothing."""

    def __init__(self) -> None:
        super().__init__(0.0)
        self.register_buffer("ballast", torch.randn(5_000_000))

    def forward(self, inputs: torch.Tensor):
        score = inputs.square().sum(dim=1) + 0 * self.ballast[inputs[0, 0].long().clamp(0, 1)]
        return score, inputs, inputs, score.unsqueeze(1), inputs, inputs


def flips(model: Runtime) -> float:
    return float(robustness.flipped(model, ROWS, 0.01, np.random.default_rng(1)).mean())


def passing(model: Runtime) -> list[float]:
    return robustness.unnoticed(model, ROWS[:50], np.full(2, 4, np.float32), 1000).tolist()


def test_small_moves_flip_the_decisions_of_a_jumpy_model_alone(tiny):
    assert flips(tiny) < 0.02
    assert flips(altered(tiny, Jumpy(0.0))) > 0.2


def test_absurd_values_pass_a_blind_model_alone(tiny):
    assert passing(tiny) == [0, 0]
    assert min(passing(altered(tiny, Blind(0.0)))) > 0.5


def test_no_fraudster_sends_what_is_computed_here_so_a_window_is_not_asked_for(tiny):
    blind = altered(tiny, Blind(0.0))
    definition = blind.manifest.definition
    window = Input("count", window=Window("customer_id", "count", "1h"))
    computed = replace(blind.manifest, definition=replace(definition, inputs=(window, window)))
    sent = robustness._unnoticed_measure(blind, ROWS[:50], np.full(2, 400, np.float32), limits())
    here = robustness._unnoticed_measure(
        dataclasses.replace(blind, manifest=computed), ROWS[:50], np.full(2, 400), limits()
    )
    assert sent.value is not None
    assert (sent.value > 0.5, here.value) == (True, None)


def test_a_score_that_is_no_number_counts_as_unnoticed(tiny):
    class Undefined(TinyGraph):
        def forward(self, inputs: torch.Tensor):
            score = inputs.square().sum(dim=1) * torch.where(inputs.max(dim=1)[0] > 100, float("nan"), 1.0)
            return score, inputs, inputs, score.unsqueeze(1), inputs, inputs

    assert passing(altered(tiny, Undefined(0.0))) == [1, 1]


def test_nothing_speaks_against_a_model_beside_itself(tiny):
    assert without_data(tiny, tiny, limits()) == []
    assert without_data(tiny, None, limits()) == []


def test_a_model_that_is_much_slower_is_refused_with_its_time(tiny):
    ours, theirs = cost.measure(altered(tiny, Slow(0.0)), tiny)
    assert ours.us_per_event > 50 * theirs.us_per_event
    (reason,) = without_data(altered(tiny, Slow(0.0)), tiny, limits())
    assert reason.startswith("cost refused")
    assert "us per event" in reason


def test_a_model_that_is_much_larger_is_refused_with_its_size(tiny):
    large = altered(tiny, Large())
    assert cost.measure(large, tiny)[0].mebibytes > 19
    assert "MiB" in cost.gate(large, tiny, limits()).sentence
    assert not cost.gate(large, tiny, limits()).passes


def test_a_slow_model_is_not_timed_for_long(tiny):
    """A clock that says that a minute has gone with each look."""
    minutes = iter(range(0, 100_000, 60))
    ours, _ = cost.measure(tiny, tiny, clock=lambda: float(next(minutes)))
    assert ours.us_per_event == pytest.approx(60 / 1024 * 1e6)
    assert next(minutes) < 60 * 40


def test_a_model_of_weekdays_alone_may_serve_and_a_weekend_is_no_flood_of_anomalies(tmp_path: Path):
    """The flag of the weekend had one value in training: nothing is known that it could be far from."""
    days = simulate(Simulation(days=6, start=date(2018, 4, 2), customers=500))
    weekdays, saturday = (days.filter(pl.col("during_weekend") == flag) for flag in (0, 1))
    graph, manifest = train(weekdays, cards(), TrainingConfig(epochs=3), "m", "1")
    assert manifest.constant == ["during_weekend"]
    sha256 = artefact.save(tmp_path / "m.pt", graph, manifest)
    model = artefact.load(tmp_path / "m.pt", sha256)
    assert without_data(model, None, limits()) == []
    scores = model.score(matrix(saturday, manifest.inputs)).score
    assert (scores >= manifest.calibration.threshold).mean() < 0.05
