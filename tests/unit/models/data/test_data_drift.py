"""Each drift does what its name says, from its moment on, and to nothing else."""

from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl
import pytest

from models.data.drift import ATTACK_DURATION, ATTACK_SCENARIO, EFFECTS, Drift, DriftKind
from models.data.files import DataError
from models.data.simulator import PAYMENTS
from models.data.windows import FEATURES

AT = datetime(2024, 3, 6, 9, tzinfo=UTC)
AMOUNTS = {"amount"}
AVERAGES = {f"customer_avg_amount_{days}d" for days in (1, 7, 30)}
RISKS = {f"terminal_risk_{days}d" for days in (1, 7, 30)}
COUNTS = {f"terminal_nb_tx_{days}d" for days in (1, 7, 30)}
TOUCHED = {
    DriftKind.AMOUNT_SCALED: AMOUNTS,
    DriftKind.AMOUNT_UNIT: AMOUNTS,
    DriftKind.AMOUNT_SPREAD: AMOUNTS,
    DriftKind.FEATURE_STUCK: {"customer_avg_amount_7d"},
    DriftKind.FEATURE_MISSING: {"customer_avg_amount_7d"},
    DriftKind.FEATURE_PARTLY_MISSING: {"customer_avg_amount_7d"},
    DriftKind.FEATURE_PERMUTED: {"customer_avg_amount_7d"},
    DriftKind.FEATURE_SHRUNK: {"customer_avg_amount_7d"},
    DriftKind.COLUMNS_SWAPPED: {"customer_nb_tx_7d", "customer_avg_amount_7d"},
    DriftKind.TWIN_COLUMNS_SWAPPED: {"customer_avg_amount_7d", "customer_avg_amount_30d"},
    DriftKind.SPENDING_GROWING: AMOUNTS | AVERAGES,
    DriftKind.RISK_RISING: RISKS,
    DriftKind.ATTACK_BURST: AMOUNTS | AVERAGES | RISKS | COUNTS | {"terminal_id", "country", "fraud", "fraud_scenario"},
}


def test_every_kind_has_an_effect_and_an_expectation_here() -> None:
    assert set(EFFECTS) == set(DriftKind) == set(TOUCHED)


@pytest.mark.parametrize("kind", DriftKind)
def test_a_drift_touches_its_own_columns_from_its_moment_on_and_nothing_else(
    week: pl.DataFrame, kind: DriftKind
) -> None:
    drifted = Drift(kind, AT).apply(week)
    assert drifted.schema == week.schema
    assert drifted["event_id"].equals(week["event_id"])
    before = pl.col("event_time") < AT
    assert drifted.filter(before).equals(week.filter(before))
    changed = {name for name in week.columns if not drifted[name].equals(week[name], null_equal=True)}
    assert changed == TOUCHED[kind]


@pytest.mark.parametrize("kind", DriftKind)
def test_a_drift_in_one_country_leaves_the_others_alone(week: pl.DataFrame, kind: DriftKind) -> None:
    drifted = Drift(kind, AT, where="country=FR").apply(week)
    assert drifted["event_id"].equals(week["event_id"])
    elsewhere = pl.col("country") != "FR"
    assert drifted.filter(elsewhere).equals(week.filter(elsewhere))
    inside = Drift(kind, AT).apply(week.filter(~elsewhere))
    assert drifted.filter(~elsewhere).equals(inside)


@pytest.mark.parametrize(
    ("where", "why"), [("city=Metz", "no field 'city'"), ("country=IT", "has country=IT from then")]
)
def test_a_drift_that_would_be_nowhere_is_refused(week: pl.DataFrame, where: str, why: str) -> None:
    with pytest.raises(DataError, match=why):
        Drift(DriftKind.AMOUNT_UNIT, AT, where=where).apply(week)


@pytest.mark.parametrize("kind", DriftKind)
def test_a_drift_is_the_same_every_time(week: pl.DataFrame, kind: DriftKind) -> None:
    assert Drift(kind, AT, seed=5).apply(week).equals(Drift(kind, AT, seed=5).apply(week))


def test_amounts_change_by_the_factor_that_the_kind_says(week: pl.DataFrame) -> None:
    before, after = _after(week, DriftKind.AMOUNT_UNIT)
    assert (after["amount"] / before["amount"]).drop_nans().unique().to_list() == [2]
    before, after = _after(week, DriftKind.AMOUNT_SCALED)
    assert after["amount"].mean() == pytest.approx(1.3 * before["amount"].mean(), rel=1e-4)
    before, after = _after(week, DriftKind.AMOUNT_SPREAD)
    assert after["amount"].mean() == pytest.approx(before["amount"].mean(), rel=0.03)
    assert after["amount"].std() > 1.2 * before["amount"].std()


def test_the_chosen_feature_sticks_goes_missing_loses_its_order_or_its_spread(week: pl.DataFrame) -> None:
    feature = "terminal_nb_tx_30d"
    assert _after(week, DriftKind.FEATURE_STUCK, feature)[1][feature].unique().to_list() == [0]
    assert _after(week, DriftKind.FEATURE_MISSING, feature)[1][feature].is_nan().all()
    partly = _after(week, DriftKind.FEATURE_PARTLY_MISSING, feature)[1][feature]
    assert partly.is_nan().mean() == pytest.approx(0.2, abs=0.02)
    before, after = _after(week, DriftKind.FEATURE_PERMUTED, feature)
    assert after[feature].sort().equals(before[feature].sort())
    assert abs(np.corrcoef(before[feature], after[feature])[0, 1]) < 0.05
    before, after = _after(week, DriftKind.FEATURE_SHRUNK, feature)
    assert after[feature].mean() == pytest.approx(before[feature].mean())
    assert after[feature].std() == pytest.approx(before[feature].std() / 2)


def test_swapped_columns_carry_each_others_values(week: pl.DataFrame) -> None:
    before, after = _after(week, DriftKind.COLUMNS_SWAPPED)
    assert after["customer_nb_tx_7d"].equals(before["customer_avg_amount_7d"], check_names=False)
    assert after["customer_avg_amount_7d"].equals(before["customer_nb_tx_7d"], check_names=False)


def test_raw_payments_have_the_drifts_that_are_not_of_features(week: pl.DataFrame) -> None:
    raw = week.select([*PAYMENTS])
    refused = {kind for kind, touched in TOUCHED.items() if touched <= {*FEATURES}}
    for kind in set(DriftKind) - refused:
        drifted = Drift(kind, AT).apply(raw)
        before = pl.col("event_time") < AT
        assert drifted.filter(before).equals(raw.filter(before))
        assert not drifted["amount"].equals(raw["amount"]), kind
    for kind in refused:
        with pytest.raises(DataError, match="simulate --features"):
            Drift(kind, AT).apply(raw)


def test_spending_grows_two_percent_a_day_and_long_averages_follow_later(week: pl.DataFrame) -> None:
    before, after = _after(week, DriftKind.SPENDING_GROWING)
    last = pl.col("event_time") > AT + timedelta(days=4)
    grown = {
        name: (after.filter(last)[name].sum() / before.filter(last)[name].sum())
        for name in ("amount", "customer_avg_amount_1d", "customer_avg_amount_7d", "customer_avg_amount_30d")
    }
    assert 1.02**4 < grown["amount"] < 1.02**5
    assert list(grown.values()) == sorted(grown.values(), reverse=True)
    assert 1 < grown["customer_avg_amount_30d"] < 1.02


def test_an_attack_is_six_hours_of_labelled_frauds_at_few_busy_terminals(week: pl.DataFrame) -> None:
    drifted = Drift(DriftKind.ATTACK_BURST, AT).apply(week)
    attack = drifted.filter(fraud_scenario=ATTACK_SCENARIO)
    burst = week.filter(pl.col("event_time").is_between(AT, AT + ATTACK_DURATION, closed="left"))
    assert attack.height == pytest.approx(0.02 * burst.height, rel=0.6)
    assert attack["fraud"].all()
    assert set(attack["event_id"]) <= set(burst["event_id"])
    assert attack["terminal_id"].n_unique() <= 5
    assert attack["terminal_nb_tx_7d"].min() > burst["terminal_nb_tx_7d"].quantile(0.95)
    as_it_was = week.filter(pl.col("event_id").is_in(attack["event_id"].implode()))
    assert attack["amount"].to_list() == pytest.approx((5 * as_it_was["amount"]).to_list())
    others = ~pl.col("event_id").is_in(attack["event_id"].implode())
    assert drifted.filter(others).equals(week.filter(others))


def test_a_drift_is_read_from_what_a_person_types() -> None:
    assert Drift.parse("amount_unit@2018-08-01") == Drift(DriftKind.AMOUNT_UNIT, datetime(2018, 8, 1, tzinfo=UTC))
    assert Drift.parse("feature_stuck:terminal_risk_7d@2018-08-01T12:00+02:00", seed=4) == Drift(
        DriftKind.FEATURE_STUCK, datetime(2018, 8, 1, 10, tzinfo=UTC), "terminal_risk_7d", 4
    )


@pytest.mark.parametrize(
    ("typed", "answer"),
    [
        ("amount_halved@2018-08-01", "choose one of amount_scaled, amount_unit"),
        ("amount_unit", "write amount_unit@"),
        ("amount_unit@soon", "begins at no time 'soon'"),
        ("feature_stuck:colour@2018-08-01", "there is no feature colour: choose one of during_weekend"),
        ("amount_unit:terminal_risk_7d@2018-08-01", "does not choose a feature"),
    ],
)
def test_what_is_typed_wrongly_is_answered_with_what_to_type(typed: str, answer: str) -> None:
    with pytest.raises(DataError) as caught:
        Drift.parse(typed)
    assert answer in str(caught.value)


def test_a_drift_after_the_last_transaction_is_refused(week: pl.DataFrame) -> None:
    with pytest.raises(DataError, match="after the last transaction"):
        Drift(DriftKind.AMOUNT_UNIT, AT + timedelta(days=30)).apply(week)


def _after(week: pl.DataFrame, kind: DriftKind, feature: str = "customer_avg_amount_7d") -> tuple[pl.DataFrame, ...]:
    later = pl.col("event_time") >= AT
    return week.filter(later), Drift(kind, AT, feature).apply(week).filter(later)
