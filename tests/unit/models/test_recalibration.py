"""A model that was calibrated anew scores as before, keeps its budget, and is judged by that alone."""

import dataclasses
from datetime import UTC, datetime
from types import SimpleNamespace

import numpy as np
import polars as pl
import pytest
from msgspec.structs import replace

from models import archive, artefact
from models.budget import BudgetError
from models.definition import cards
from models.evaluation import score_in_batches
from models.gates.comparison import compare
from models.gates.judge import judge
from models.gates.limits import load_limits
from models.inputs import matrix
from models.manifest import Category
from models.recalibration import recalibrate
from models.recipe import TrainingConfig
from models.reference import golden_rows
from models.training import TrainingError, train

pytestmark = pytest.mark.slow

NOW = datetime(2026, 11, 28, 15, 0, tzinfo=UTC)


@pytest.fixture(scope="module")
def dearer(week: pl.DataFrame) -> pl.DataFrame:
    """Days on which everything costs half as much again."""
    return week.with_columns(pl.col("amount") * 1.5, pl.col("^customer_avg_amount_.*$") * 1.5)


@pytest.fixture(scope="module")
def old(trained: SimpleNamespace) -> archive.Archive:
    return archive.read(trained.path)


def alert_rate(model: archive.Archive, frame: pl.DataFrame) -> float:
    runtime = artefact.run(model)
    scores = score_in_batches(runtime, matrix(frame, runtime.manifest.inputs))
    return float((scores >= runtime.manifest.calibration.threshold).mean())


def test_the_budget_is_kept_on_the_new_days_and_nothing_but_the_calibration_is_another(old, dearer):
    new = recalibrate(old, dearer, now=NOW)
    assert alert_rate(old, dearer) > 0.013
    assert alert_rate(new, dearer) == pytest.approx(0.01, rel=0.02)
    assert new.graph_sha256 == old.graph_sha256
    assert new.sha256 != old.sha256
    assert (new.manifest.version, new.manifest.recalibrated.sha256) == ("1+20261128-150000", old.sha256)
    changed = {"version", "created_at", "calibration", "recalibrated"}
    for field in old.manifest.__struct_fields__:
        assert (getattr(new.manifest, field) != getattr(old.manifest, field)) == (field in changed), field
    assert recalibrate(new, dearer, now=NOW).manifest.version == "1+20261128-150000"


def test_another_budget_may_be_asked_for_and_is_kept_the_next_time(old, dearer):
    days = (dearer["event_time"][-1] - dearer["event_time"][0]).total_seconds() / 86_400
    new = recalibrate(old, dearer, "30 a day", "2")
    assert alert_rate(new, dearer) * dearer.height / days == pytest.approx(30, rel=0.05)
    assert new.manifest.version == "2"
    assert recalibrate(new, dearer).manifest.calibration == new.manifest.calibration
    with pytest.raises(BudgetError):
        recalibrate(old, dearer, "a few")
    with pytest.raises(TrainingError, match="1,000 events are too few to calibrate on"):
        recalibrate(old, dearer[:1000])


def test_the_gates_compare_its_alerts_with_its_budget_and_not_with_those_before(old, dearer):
    new = recalibrate(old, dearer)
    limits = load_limits()
    easy = replace(limits.robustness, flips_most=0.2)  # the model of four epochs is a rough one
    limits = replace(limits, volume=replace(limits.volume, fewest_alerts=20), robustness=easy)

    def verdicts(candidate: archive.Archive, champion: archive.Archive) -> dict[str, bool]:
        report = judge(compare(artefact.run(candidate), artefact.run(champion), dearer, limits), limits)
        return {gate.name: gate.passes for gate in report.gates}

    assert verdicts(new, old) == {"alert volume": True, "robustness": True}
    assert not verdicts(old, new)["alert volume"]


def test_a_file_whose_graph_is_another_is_no_recalibration_whatever_its_manifest_says(old, dearer, tmp_path):
    new = recalibrate(old, dearer)
    graph, _ = train(dearer, cards(), TrainingConfig(epochs=1), "small", "1")
    artefact.save(tmp_path / "other.pt", graph, replace(new.manifest, golden=golden_rows(graph, np.ones((500, 15)))))
    other, claimed = artefact.load(tmp_path / "other.pt"), artefact.run(new)
    assert claimed.differs_in_calibration_alone(artefact.run(old))
    assert not other.differs_in_calibration_alone(artefact.run(old))
    reads_otherwise = dataclasses.replace(
        claimed, manifest=replace(claimed.manifest, categories={"x": Category({}, 0)})
    )
    assert not reads_otherwise.differs_in_calibration_alone(artefact.run(old))
