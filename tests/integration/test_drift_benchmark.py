"""On simulated weeks and a model of the week before them: no false alarm, and faults found soon and named."""

from datetime import date

import polars as pl
import pytest

from benchmarks import drift_streams
from models.data.drift import Drift, DriftKind
from models.data.simulator import Simulation, simulate
from models.definition import cards
from models.recipe import TrainingConfig
from models.training import train
from schemas.drift import DriftPhase

QUIET, FAULTY = 10_240, 6144


@pytest.fixture(scope="module")
def weeks() -> tuple[pl.DataFrame, pl.DataFrame]:
    """The first of three, and the two after it."""
    frame = simulate(Simulation(days=21, start=date(2018, 7, 11)))
    is_first = pl.col("event_time").dt.date() <= date(2018, 7, 17)
    return frame.filter(is_first), frame.filter(~is_first)


@pytest.fixture(scope="module")
def model(weeks):
    return drift_streams.Model(*train(weeks[0], cards(), TrainingConfig(epochs=3), "card-fraud", "1"))


@pytest.fixture(scope="module")
def later(weeks):
    return weeks[1]


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
