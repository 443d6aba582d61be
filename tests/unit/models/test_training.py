import re
from datetime import UTC, datetime

import numpy as np
import polars as pl
import pytest
import torch
from msgspec.structs import replace

from models import artefact
from models.data.frame import digest
from models.definition import DefinitionError, cards
from models.fitting import fit
from models.inputs import matrix
from models.recipe import TrainingConfig, load_config
from models.runtime import run
from models.training import TrainingError, frauds_above_budget, train

pytestmark = pytest.mark.slow

QUICK = TrainingConfig(epochs=2)


def scores(frame: pl.DataFrame, config: TrainingConfig, rows: np.ndarray) -> np.ndarray:
    graph, _ = train(frame, cards(), config, "m", "1")
    with torch.inference_mode():
        found: np.ndarray = graph(torch.from_numpy(rows))[0].numpy()
    return found


def late(week: pl.DataFrame, since: float) -> pl.Expr:
    """A feature that nobody computed before."""
    return pl.when(pl.int_range(pl.len()) >= since * week.height).then("terminal_risk_1d").otherwise(float("nan"))


def test_an_input_that_is_there_in_what_is_fitted_alone_is_no_obstacle(week):
    frame = week.with_columns(terminal_risk_1d=late(week, 0.2))
    assert train(frame, cards(), QUICK, "m", "1")[1].rows == week.height


def test_the_loss_falls_and_is_told_after_each_epoch(trained):
    assert len(trained.losses) == 4
    assert trained.losses[-1] < trained.losses[0] / 2


def test_same_seed_and_data_give_the_same_scores_and_another_seed_others(week):
    rows = matrix(week[:500], cards().inputs)
    first, second, other = (scores(week, TrainingConfig(epochs=2, seed=seed), rows) for seed in (3, 3, 4))
    np.testing.assert_array_equal(first, second)
    assert np.abs(first / other - 1).max() > 0.01


def test_training_leaves_the_global_random_numbers_and_threads_alone(week):
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    threads = torch.get_num_threads()
    train(week, cards(), QUICK, "m", "1")
    assert torch.equal(torch.rand(3), expected)
    assert torch.get_num_threads() == threads


def test_what_a_label_calls_fraud_is_left_out_of_the_fitting_and_labels_are_never_targets(week):
    rows, fitted = matrix(week, cards().inputs), int(week.height * 0.85)
    legitimate = ~week["fraud"].to_numpy()[:fitted]
    graph = fit(rows[:fitted][legitimate], cards(), replace(QUICK, trim=0.0))
    np.testing.assert_array_equal(scores(week, QUICK, rows[:500]), run(graph, rows[:500]).score)


def test_labels_of_the_rows_that_are_held_out_enter_the_metrics_alone(week):
    later = pl.int_range(pl.len()) >= int(week.height * 0.85)
    relabelled = week.with_columns(
        fraud=pl.col("fraud") ^ later, fraud_scenario=pl.when(later).then(0).otherwise("fraud_scenario").cast(pl.Int8)
    )
    (_, one), (_, other) = (train(frame, cards(), QUICK, "m", "1") for frame in (week, relabelled))
    assert one.calibration == other.calibration
    assert one.signals == other.signals
    assert one.metrics != other.metrics


def test_the_manifest_says_where_the_model_comes_from(week):
    now = datetime(2026, 3, 1, tzinfo=UTC)
    _, manifest = train(week, cards(), TrainingConfig(epochs=2, seed=9), "fraud", "12", now=now)
    assert (manifest.name, manifest.version, manifest.created_at, manifest.seed) == ("fraud", "12", now, 9)
    assert manifest.data_sha256 == digest(week)
    assert manifest.rows == week.height
    assert datetime.fromisoformat(manifest.trained_from) == week["event_time"][0]
    assert datetime.fromisoformat(manifest.trained_until) == week["event_time"][-1]
    assert manifest.training["epochs"] == 2
    assert manifest.libraries["torch"] == torch.__version__.partition("+")[0]
    assert set(manifest.metrics) == {"model", "random", "amount", "isolation_forest"}


def test_a_week_without_frauds_trains_a_model_without_metrics(week):
    _, manifest = train(week.filter(~pl.col("fraud")), cards(), QUICK, "m", "1")
    assert manifest.metrics == {}


def test_the_alert_budget_is_kept_on_rows_that_the_model_has_not_seen(week, trained):
    held_out = week[int(week.height * 0.85) :]
    alerts = trained.runtime.score(matrix(held_out, trained.manifest.inputs)).score
    assert (alerts >= trained.manifest.calibration.threshold).mean() == pytest.approx(0.01, rel=0.3)


def test_more_known_frauds_than_may_alert_where_the_threshold_comes_from_are_told_with_what_to_do(week):
    first = pl.int_range(pl.len())
    many = week.with_columns(fraud=first % 40 == 0)
    told = frauds_above_budget(many, QUICK)
    assert told.startswith(f"2.50% of the last {week.height - int(week.height * 0.85):,} events are labelled as frauds")
    assert '--budget "5 %"' in told
    assert not frauds_above_budget(many, replace(QUICK, budget=0.05))
    assert not frauds_above_budget(many.with_columns(fraud=(first < 100) & pl.col("fraud")), QUICK)  # before it
    assert not frauds_above_budget(week.drop("fraud"), QUICK)


def test_a_budget_in_words_is_kept_in_the_calibration_beside_the_share_that_it_is(week):
    days = (week["event_time"][-1] - week["event_time"][0]).total_seconds() / 86_400
    calibration = train(week, cards(), replace(QUICK, budget="20 a day"), "m", "1")[1].calibration
    assert (calibration.promise, calibration.budget) == ("20 a day", pytest.approx(20 * days / week.height))
    assert train(week, cards(), replace(QUICK, budget="2 %"), "m", "1")[1].calibration.budget == 0.02


def test_missing_values_in_the_training_rows_are_no_obstacle(week, tmp_path):
    gaps = week.with_columns(
        pl.when(pl.int_range(pl.len()) % 5 == 0)
        .then(float("nan"))
        .otherwise(pl.col("terminal_risk_7d"))
        .alias("terminal_risk_7d")
    )
    graph, manifest = train(gaps, cards(), QUICK, "m", "1")
    path = tmp_path / "m.pt"
    sha256 = artefact.save(path, graph, manifest)
    assert np.isfinite(artefact.load(path, sha256).score(matrix(gaps, manifest.inputs)).score).all()


@pytest.mark.parametrize(
    ("spoil", "complaint"),
    [
        (lambda week: week[:100], "100 events are too few"),
        (lambda week: week.with_columns(terminal_risk_1d=float("nan")), "terminal_risk_1d has no value in any row"),
        (
            lambda week: week.with_columns(terminal_risk_1d=late(week, 0.9)),
            "terminal_risk_1d has no value in the first",
        ),
        (lambda week: week.with_columns(terminal_risk_1d=float("inf")), "terminal_risk_1d holds infinite values"),
    ],
)
def test_what_cannot_be_trained_on_is_refused_in_one_line(week, spoil, complaint):
    with pytest.raises(TrainingError, match=complaint):
        train(spoil(week), cards(), QUICK, "m", "1")


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("[training]\nepochs = 0", "[training], field epochs: Expected `int` >= 1"),
        ("[training]\nepoch = 3", "[training], field epoch: is not known: did you mean epochs?"),
        ("[training]\nbudget = 2.0", "[training], field budget: Expected `float` < 1"),
        ("training = 3", "[training]: a table is needed"),
    ],
)
def test_a_wrong_configuration_is_refused_in_one_line_that_names_the_field(tmp_path, text, complaint):
    path = tmp_path / "config.toml"
    path.write_text(text)
    with pytest.raises(DefinitionError, match=re.escape(complaint)):
        load_config(path)


def test_a_configuration_is_read_and_a_seed_given_apart_wins(tmp_path):
    path = tmp_path / "config.toml"
    path.write_text("[training]\nepochs = 3\nseed = 1\n")
    assert load_config(path) == TrainingConfig(epochs=3, seed=1)
    assert load_config(path, seed=0) == TrainingConfig(epochs=3, seed=0)
    assert load_config() == TrainingConfig()
