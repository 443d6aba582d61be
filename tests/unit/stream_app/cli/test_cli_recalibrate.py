"""A model is trained for a budget in words, and calibrated anew to other days: what is printed, and what is written."""

import json
from pathlib import Path

import polars as pl
import pytest

from models import archive
from models.data.frame import write
from models.data.simulator import Simulation, simulate
from tests.unit.stream_app.cli.cli_runner import stream_app


@pytest.fixture(scope="module")
def history(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Seven days with more frauds at their end than a budget of 10 a day has room for."""
    week = simulate(Simulation(days=7, customers=300, seed=1))
    path = tmp_path_factory.mktemp("history") / "week.parquet"
    write(week.with_columns(fraud=pl.int_range(pl.len()) % 20 == 0), path)
    return path


@pytest.fixture(scope="module")
def model(history: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("model")
    (folder / "quick.toml").write_text("[training]\nepochs = 1")
    path = folder / "1.pt"
    options = ("--config", folder / "quick.toml", "--budget", "10 a day", "--version", "1")
    trained = stream_app("train", history, "--out", path, "--detector", "cards", *options)
    assert trained.exit_code == 0, trained.stderr
    assert "are labelled as frauds" in trained.stderr
    return path


def test_other_days_and_another_budget_make_another_threshold_and_a_version_of_its_own(history, model, tmp_path):
    new = tmp_path / "new.pt"
    options = ("--model", model, "--detector", "cards", "--budget", "2 %", "--version", "1b")
    made = stream_app("recalibrate", history, "--out", new, *options, "--json")
    assert made.exit_code == 0, made.stderr
    told, (before, after) = json.loads(made.stdout), (archive.read(path) for path in (model, new))
    assert (told["version"], told["of"], told["sha256"]) == ("1b", before.sha256, after.sha256)
    assert told["threshold"] == after.manifest.calibration.threshold < before.manifest.calibration.threshold
    assert told["alert_rate_before"] == pytest.approx(before.manifest.calibration.budget, rel=0.5)

    sentence = stream_app("recalibrate", history, "--out", new, *options[:4]).stdout
    assert "for 10 a day, " in sentence
    assert f"next: stream-app deploy {new} --gate-data DATA" in sentence


def test_a_budget_that_is_none_is_refused_in_one_line(history, model, tmp_path):
    refused = stream_app("recalibrate", history, "--out", tmp_path / "x.pt", "--model", model, "--budget", "few")
    assert refused.exit_code == 1
    assert "'few' is no alert budget: write a share" in refused.stderr
    assert not (tmp_path / "x.pt").exists()
