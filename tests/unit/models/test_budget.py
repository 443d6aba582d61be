from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from models.budget import Budget, BudgetError, BudgetKind, parsed, share_of_events
from models.recipe import load_config

pytestmark = pytest.mark.slow

RNG = np.random.default_rng(0)
DAYS = [datetime(2026, 1, 1, tzinfo=UTC) + timedelta(minutes=place) for place in range(4 * 1440)]  # 1,440 events a day
NONE = np.empty(0)


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        (0.003, Budget(BudgetKind.SHARE, 0.003)),
        ("0.003", None),
        ("0.3 %", Budget(BudgetKind.SHARE, 0.003)),
        ("0.3%", Budget(BudgetKind.SHARE, 0.003)),
        ("200 a day", Budget(BudgetKind.A_DAY, 200)),
        ("1,200 per day", Budget(BudgetKind.A_DAY, 1200)),
        ("at most 30 % false", Budget(BudgetKind.FALSE, 0.3)),
        ("30% false", Budget(BudgetKind.FALSE, 0.3)),
        ("some", None),
        ("0 a day", None),
        ("100 %", None),
        ("1.2.3 %", None),
    ],
)
def test_a_budget_is_a_share_so_many_a_day_or_at_most_so_many_false(written, meant):
    if meant is None and written != "0.003":
        with pytest.raises(BudgetError, match="write a share"):
            parsed(written)
    else:
        assert parsed(written) == pytest.approx(meant or Budget(BudgetKind.SHARE, 0.003))


def test_so_many_a_day_are_the_share_that_they_are_of_a_day():
    assert share_of_events(parsed("144 a day"), DAYS, NONE, None) == pytest.approx(0.1, rel=1e-3)
    with pytest.raises(BudgetError, match="a day has 1,440 events"):
        share_of_events(parsed("2,000 a day"), DAYS, NONE, None)


def test_at_most_so_many_false_buys_the_most_alerts_of_which_so_many_are_false():
    fraud = RNG.random(10_000) < 0.02
    scores = RNG.normal(size=10_000) + 4 * fraud
    share = share_of_events(parsed("at most 30 % false"), DAYS, scores, fraud.astype(float))
    ranked = fraud[np.argsort(-scores)]
    count = round(share * 10_000)
    false = 1 - ranked[:count].mean()
    error = (false * (1 - false) / count) ** 0.5
    assert false + error <= 0.3 < false + 2 * error
    unknown = np.where(RNG.random(10_000) < 0.5, np.nan, fraud.astype(float))
    assert share_of_events(parsed("at most 30 % false"), DAYS, scores, unknown) == pytest.approx(share, rel=0.15)


@pytest.mark.parametrize("fraud", [None, np.zeros(100), np.full(100, np.nan)])
def test_what_is_false_is_not_known_without_labels_of_frauds(fraud):
    with pytest.raises(BudgetError, match="needs labels"):
        share_of_events(parsed("at most 30 % false"), DAYS, np.arange(100.0), fraud)


def test_where_no_threshold_has_so_few_false_the_least_is_told():
    fraud = np.arange(1000) % 2 == 0
    with pytest.raises(BudgetError, match="52% is the least"):
        share_of_events(parsed("at most 10 % false"), DAYS, np.arange(1000.0), fraud.astype(float))


def test_words_in_the_file_are_checked_before_anything_is_trained(tmp_path):
    file = tmp_path / "training.toml"
    file.write_text('[training]\nbudget = "200 a day"')
    assert load_config(file).budget == "200 a day"
    assert load_config(file, budget="0.5 %").budget == "0.5 %"
    file.write_text('[training]\nbudget = "a few"')
    with pytest.raises(BudgetError, match="'a few' is no alert budget"):
        load_config(file)
