"""Explaining: exactly the rows at or over the threshold, strongest reasons first, shares of the score."""

import numpy as np
import pytest

from models.manifest import Calibration
from models.runtime import Scored
from schemas.scoring import Severity
from stream_app.pipeline.explain import explain
from tests.unit.stream_app.pipeline.rows import scored

CALIBRATION = Calibration(0.01, 3.0, [0.0, 3.0, 5.0, 9.0], [1.0, 0.01, 0.001, 0.0001])


def of(contributions: list[list[float]]) -> Scored:
    template = scored(len(contributions))
    columns = np.array(contributions, dtype=np.float32)
    return Scored(
        columns.sum(axis=1),
        columns,
        template.reconstruction,
        template.latent,
        template.standardised,
        template.residual,
    )


def test_a_score_at_the_threshold_is_an_anomaly_and_one_below_is_not():
    reasoned = explain(of([[1, 1, 1], [1, 1, 0.99], [4, 0, 0]]), CALIBRATION, top=3)
    assert reasoned.rows.tolist() == [0, 2]


def test_the_strongest_inputs_come_first_with_their_shares_of_the_score():
    reasoned = explain(of([[1, 6, 3]]), CALIBRATION, top=2)
    assert reasoned.top.tolist() == [[1, 2]]
    assert reasoned.shares[0] == pytest.approx([0.6, 0.3])


def test_equal_contributions_are_named_in_the_order_of_the_inputs():
    assert explain(of([[2, 2, 2]]), CALIBRATION, top=3).top.tolist() == [[0, 1, 2]]


@pytest.mark.parametrize(
    ("score", "severity"), [(3.0, Severity.MEDIUM), (5.0, Severity.HIGH), (9.0, Severity.CRITICAL)]
)
def test_severity_is_how_far_beyond_the_alert_budget_the_score_is(score, severity):
    assert explain(of([[score, 0, 0]]), CALIBRATION, top=1).severities == [severity]


def test_a_batch_without_anomalies_gives_none():
    reasoned = explain(of([[0.1, 0.1, 0.1]]), CALIBRATION, top=3)
    assert len(reasoned.rows) == len(reasoned.severities) == len(reasoned.top) == 0
