"""The features are the Handbook's: its own columns are recomputed, and small frames are counted by hand."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.data.frame import read
from models.data.windows import FEATURES, HISTORY_DAYS, LABEL_DELAY_DAYS, WINDOW_DAYS, add_features
from models.definition import find

DAY = timedelta(days=1)
START = datetime(2018, 4, 1, tzinfo=UTC)

hours = st.integers(0, 24 * (HISTORY_DAYS + 8))
transactions = st.lists(
    st.tuples(hours, st.sampled_from("ab"), st.sampled_from("xy"), st.integers(1, 30_000), st.booleans()),
    min_size=1,
    max_size=60,
)


def test_the_handbooks_own_columns_are_recomputed_where_its_days_reach_back_far_enough(handbook_file: Path) -> None:
    theirs = read(handbook_file, definition=find("handbook")).rename({"TERMINAL_ID": "terminal_id"})
    ours = add_features(theirs.drop(FEATURES))
    # the file is shorter than the 37 days that these two look back: the count by hand covers them
    for feature in set(FEATURES) - {"terminal_nb_tx_30d", "terminal_risk_30d"}:
        covered = (pl.col("event_time") >= theirs["event_time"].min() + _days_seen(feature) * DAY) & ~_same_instant()
        found, expected = ours.filter(covered)[feature], theirs.filter(covered)[feature]
        assert expected.len() > 20_000
        assert (found - expected).abs().max() < 1e-4, feature  # the file is float32


@given(transactions)
@settings(max_examples=60)
def test_windows_hold_what_a_count_by_hand_holds(rows: list[tuple[int, str, str, int, bool]]) -> None:
    frame = add_features(_bare(rows))
    for row in frame.to_dicts():
        for name, value in _by_hand(row, frame.to_dicts()).items():
            assert row[name] == pytest.approx(value, abs=1e-9), name


def test_a_transaction_is_in_its_own_window_and_one_a_whole_window_ago_is_not() -> None:
    frame = add_features(_bare([(0, "a", "x", 1000, False), (24, "a", "x", 3000, False)]))
    assert frame["customer_nb_tx_1d"].to_list() == [1, 1]
    assert frame["customer_nb_tx_7d"].to_list() == [1, 2]
    assert frame["customer_avg_amount_7d"].to_list() == [10, 20]


def test_a_fraud_is_known_on_its_terminal_after_a_week_and_not_before() -> None:
    hour = 24 * LABEL_DELAY_DAYS
    frame = add_features(_bare([(0, "a", "x", 1, True), (hour - 1, "b", "x", 1, False), (hour, "b", "x", 1, False)]))
    assert frame["terminal_risk_1d"].to_list() == [0, 0, 1]
    assert frame["terminal_nb_tx_1d"].to_list() == [0, 0, 1]


def test_in_one_instant_the_later_transaction_sees_the_earlier_alone() -> None:
    frame = add_features(_bare([(5, "a", "x", 100, False)] * 3))
    assert frame["customer_nb_tx_1d"].to_list() == [1, 2, 3]


def test_weekend_and_night_follow_the_calendar_in_utc() -> None:
    # 2018-04-01 is a Sunday
    frame = add_features(_bare([(hour, "a", "x", 1, False) for hour in (0, 6, 7, 23, 24, 31)]))
    assert frame["during_weekend"].to_list() == [1, 1, 1, 1, 0, 0]
    assert frame["during_night"].to_list() == [1, 1, 0, 0, 1, 0]


def test_customers_are_apart_however_many_and_however_they_are_named() -> None:
    many = _bare([(hour, str(hour % 5), "x", 100, False) for hour in range(100)])
    counts = add_features(many).select("entity", "customer_nb_tx_30d")
    assert counts.group_by("entity").max()["customer_nb_tx_30d"].to_list() == [20] * 5
    numbered = add_features(many.with_columns(pl.col("entity").cast(pl.Int32)))
    assert numbered["customer_nb_tx_30d"].equals(counts["customer_nb_tx_30d"])


def _days_seen(feature: str) -> int:
    if feature.startswith("during"):
        return 0
    days = int(feature.rsplit("_", 1)[1].removesuffix("d"))
    return days + (LABEL_DELAY_DAYS if feature.startswith("terminal") else 0)


def _same_instant() -> pl.Expr:
    """The Handbook takes transactions of a customer in the same second in the order of its file, which is no column."""
    return pl.struct("entity", "event_time").is_duplicated() | pl.struct("terminal_id", "event_time").is_duplicated()


def _bare(rows: list[tuple[int, str, str, int, bool]]) -> pl.DataFrame:
    return pl.DataFrame(
        {
            "event_id": [f"{number:04}" for number in range(len(rows))],
            "event_time": [START + timedelta(hours=hour) for hour, *_ in rows],
            "entity": [customer for _, customer, *_ in rows],
            "terminal_id": [terminal for _, _, terminal, *_ in rows],
            "amount": [cents / 100 for *_, cents, _ in rows],
            "fraud": [fraud for *_, fraud in rows],
        }
    )


def _by_hand(row: dict, rows: list[dict]) -> dict[str, float]:
    """The definition, row by row."""
    now = (row["event_time"], row["event_id"])
    past = [other for other in rows if (other["event_time"], other["event_id"]) <= now]
    mine = [other for other in past if other["entity"] == row["entity"]]
    there = [other for other in past if other["terminal_id"] == row["terminal_id"]]
    known = row["event_time"] - LABEL_DELAY_DAYS * DAY
    expected = {}
    for days in WINDOW_DAYS:
        own = [other["amount"] for other in mine if other["event_time"] > row["event_time"] - days * DAY]
        old = [other["fraud"] for other in there if known - days * DAY < other["event_time"] <= known]
        expected[f"customer_nb_tx_{days}d"] = len(own)
        expected[f"customer_avg_amount_{days}d"] = sum(own) / len(own)
        expected[f"terminal_nb_tx_{days}d"] = len(old)
        expected[f"terminal_risk_{days}d"] = sum(old) / len(old) if old else 0
    return expected
