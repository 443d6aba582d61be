"""The protocol of the Fraud Detection Handbook on its own data: a week to train on, one between, one to test."""

from datetime import date
from pathlib import Path

import pytest

from models import artefact
from models.data.frame import read
from models.evaluation import Evaluation, evaluate
from models.protocol import protocol_rows


@pytest.fixture(scope="module")
def found(benchmark_file: Path, champion: Path) -> Evaluation:
    return evaluate(artefact.load(champion), read(benchmark_file), date(2018, 7, 25), date(2018, 7, 31))


def test_the_rows_left_are_as_many_as_the_handbook_prints(benchmark_file):
    """Its section 3.4.3: trained on 2018-07-25..2018-07-31, 58264 transactions to test on, among them 385 frauds."""
    rows = protocol_rows(read(benchmark_file, date(2018, 7, 25)), date(2018, 8, 8), date(2018, 8, 14))
    assert (rows.height, rows["fraud"].sum()) == (58_264, 385)


def test_every_transaction_of_the_test_week_is_measured_or_left_out(found):
    assert (found.rows, found.left_out, found.frauds) == (58_505, 8_735, 374)


def test_the_model_is_above_the_floors_and_above_every_baseline(found):
    """The Handbook's own autoencoder: 0.836, 0.180, 0.217."""
    assert found.auc_roc >= 0.85
    assert found.average_precision >= 0.35
    assert found.card_precision_at_100 >= 0.23
    for name, baseline in found.baselines.items():
        assert found.auc_roc > baseline.auc_roc, name
        assert found.average_precision > baseline.average_precision, name
        assert found.card_precision_at_100 > baseline.card_precision_at_100, name


def test_two_weeks_later_the_alert_budget_of_one_in_a_hundred_is_still_about_kept(found):
    assert found.alert_rate == pytest.approx(0.01, abs=0.005)
