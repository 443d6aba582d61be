"""The simulated world is the Handbook's, and the same seed gives the same one anywhere."""

import os
import subprocess
import sys
from datetime import date
from pathlib import Path

import polars as pl
import pytest

from models.data.drift import Drift
from models.data.files import DataError
from models.data.frame import digest, read
from models.data.simulator import COLUMNS, COUNTRIES, LARGE_AMOUNT, PAYMENTS, Scenario, Simulation, payments, simulate
from models.data.windows import FEATURES
from models.definition import find

ROOT = Path(__file__).parents[4]
HANDBOOKS_MEAN_AND_SPREAD = {  # of the Handbook's transactions from 2018-07-11 to 2018-08-14
    "amount": (53.628, 42.164),
    "during_weekend": (0.28463, 0.45124),
    "during_night": (0.17354, 0.37871),
    "customer_nb_tx_1d": (3.561, 1.8371),
    "customer_avg_amount_1d": (53.609, 35.036),
    "customer_nb_tx_7d": (18.977, 7.7129),
    "customer_avg_amount_7d": (53.629, 30.374),
    "customer_nb_tx_30d": (78.065, 28.968),
    "customer_avg_amount_30d": (53.657, 29.242),
    "terminal_nb_tx_1d": (0.99894, 1.0201),
    "terminal_risk_1d": (0.0056802, 0.071777),
    "terminal_nb_tx_7d": (7.0003, 3.015),
    "terminal_risk_7d": (0.009064, 0.07632),
    "terminal_nb_tx_30d": (30.003, 8.2723),
    "terminal_risk_30d": (0.0089077, 0.060947),
}
SMALL = Simulation(days=5, customers=300, seed=11)
PRINT_DIGEST = """
from models.data.frame import digest
from models.data.simulator import COLUMNS, Simulation, simulate
print(digest(simulate(Simulation(days=5, customers=300, seed=11))))
"""


@pytest.fixture(scope="module")
def month() -> pl.DataFrame:
    return simulate(Simulation(days=35, start=date(2018, 7, 11)))


def test_the_frame_has_the_layout_the_days_and_the_order_that_were_asked_for(week: pl.DataFrame) -> None:
    assert week.schema == pl.Schema(COLUMNS)
    assert week["event_time"].dt.date().unique().sort().to_list() == [date(2024, 3, day) for day in range(4, 11)]
    assert week.equals(week.sort("event_time", "event_id"))
    assert week["event_id"].is_unique().all()
    assert week.null_count().sum_horizontal().item() == 0
    assert week["amount"].min() >= 0
    assert week["amount"].equals(week["amount"].round(2))


def test_a_terminal_stands_in_one_country_and_countries_have_their_share_of_the_transactions(
    month: pl.DataFrame,
) -> None:
    assert (month.group_by("terminal_id").agg(pl.col("country").n_unique())["country"] == 1).all()
    shares = dict(month["country"].value_counts(normalize=True).iter_rows())
    assert shares == {country: pytest.approx(share, rel=0.2) for country, share in COUNTRIES.items()}


def test_a_seed_gives_the_same_rows_with_one_thread_and_with_many() -> None:
    digests = {
        subprocess.run(
            [sys.executable, "-c", PRINT_DIGEST],
            env={**os.environ, "POLARS_MAX_THREADS": threads, "PYTHONPATH": str(ROOT)},
            capture_output=True,
            text=True,
            check=True,
        ).stdout.strip()
        for threads in ("1", "4")
    }
    assert digests == {digest(simulate(SMALL))}


def test_raw_payments_are_the_same_without_features_and_with_the_days_that_windows_look_back_at() -> None:
    raw = payments(SMALL)
    assert raw.schema == pl.Schema(PAYMENTS)
    assert raw["event_time"].dt.date().n_unique() == SMALL.warm_up_days + SMALL.days
    days = raw.filter(pl.col("event_time").dt.date() >= SMALL.start)
    assert days.equals(simulate(SMALL).select([*PAYMENTS]))


def test_another_seed_gives_another_world() -> None:
    assert digest(simulate(Simulation(days=5, customers=300, seed=12))) != digest(simulate(SMALL))


def test_simulations_that_overlap_agree_on_their_common_days() -> None:
    early = simulate(Simulation(days=6, start=date(2018, 4, 1), customers=300))
    late = simulate(Simulation(days=2, start=date(2018, 4, 5), customers=300))
    assert late.equals(early.filter(pl.col("event_time").dt.date() >= date(2018, 4, 5)))


def test_the_windows_of_the_first_day_are_as_full_as_those_of_the_last(month: pl.DataFrame) -> None:
    daily = month.group_by(pl.col("event_time").dt.date().alias("day")).agg(pl.col(FEATURES[2:]).mean()).sort("day")
    for feature in ("customer_nb_tx_30d", "terminal_nb_tx_30d"):
        assert daily[feature][0] == pytest.approx(daily[feature].mean(), rel=0.05)
    assert daily["terminal_risk_30d"][0] > 0.004
    cold = simulate(Simulation(days=1, start=date(2018, 7, 11), warm_up_days=0))
    assert cold["terminal_nb_tx_30d"].max() == 0


def test_the_simulated_month_is_distributed_as_the_handbooks(month: pl.DataFrame) -> None:
    assert month.height == pytest.approx(335_047, rel=0.03)
    assert month["fraud"].mean() == pytest.approx(0.008838, rel=0.1)
    assert HANDBOOKS_MEAN_AND_SPREAD.keys() == {"amount", *FEATURES}
    for column, (mean, spread) in HANDBOOKS_MEAN_AND_SPREAD.items():
        assert month[column].mean() == pytest.approx(mean, rel=0.1), column
        assert month[column].std() == pytest.approx(spread, rel=0.1), column


def test_these_are_the_handbooks_figures(handbook_file: Path) -> None:
    theirs = read(handbook_file, definition=find("handbook")).rename({"TERMINAL_ID": "terminal_id"})
    for column, (mean, spread) in HANDBOOKS_MEAN_AND_SPREAD.items():
        assert (theirs[column].mean(), theirs[column].std()) == pytest.approx((mean, spread), rel=1e-4), column


def test_small_worlds_have_the_same_share_of_frauds_and_of_each_scenario() -> None:
    small = simulate(Simulation(days=120, customers=500))
    assert 0.006 < small["fraud"].mean() < 0.012
    counts = dict(small.group_by("fraud_scenario").len().iter_rows())
    assert set(counts) == set(Scenario)
    assert counts[Scenario.COMPROMISED_TERMINAL] > counts[Scenario.COMPROMISED_CUSTOMER] > counts[Scenario.LARGE_AMOUNT]


def test_frauds_are_what_their_scenario_says(month: pl.DataFrame) -> None:
    assert month["fraud"].equals(month["fraud_scenario"] > 0, check_names=False)
    large = month.filter(fraud_scenario=Scenario.LARGE_AMOUNT)
    assert large["amount"].min() > LARGE_AMOUNT
    assert not month.filter(pl.col("amount") > LARGE_AMOUNT, fraud=False).height
    terminals = month.filter(fraud_scenario=Scenario.COMPROMISED_TERMINAL)["terminal_id"]
    assert terminals.n_unique() <= 2 * (35 + 27)
    day = pl.col("event_time").dt.date()
    at_work = month.filter(day == date(2018, 8, 1), pl.col("terminal_id").is_in(terminals.implode()))
    by_terminal = at_work.group_by("terminal_id").agg(pl.col("fraud").all() | ~pl.col("fraud").any())
    assert (
        by_terminal["fraud"].mean() > 0.95
    )  # a terminal is compromised for whole days; the others are its guests' frauds
    stolen = month.filter(fraud_scenario=Scenario.COMPROMISED_CUSTOMER)
    ordinary = month.filter(fraud=False)["amount"].mean()
    assert stolen["amount"].mean() == pytest.approx(5 * ordinary, rel=0.1)
    assert stolen["entity"].n_unique() <= 3 * (35 + 13)


def test_customers_keep_to_the_terminals_near_them(month: pl.DataFrame) -> None:
    terminals = month.group_by("entity").agg(pl.col("terminal_id").n_unique())["terminal_id"]
    assert terminals.max() < 130  # a disc of radius 5 holds 78.5 terminals on average, of 10,000


def test_drift_is_switched_on_at_its_moment() -> None:
    drift = Drift.parse("amount_unit@2018-04-03T12:00")
    drifted = simulate(Simulation(days=5, customers=300, seed=11, drift=drift))
    assert drifted.equals(drift.apply(simulate(SMALL)))


def test_progress_counts_the_days_of_the_warm_up_too() -> None:
    told: list[tuple[int, int]] = []
    simulate(Simulation(days=3, customers=10, warm_up_days=2), lambda done, total: told.append((done, total)))
    assert told == [(day, 5) for day in range(1, 6)]


@pytest.mark.parametrize("wrong", [{"days": 0}, {"days": 1, "customers": 0}, {"days": 1, "terminals": 0}])
def test_a_world_that_cannot_be_is_refused_in_one_line(wrong: dict[str, int]) -> None:
    with pytest.raises(DataError, match=r"^a simulation needs \w+ of at least 1, not 0$"):
        Simulation(**wrong)


def test_one_customer_at_one_terminal_is_a_world() -> None:
    frame = simulate(Simulation(days=60, customers=1, terminals=1, seed=2))
    assert frame["terminal_id"].unique().to_list() == ["0"]
