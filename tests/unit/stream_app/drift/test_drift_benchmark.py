"""On the benchmark's own transactions and a model trained on its first week: no false alarm, and faults found soon."""

from datetime import date
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from models.data.drift import Drift, DriftKind
from models.data.frame import read
from models.features import load_spec, matrix
from models.runtime import one_thread, run
from models.training import TrainingConfig, train
from stream_app.drift.aggregator import Aggregator
from stream_app.pipeline.summarise import Bins, PartitionSums, signal_matrix
from stream_app.settings import Settings

DATA = Path(__file__).parents[5] / "shared/data/handbook_2018-07-11_2018-08-14.parquet"
SUMMARY_ROWS = 128
SHA = "c" * 64
QUIET, FAULTY = 10_240, 6144


@pytest.fixture(scope="module")
def model():
    assert DATA.is_file(), f"the benchmark file is not at {DATA}"
    return train(read(DATA, until=date(2018, 7, 17)), load_spec(), TrainingConfig(epochs=3), "card-fraud", "1")


@pytest.fixture(scope="module")
def later():
    return read(DATA, since=date(2018, 7, 18), until=date(2018, 7, 31))


def alerts(model, frame: pl.DataFrame):
    """The aggregator's alerts, each with the number of transactions that had been seen."""
    graph, manifest = model
    raw = matrix(frame, manifest.inputs)
    with one_thread():
        scored = run(graph, raw)
    signals, anomalous = signal_matrix(raw, scored), scored.score >= manifest.calibration.threshold
    times, bins = frame["event_time"].to_list(), Bins(manifest.signals)
    state = Aggregator(Settings(), {SHA: manifest}.get)
    found = []
    for offset, i in enumerate(range(0, len(raw), SUMMARY_ROWS)):
        sums = PartitionSums(i, len(bins))
        rows = signals[i : i + SUMMARY_ROWS]
        bins.add_to(sums, rows)
        sums.to_offset = i + len(rows)
        sums.anomalies = int(np.count_nonzero(anomalous[i : i + SUMMARY_ROWS]))
        sums.first_event, sums.last_event = times[i], times[i + len(rows) - 1]
        found += state.update(bins.summary(0, sums, SHA, "worker-1"), offset)
    return found


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
    (alert,) = alerts(model, Drift(kind, at, feature).apply(frame))
    assert alert.cause.startswith(cause)
    assert not alert.retraining_helps
    assert abs(alert.since_offsets["0"] - QUIET) <= 256
    assert alert.events_observed - QUIET <= 3072
