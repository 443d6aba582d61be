"""The examples that are no payments go from their file to an anomaly with its reason, by their definition alone."""

import json
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from examples.machine.readings import readings
from examples.vitals.observations import observations
from examples.wallet.payments import lines, payments
from models import artefact
from models.data.frame import read
from models.data.proposal import propose
from models.definition import load
from models.evaluation import evaluate
from models.inputs import matrix
from models.recipe import TrainingConfig
from models.runtime import Runtime
from models.training import train

pytestmark = pytest.mark.slow

EXAMPLES = Path(__file__).parents[3] / "examples"
ODD = {
    # the last reading of a hoist that vibrates little: three times its own, which others have every day
    "machine": ("H-04", "sensors.vibration", lambda usual: 3 * usual),
    # a patient's temperature without its decimal point
    "vitals": ("4005", "temperature", lambda usual: 10 * usual),
}


def machine_file(folder: Path) -> Path:
    rows = [json.dumps(reading) for reading in readings(hoists=6, days=9, seed=1)]
    (folder / "readings.jsonl").write_text("\n".join(rows))
    return folder / "readings.jsonl"


def vitals_file(folder: Path) -> Path:
    observations(patients=80, days=20, seed=1).write_csv(folder / "observations.csv")
    return folder / "observations.csv"


@pytest.fixture(scope="module", params=[("machine", machine_file), ("vitals", vitals_file)], ids=["machine", "vitals"])
def example(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Path, pl.DataFrame]:
    name, write = request.param
    file = write(tmp_path_factory.mktemp(name))
    return name, file, read(file, definition=load(EXAMPLES / name / "detector.toml"))


@pytest.fixture(scope="module")
def model(example: tuple[str, Path, pl.DataFrame], tmp_path_factory: pytest.TempPathFactory) -> Runtime:
    name, _, frame = example
    early = frame[: int(0.7 * frame.height)]
    definition = load(EXAMPLES / name / "detector.toml")
    graph, manifest = train(early, definition, TrainingConfig(epochs=8), name, "1")
    path = tmp_path_factory.mktemp("model") / "1.pt"
    return artefact.load(path, artefact.save(path, graph, manifest))


def test_it_finds_what_is_wrong_better_than_an_isolation_forest_of_the_same_inputs(example, model):
    _, _, frame = example
    found = evaluate(model, frame[int(0.7 * frame.height) :])
    assert found.frauds > 10
    assert found.average_precision > max(found.baselines["isolation_forest"].average_precision, 0.4)
    assert found.alert_recall > 0.35


def test_the_reason_of_an_anomaly_names_what_is_wrong(example, model):
    name, _, frame = example
    entity, path, wrong = ODD[name]
    inputs = model.manifest.inputs
    column = next(place for place, entry in enumerate(inputs) if entry.path == path)
    deviation = next(place for place, entry in enumerate(inputs) if entry.window and entry.window.of == path)
    own = frame.filter(pl.col("entity") == entity)
    row = matrix(own[-1:], inputs)
    before = matrix(own, inputs)[:-1, column]
    value = wrong(float(np.nanmedian(before)))
    row[0, column], row[0, deviation] = value, (value - np.nanmean(before)) / np.nanstd(before)
    scored = model.score(row)
    assert scored.score[0] > model.manifest.calibration.threshold
    assert inputs[int(scored.contributions[0].argmax())].name.startswith(path.rpartition(".")[2])


def test_what_is_proposed_for_its_file_trains_as_it_is(example, tmp_path):
    _, file, _ = example
    (tmp_path / "detector.toml").write_text(propose(file))
    definition = load(tmp_path / "detector.toml")
    assert definition.windows
    assert definition.label is not None
    _, manifest = train(read(file, definition=definition), definition, TrainingConfig(epochs=8), "proposed", "1")
    assert manifest.metrics["model"].auc_roc > 0.6


def test_what_is_proposed_for_a_wallets_log_finds_its_frauds(tmp_path):
    """Nothing in it has a name or a shape that the project's own data have: the tutorial's file."""
    file = tmp_path / "payments.jsonl"
    file.write_text("\n".join(lines(payments(cards=250, days=24, seed=1, attacked=0.12))))
    (tmp_path / "detector.toml").write_text(propose(file))
    definition = load(tmp_path / "detector.toml")
    frame = read(file, definition=definition)
    early = int(0.7 * frame.height)
    graph, manifest = train(frame[:early], definition, TrainingConfig(epochs=8), "wallet", "1")
    artefact.save(tmp_path / "1.pt", graph, manifest)
    found = evaluate(artefact.load(tmp_path / "1.pt"), frame[early:])
    assert found.frauds > 20
    assert found.average_precision > found.baselines["isolation_forest"].average_precision
