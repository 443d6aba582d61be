import numpy as np
import pytest

from models.calibration import calibrate
from models.manifest import Manifest


@pytest.fixture(scope="module")
def samples() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    return rng.pareto(3.0, 10_000) + 1, rng.pareto(3.0, 1_000_000) + 1


@pytest.mark.parametrize("budget", [0.05, 0.01, 0.005, 0.001])
def test_a_budget_buys_about_that_many_alerts_on_new_rows(samples, budget):
    known, new = samples
    threshold = calibrate(known, budget).threshold
    assert (new >= threshold).mean() == pytest.approx(budget, rel=0.35)


@pytest.mark.parametrize("p_value", [0.5, 0.1, 0.01, 1e-3, 1e-4, 1e-5])
def test_p_values_are_the_share_of_new_rows_as_strange_or_stranger_even_beyond_the_calibration_rows(samples, p_value):
    known, new = samples
    score = np.quantile(new, 1 - p_value)
    assert calibrate(known, 0.01).p_values(np.array([score]))[0] == pytest.approx(p_value, rel=0.6)


def test_the_threshold_has_the_budget_as_its_p_value(samples):
    calibration = calibrate(samples[0], 0.01)
    assert calibration.p_values(np.array([calibration.threshold]))[0] == pytest.approx(0.01, rel=1e-6)


def test_p_values_fall_with_the_score_and_stay_in_zero_to_one(samples):
    p_values = calibrate(samples[0], 0.01).p_values(np.array([0.0, 1.0, 2.0, 50.0, 1e9, 3e38]))
    assert (np.diff(p_values) <= 0).all()
    assert p_values[0] == 1.0
    assert 0 < p_values[-1] <= 1e-6


def test_scores_that_are_all_the_same_can_be_calibrated():
    calibration = calibrate(np.ones(500), 0.01)
    assert calibration.threshold >= 1.0
    assert calibration.p_values(np.array([0.5]))[0] == 1.0


def test_the_calibration_survives_the_manifest(trained):
    manifest = Manifest.decode(trained.manifest.encode())
    assert manifest.calibration == trained.manifest.calibration
