from datetime import UTC, date, datetime, timedelta

import msgspec
import numpy as np
import polars as pl
import pytest

from models.evaluation import baselines, card_precision, evaluate, metrics_of, us_per_event
from models.inputs import matrix
from models.protocol import EvaluationError, protocol_rows

FIRST = datetime(2018, 7, 11, 12, tzinfo=UTC)


def transactions(*rows: tuple[int, str, bool]) -> pl.DataFrame:
    """Rows of (day from 0, customer, fraud) in the columns that the protocol reads."""
    return pl.DataFrame(
        {
            "event_time": [FIRST + timedelta(days=day) for day, _, _ in rows],
            "entity": [customer for _, customer, _ in rows],
            "fraud": [fraud for _, _, fraud in rows],
        },
        schema={"event_time": pl.Datetime("us", "UTC"), "entity": pl.String(), "fraud": pl.Boolean()},
    )


def test_a_customer_is_left_out_from_eight_days_after_a_fraud_on():
    frame = transactions((0, "a", True), *((day, name, False) for day in range(6, 11) for name in ("a", "b")))
    kept = protocol_rows(frame, FIRST.date() + timedelta(days=6))
    days = kept.with_columns((pl.col("event_time") - FIRST).dt.total_days().alias("day"))
    assert days.filter(entity="a")["day"].to_list() == [6, 7]
    assert days.filter(entity="b")["day"].to_list() == [6, 7, 8, 9, 10]


def test_where_a_label_does_not_block_an_entity_is_measured_after_it_too():
    frame = transactions((0, "a", True), *((day, "a", False) for day in range(6, 11)))
    assert protocol_rows(frame, FIRST.date() + timedelta(days=6), blocks=False).height == 5


def test_only_the_days_asked_for_are_measured():
    frame = transactions(*((day, "b", False) for day in range(10)))
    kept = protocol_rows(frame, FIRST.date() + timedelta(days=2), FIRST.date() + timedelta(days=4))
    assert kept.height == 3
    assert kept.columns == frame.columns


def test_days_that_the_data_does_not_hold_are_refused():
    with pytest.raises(EvaluationError, match="no events"):
        protocol_rows(transactions((0, "a", True)), date(2030, 1, 1))


def test_card_precision_is_the_mean_share_of_compromised_customers_and_counts_each_once():
    frame = transactions(
        *((0, "a", False), (0, "a", True), (0, "b", True), (0, "c", False), (0, "d", False)),
        *((1, "a", True), (1, "b", True), (1, "c", True), (1, "d", False)),
    )
    # Day 0: a (9, by its legitimate transaction) and c (5) are the top two; a is found.
    # Day 1: a is gone; d (8) and c (7) are the top two.
    scores = np.array([9.0, 1.0, 4.0, 5.0, 3.0, 9.0, 1.0, 7.0, 8.0])
    assert card_precision(scores, frame, top=2) == pytest.approx((1 / 2 + 1 / 2) / 2)


def test_a_day_with_fewer_customers_than_the_top_is_divided_by_the_top_as_in_the_handbook():
    frame = transactions((0, "a", True), (0, "b", False))
    assert card_precision(np.array([1.0, 2.0]), frame) == pytest.approx(0.01)


def test_a_perfect_score_has_perfect_figures_and_its_reverse_the_worst_area():
    frame = transactions(*((0, f"c{i}", i < 10) for i in range(1000)))
    perfect = frame["fraud"].to_numpy().astype(float)
    assert msgspec.structs.astuple(metrics_of(perfect, frame)) == pytest.approx((1.0, 1.0, 0.1))
    assert metrics_of(-perfect, frame).auc_roc == 0.0


def test_rows_without_frauds_cannot_be_measured():
    with pytest.raises(EvaluationError, match="0 frauds among 2"):
        metrics_of(np.zeros(2), transactions((0, "a", False), (0, "b", False)))


def test_an_evaluation_has_every_figure_and_agrees_with_scores_taken_elsewhere(trained, week):
    runtime = trained.runtime
    found = evaluate(runtime, week, since=week["event_time"][-1].date() - timedelta(days=3))
    rows = protocol_rows(week, found.since, found.until)
    scores = runtime.score(matrix(rows, runtime.manifest.inputs)).score
    assert metrics_of(scores, rows).average_precision == pytest.approx(found.average_precision, abs=1e-6)
    assert found.rows == rows.height
    assert found.frauds == rows["fraud"].sum()
    assert found.alert_rate == pytest.approx((scores >= found.threshold).mean())
    assert found.sha256 == trained.sha256
    assert set(found.baselines) == {"random", "amount", "isolation_forest"}
    assert found.us_per_event > 0
    assert msgspec.json.decode(msgspec.json.encode(found))["left_out"] == found.left_out


def test_a_model_of_a_simulated_week_beats_every_baseline_on_it(trained, week):
    found = evaluate(trained.runtime, week)
    assert found.auc_roc > max(baseline.auc_roc for baseline in found.baselines.values())
    assert found.average_precision > max(baseline.average_precision for baseline in found.baselines.values())


def test_baselines_bear_missing_values(trained, week):
    gaps = week.with_columns(pl.lit(float("nan")).alias("terminal_risk_7d"))
    found = baselines(gaps, trained.manifest.inputs, matrix(gaps, trained.manifest.inputs))
    assert found["random"].auc_roc == pytest.approx(0.5, abs=0.15)


def test_the_time_of_an_event_is_the_median_of_batches(trained, week):
    ticks = iter(np.cumsum([0.0, 1.024e-3] * 50) + np.repeat(np.arange(50), 2))
    inputs = np.zeros((1, len(trained.manifest.inputs)), dtype=np.float32)
    assert us_per_event(trained.runtime, inputs, clock=lambda: float(next(ticks))) == pytest.approx(1.0, rel=1e-3)
