"""On the benchmark's own transactions and a model trained on its first week: no false alarm, and faults found soon."""

from datetime import date
from pathlib import Path

import polars as pl
import pytest

from benchmarks import drift_streams
from models.data.drift import Drift, DriftKind
from models.data.frame import read
from models.features import load_spec
from models.training import TrainingConfig, train
from schemas.drift import DriftPhase

DATA = Path(__file__).parents[5] / "shared/data/handbook_2018-07-11_2018-08-14.parquet"
QUIET, FAULTY = 10_240, 6144


@pytest.fixture(scope="module")
def model():
    assert DATA.is_file(), f"the benchmark file is not at {DATA}"
    week = read(DATA, until=date(2018, 7, 17))
    return drift_streams.Model(*train(week, load_spec(), TrainingConfig(epochs=3), "card-fraud", "1"))


@pytest.fixture(scope="module")
def later():
    return read(DATA, since=date(2018, 7, 18), until=date(2018, 7, 31))


def alerts(model, frame: pl.DataFrame):
    """What the aggregator says."""
    return drift_streams.alerts(drift_streams.scored(frame, model), model)


def test_two_undrifted_weeks_raise_nothing(model, later):
    assert alerts(model, later) == []


@pytest.mark.parametrize("begin", [30_000, 90_000])
@pytest.mark.parametrize(
    ("kind", "feature", "cause"),
    [
        (DriftKind.AMOUNT_UNIT, "customer_avg_amount_7d", "Broken, or in another unit: amount;"),
        (DriftKind.FEATURE_STUCK, "customer_nb_tx_7d", "Broken, or in another unit: customer_nb_tx_7d;"),
        (DriftKind.FEATURE_MISSING, "customer_avg_amount_7d", "customer_avg_amount_7d no longer arrives"),
    ],
)
def test_a_fault_is_one_alert_that_names_it_and_its_beginning(model, later, begin, kind, feature, cause):
    frame = later[begin - QUIET : begin + FAULTY]
    at = frame["event_time"][QUIET]
    raised, alert = alerts(model, Drift(kind, at, feature).apply(frame))
    assert (raised.phase, alert.phase) == (DriftPhase.RAISED, DriftPhase.CONFIRMED)
    assert raised.alert_id == alert.alert_id
    assert alert.cause.startswith(cause)
    assert not alert.retraining_helps
    for told in (raised, alert):
        assert abs(told.since_offsets["0"] - QUIET) <= 128
    assert raised.events_observed - QUIET <= 512
