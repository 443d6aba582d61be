"""Training data as the rows of one model."""

from datetime import UTC, date, datetime

import numpy as np
import polars as pl
import pytest

from models import artefact
from models.data.files import DataError
from models.data.frame import write
from models.data.simulator import Simulation, simulate
from stream_app.report import rows
from stream_app.report.rows import of_file
from stream_app.testing.tiny_model import tiny_model

SECOND_DAY = datetime(2026, 1, 2, tzinfo=UTC)


@pytest.fixture(scope="module")
def frame():
    """A day more than the tiny model's training window, which is the first two."""
    return simulate(Simulation(days=3, start=date(2026, 1, 1), customers=60, warm_up_days=0))


@pytest.fixture(scope="module")
def window(frame):
    return frame.filter(pl.col("event_time") < datetime(2026, 1, 3, tzinfo=UTC))


@pytest.fixture(scope="module")
def runtime(tmp_path_factory):
    path = tmp_path_factory.mktemp("model") / "1.pt"
    tiny_model(path, "1", centre=2.0)
    return artefact.load(path)


@pytest.fixture
def history(frame, tmp_path):
    write(frame, tmp_path / "history.parquet")
    return tmp_path / "history.parquet"


def test_the_rows_are_those_of_the_models_training_window(history, runtime, window):
    found = of_file(history, runtime)
    assert list(found.times) == window["event_time"].to_list()
    assert found.source == "history.parquet, the model's training window 2026-01-01 to 2026-01-02"


def test_columns_are_inputs_score_and_latents_as_the_model_gives_them(history, runtime, window):
    found = of_file(history, runtime)
    assert found.names == ["amount", "terminal_risk_7d", "score", "latent 0"]
    amount = window["amount"].to_numpy().astype(np.float32)
    np.testing.assert_array_equal(found.values[:, 0], amount)
    risk = np.nan_to_num(found.values[:, 1])
    np.testing.assert_allclose(found.values[:, 2], (amount - 2) ** 2 + (risk - 2) ** 2, rtol=1e-5)
    np.testing.assert_array_equal(found.values[:, 2], found.values[:, 3])


def test_rows_after_a_moment_are_those_from_it_on(history, runtime, window):
    found = of_file(history, runtime)
    later = window.filter(pl.col("event_time") >= SECOND_DAY)
    assert 0 < len(later) < len(window)
    np.testing.assert_array_equal(found.after(SECOND_DAY)[:, 0], later["amount"].to_numpy().astype(np.float32))


def test_of_a_large_file_every_nth_row_is_taken(history, runtime, window, monkeypatch):
    monkeypatch.setattr(rows, "MOST_ROWS", 50)
    found = of_file(history, runtime)
    step = -(-len(window) // 50)
    assert list(found.times) == window["event_time"].gather_every(step).to_list()


def test_a_file_without_the_training_window_is_refused(frame, runtime, tmp_path):
    write(frame.filter(pl.col("event_time") >= datetime(2026, 1, 3, tzinfo=UTC)), tmp_path / "later.parquet")
    with pytest.raises(DataError, match=r"later\.parquet"):
        of_file(tmp_path / "later.parquet", runtime)
