import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from scipy.stats import norm
from scipy.stats import t as student_t

from models.data.windows import FEATURES
from models.definition import complete
from models.fitting import fit
from models.inputs import matrix
from models.network import MOST_OF_CONSTANT, TAILS
from models.preprocessing import Preprocessing
from models.recipe import TrainingConfig
from models.runtime import Runtime
from schemas.definition import Definition, EventFields, Input, Window

COLUMNS = 1 + len(FEATURES)
RATIO = Definition(
    "ratio",
    EventFields("id", "at", "card"),
    (
        Input("amount", "amount", "EUR", "reject"),
        Input("usual", "features.usual", "EUR", role="window", usual_of=("amount",), over="30d", count="count"),
        Input("count", "features.count", "1/(30 d)", role="window", transform="sqrt"),
        Input("level", "level"),
    ),
)
WEEK = Window("card", "count", "7d")
DEVIATION = complete(
    Definition(
        "deviation",
        EventFields("id", "at", "card"),
        (
            Input("amount", "amount"),
            Input("strange", window=Window("card", "deviation", "7d", "amount")),
            Input("count", window=WEEK),
        ),
    )
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
            assert np.corrcoef(rows[:, column], scored.reconstruction[:, column])[0, 1] > 0.7, entry.name


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
    """What each card usually spends, over some 5 events of which the last is this one, and something that is 7."""
    rng = np.random.default_rng(0)
    level, count = rng.uniform(10, 90, 3000), rng.poisson(5, 3000) + 1
    amount = level * rng.uniform(0.4, 1.6, 3000)
    usual = level + (amount - level) / count
    return np.stack([amount, usual, count, np.full(3000, 7.0)], axis=1).astype(np.float32)


def shrunk(rows: np.ndarray) -> np.ndarray:
    """The mean of the others, and of one more event that is as usual as the mean over all events."""
    amount, usual, count = rows[:, :3].T.astype(np.float64)
    overall = (usual * count).sum() / count.sum()
    return (usual * count - amount + overall) / count


def test_a_value_is_seen_by_itself_and_beside_the_shrunk_mean_of_the_others():
    rows = rows_for_ratio()
    preprocessing = Preprocessing(RATIO, rows)
    standardised, beside, present, _ = preprocessing(torch.from_numpy(rows))
    assert present.all()
    features = [rows[:, 0] / shrunk(rows), shrunk(rows), np.sqrt(rows[:, 2]), None, rows[:, 0]]
    for place, expected in enumerate(features):
        if expected is not None:
            standard = (expected - expected.mean()) / expected.std(ddof=1)
            np.testing.assert_allclose(standardised[place], standard, atol=2e-3)
    restored = preprocessing.invert(standardised, beside).T
    np.testing.assert_allclose(restored[:, [0, 2, 3]], rows[:, [0, 2, 3]], rtol=1e-3, atol=1e-3)
    np.testing.assert_allclose(restored[:, 1], shrunk(rows), rtol=1e-3)


def test_what_drift_watches_of_an_input_does_not_move_with_any_other(runtime: Runtime, week):
    """A unit that changes in one field is then named as that field's, whatever the model makes of it beside others."""
    rows = matrix(week[:200], runtime.manifest.inputs)
    before = runtime.score(rows).standardised
    for column in range(COLUMNS):
        moved = rows.copy()
        moved[:, column] *= 100
        after = runtime.score(moved).standardised
        others = [other for other in range(COLUMNS) if other != column]
        np.testing.assert_array_equal(after[:, others], before[:, others])


def test_without_a_past_the_usual_is_that_of_all():
    rows = rows_for_ratio()
    preprocessing = Preprocessing(RATIO, rows)
    overall = (rows[:, 1] * rows[:, 2]).sum() / rows[:, 2].sum()
    nothing = float("nan")
    probes = torch.tensor([[30.0, nothing, 0.0, 7.0], [30.0, nothing, nothing, 7.0], [30.0, 30.0, 1.0, 7.0]])
    _, beside, _, _ = preprocessing(probes)
    np.testing.assert_allclose(beside.scale[0], overall, rtol=1e-5)


def test_values_below_zero_are_seen_as_differences_from_the_usual():
    rows = rows_for_ratio() - np.array([50, 50, 0, 0], dtype=np.float32)
    preprocessing = Preprocessing(RATIO, rows)
    standardised, _, _, _ = preprocessing(torch.from_numpy(rows))
    difference = rows[:, 0] - shrunk(rows)
    standard = (difference - difference.mean()) / difference.std(ddof=1)
    np.testing.assert_allclose(standardised[0], standard, atol=2e-3)


@pytest.mark.parametrize("value", [0.0, 0.1, 4.0, 1e7])
@pytest.mark.parametrize("moved", [0.0, 1.0000001, 1.01, 2.0, 1e6])
def test_an_input_that_never_varied_in_training_adds_a_bounded_part_when_it_does(value: float, moved: float):
    rows = rows_for_ratio()
    rows[:, 3] = value
    graph = fit(rows, RATIO, TrainingConfig(epochs=2))
    changed = rows[:50].copy()
    changed[:, 3] = moved * value if value else moved
    (usual, _, before, *_), (score, contributions, after, *_) = (
        graph(torch.from_numpy(r)) for r in (rows[:50], changed)
    )
    np.testing.assert_allclose(contributions.sum(axis=1), score, rtol=1e-5)
    np.testing.assert_allclose(after, before)
    np.testing.assert_allclose(after[:, 3], value, rtol=1e-6)
    assert (score - usual <= MOST_OF_CONSTANT * (1 + TAILS) + 1e-4).all()
    if moved in (0.0, 2.0) and value:
        assert (contributions[:, 3] > 0).all()


def test_a_deviation_is_as_strange_as_it_is_rare_with_so_many_events():
    rng = np.random.default_rng(0)
    raw = np.stack([rng.normal(size=500), rng.normal(size=500), rng.integers(2, 90, 500)], axis=1).astype(np.float32)
    preprocessing = Preprocessing(DEVIATION, raw)
    counts = np.array([3, 6, 11, 31, 1001])
    deviations = student_t.isf(0.001, counts - 1) * np.sqrt(1 + 1 / counts)  # of each, one in a thousand is beyond
    rows = torch.tensor(np.stack([0 * counts, deviations, counts], axis=1), dtype=torch.float32)
    standardised, beside, _, _ = preprocessing(rows)
    deviates = standardised[1] * preprocessing.std[1] + preprocessing.mean[1]
    np.testing.assert_allclose(deviates, norm.isf(0.001), rtol=0.16)
    np.testing.assert_allclose(preprocessing.invert(standardised, beside)[1], deviations, rtol=1e-3)


@given(arrays(np.float32, (20, 3), elements=st.floats(width=32, allow_nan=True, allow_infinity=True)))
@settings(max_examples=100)
def test_no_deviation_whatever_leaves_what_is_finite(rows: np.ndarray):
    known = np.tile(np.array([[1, 0.5, 4], [2, -1, 9], [3, 2, 30]], dtype=np.float32), (10, 1))
    preprocessing = Preprocessing(DEVIATION, known)
    standardised, beside, _, _ = preprocessing(torch.from_numpy(rows))
    assert standardised.isfinite().all()
    assert preprocessing.invert(standardised, beside).isfinite().all()
