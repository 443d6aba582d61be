import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from scipy.stats import norm
from scipy.stats import t as student_t

from models.data.windows import FEATURES
from models.inputs import matrix
from models.network import Preprocessing
from models.recipe import TrainingConfig
from models.runtime import Runtime
from models.training import fit
from schemas.definition import Definition, EventFields, Input, Window

COLUMNS = 1 + len(FEATURES)
RATIO = Definition(
    "ratio",
    EventFields("id", "at", "card"),
    (
        Input("amount", "amount", "EUR", "reject", transform="ratio", relative_to="usual"),
        Input("usual", "features.usual", "EUR"),
        Input("count", "features.count", "1", transform="sqrt"),
    ),
)
WEEK = Window("card", "count", "7d")
DEVIATION = Definition(
    "deviation",
    EventFields("id", "at", "card"),
    (
        Input("amount", "amount"),
        Input("strange", window=Window("card", "deviation", "7d", "amount")),
        Input("count", window=WEEK),
    ),
)
CREDIBLE = Definition(
    "credible",
    EventFields("id", "at", "card"),
    (
        Input("amount", "amount", transform="ratio", relative_to="usual"),
        Input("usual", window=Window("card", "mean", "7d", "amount")),
        Input("count", window=WEEK),
    ),
)


def any_rows(**elements: object) -> st.SearchStrategy:
    shapes = array_shapes(min_dims=2, max_dims=2, min_side=COLUMNS, max_side=COLUMNS)
    return arrays(np.float32, shapes, elements=st.floats(width=32, allow_nan=True, **elements))


@given(rows=any_rows(allow_infinity=True))
@settings(max_examples=100)
def test_no_row_whatever_gets_an_output_that_is_not_finite(runtime: Runtime, rows: np.ndarray):
    scored = runtime.score(rows)
    for name in type(scored).__slots__:
        assert np.isfinite(getattr(scored, name)).all(), name


@given(rows=any_rows(allow_infinity=False))
@settings(max_examples=50)
def test_contributions_are_not_negative_and_sum_to_the_score(runtime: Runtime, rows: np.ndarray):
    scored = runtime.score(rows)
    assert (scored.contributions >= 0).all()
    np.testing.assert_allclose(scored.contributions.sum(axis=1), scored.score, rtol=1e-5)


@pytest.mark.parametrize("column", range(COLUMNS), ids=["amount", *FEATURES])
@pytest.mark.parametrize("value", [1e4, 1e9, 1e30, 3.4e38, -1e9, -3.4e38])
def test_one_input_far_out_of_range_is_an_anomaly_and_its_own_reason(runtime: Runtime, week, column, value):
    rows = matrix(week[:50], runtime.manifest.inputs)
    rows[:, column] = value
    scored = runtime.score(rows)
    denominator = [entry.name for entry in runtime.manifest.inputs].index("customer_avg_amount_30d")
    assert (scored.score > runtime.manifest.calibration.threshold).all()
    if column != denominator:
        assert (scored.contributions.argmax(axis=1) == column).all()


@pytest.mark.parametrize("name", ["amount", "customer_nb_tx_7d", "terminal_risk_7d"])
def test_what_is_expected_does_not_follow_an_outlier_however_far_it_is(runtime: Runtime, week, name):
    column = [entry.name for entry in runtime.manifest.inputs].index(name)
    rows = np.repeat(matrix(week[:1], runtime.manifest.inputs), 3, axis=0)
    rows[:, column] = [1e5, 1e7, 1e30]
    reconstruction = runtime.score(rows).reconstruction
    np.testing.assert_allclose(reconstruction, reconstruction[:1].repeat(3, axis=0), rtol=1e-5, atol=1e-4)


def test_a_score_does_not_depend_on_the_batch_that_the_row_is_in(runtime: Runtime, week):
    rows = matrix(week[:1024], runtime.manifest.inputs)
    rows[::7, 3] = np.nan
    together = runtime.score(rows).score
    for size in (1, 3, 64, 1000):
        apart = np.concatenate([runtime.score(rows[i : i + size]).score for i in range(0, len(rows), size)])
        np.testing.assert_allclose(apart, together, rtol=1e-5)
    backwards = runtime.score(rows[::-1]).score[::-1]
    np.testing.assert_allclose(backwards, together, rtol=1e-5)


def test_an_empty_batch_has_empty_outputs(runtime: Runtime):
    assert runtime.score(np.empty((0, COLUMNS), dtype=np.float32)).score.shape == (0,)


def test_a_missing_input_contributes_nothing_and_the_others_still_do(runtime: Runtime, week):
    rows = matrix(week[:200], runtime.manifest.inputs)
    rows[:, 4] = np.nan
    scored = runtime.score(rows)
    assert (scored.contributions[:, 4] == 0).all()
    assert (scored.residual[:, 4] == 0).all()
    assert (scored.score > 0).all()


def test_what_is_expected_is_in_the_inputs_own_units(runtime: Runtime, week):
    rows = matrix(week, runtime.manifest.inputs)
    scored = runtime.score(rows)
    for column, entry in enumerate(runtime.manifest.inputs):
        if entry.name.startswith(("customer_nb", "customer_avg")):
            assert np.corrcoef(rows[:, column], scored.reconstruction[:, column])[0, 1] > 0.8, entry.name


def test_the_amount_expected_follows_what_the_customer_usually_spends(runtime: Runtime, week):
    """200 is no surprise from one who spends 200; from one who spends 20 it is, and about 20 are expected."""
    names = [entry.name for entry in runtime.manifest.inputs]
    row = np.median(matrix(week, runtime.manifest.inputs), axis=0)
    averages = [names.index(f"customer_avg_amount_{days}d") for days in (1, 7, 30)]
    big, small = row.copy(), row.copy()
    big[averages], small[averages] = 80.0, 20.0
    big[0] = small[0] = 90.0
    scored = runtime.score(np.stack([big, small]))
    assert scored.contributions[1, 0] > 10 * scored.contributions[0, 0]
    assert scored.reconstruction[1, 0] < 60


def rows_for_ratio() -> np.ndarray:
    rng = np.random.default_rng(0)
    usual = rng.uniform(10, 90, 3000)
    rows = np.stack([usual * rng.normal(1, 0.3, 3000), usual, rng.poisson(5, 3000)], axis=1)
    return rows.astype(np.float32)


def test_preprocessing_standardises_what_it_transforms_and_inverts_it():
    rows = rows_for_ratio()
    preprocessing = Preprocessing(RATIO, rows)
    standardised, relative_to = preprocessing(torch.from_numpy(rows))
    np.testing.assert_allclose(standardised.mean(0), 0, atol=1e-4)
    np.testing.assert_allclose(standardised.std(0), 1, atol=1e-3)
    expected = np.sqrt(rows[:, 2])
    np.testing.assert_allclose(standardised[:, 2], (expected - expected.mean()) / expected.std(ddof=1), atol=1e-4)
    ratio = rows[:, 0] / rows[:, 1]
    np.testing.assert_allclose(standardised[:, 0], (ratio - ratio.mean()) / ratio.std(ddof=1), atol=1e-3)
    np.testing.assert_allclose(preprocessing.invert(standardised, relative_to), rows, rtol=1e-3, atol=1e-3)


def test_a_ratio_to_nothing_or_to_a_missing_value_is_one_to_a_floor_or_to_the_median():
    rows = rows_for_ratio()
    preprocessing = Preprocessing(RATIO, rows)
    median = float(np.median(rows[:, 1]))
    probes = torch.tensor([[30.0, float("nan"), 5.0], [30.0, 0.0, 5.0], [30.0, -5.0, 5.0]])
    _, relative_to = preprocessing(probes)
    np.testing.assert_allclose(relative_to[:, 0], [median, 0.01 * median, 0.01 * median], rtol=1e-5)


@pytest.mark.parametrize("value", [0.0, 0.1, 4.0, 1e7])
@pytest.mark.parametrize("moved", [0.0, 1.0000001, 1.01, 2.0, 1e6])
def test_an_input_that_never_varied_in_training_adds_a_bounded_part_when_it_does(value: float, moved: float):
    rows = rows_for_ratio()
    rows[:, 2] = value
    graph = fit(rows, RATIO, TrainingConfig(epochs=2))
    changed = rows[:50].copy()
    changed[:, 2] = moved * value if value else moved
    (usual, _, before, *_), (score, contributions, after, *_) = (
        graph(torch.from_numpy(r)) for r in (rows[:50], changed)
    )
    np.testing.assert_allclose(contributions.sum(axis=1), score, rtol=1e-5)
    np.testing.assert_allclose(after, before)
    np.testing.assert_allclose(after[:, 2], value, rtol=1e-6)
    assert (score - usual <= 1 / 3 + 1e-4).all()
    if moved in (0.0, 2.0) and value:
        np.testing.assert_allclose(contributions[:, 2], 1 / 3, rtol=1e-5)


def test_a_deviation_is_as_strange_as_it_is_rare_with_so_many_events():
    rng = np.random.default_rng(0)
    raw = np.stack([rng.normal(size=500), rng.normal(size=500), rng.integers(2, 90, 500)], axis=1).astype(np.float32)
    preprocessing = Preprocessing(DEVIATION, raw)
    counts = np.array([3, 6, 11, 31, 1001])
    deviations = student_t.isf(0.001, counts - 1) * np.sqrt(1 + 1 / counts)  # of each, one in a thousand is beyond
    rows = torch.tensor(np.stack([0 * counts, deviations, counts], axis=1), dtype=torch.float32)
    standardised, beside = preprocessing(rows)
    deviates = standardised[:, 1] * preprocessing.std[1] + preprocessing.mean[1]
    np.testing.assert_allclose(deviates, norm.isf(0.001), rtol=0.16)
    np.testing.assert_allclose(preprocessing.invert(standardised, beside)[:, 1], deviations, rtol=1e-3)


@given(arrays(np.float32, (20, 3), elements=st.floats(width=32, allow_nan=True, allow_infinity=True)))
@settings(max_examples=100)
def test_no_deviation_whatever_leaves_what_is_finite(rows: np.ndarray):
    known = np.tile(np.array([[1, 0.5, 4], [2, -1, 9], [3, 2, 30]], dtype=np.float32), (10, 1))
    preprocessing = Preprocessing(DEVIATION, known)
    standardised, beside = preprocessing(torch.from_numpy(rows))
    assert standardised.isfinite().all()
    assert preprocessing.invert(standardised, beside).isfinite().all()


def test_a_ratio_to_a_mean_of_few_events_is_one_to_what_entities_are_usually_like():
    rng = np.random.default_rng(0)
    level = rng.uniform(5, 100, 3000)  # of entities; their values spread by half of it
    count = rng.integers(0, 60, 3000)
    mean = level + level / 2 * rng.normal(size=3000) / np.sqrt(np.maximum(count, 1))
    mean[count == 0] = np.nan
    amount = level + level / 2 * rng.normal(size=3000)
    preprocessing = Preprocessing(CREDIBLE, np.stack([amount, mean, count], axis=1).astype(np.float32))
    rows = torch.tensor([[100, np.nan, 0], [100, 10, 1], [100, 10, 1000]], dtype=torch.float32)
    standardised, beside = preprocessing(rows)
    prior, k = 52.5, (52.5**2 + 752) / 4 / 752  # of the uniform levels
    expected = [prior, (10 + k * prior) / (1 + k), (10_000 + k * prior) / (1000 + k)]
    np.testing.assert_allclose(beside[:, 0], expected, rtol=0.15)
    np.testing.assert_allclose(preprocessing.invert(standardised, beside)[:, 0], 100, rtol=1e-4)
