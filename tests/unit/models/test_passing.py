"""The smallest change that clears an anomaly is one that does, and hardly less would."""

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import polars as pl
import pytest

from models import artefact
from models.definition import cards
from models.inputs import matrix
from models.passing import PassingValue, sentence, smallest_change
from models.runtime import Runtime
from stream_app.testing.tiny_model import tiny_model

CENTRE = 0.4


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Runtime:
    """Scores the squared distance of an amount and a risk from 0.4, which it expects of both."""
    path: Path = tmp_path_factory.mktemp("tiny") / "1.pt"
    tiny_model(path, "1", CENTRE)
    return artefact.load(path)


def change(model: Runtime, *event: float, reasons: tuple[int, ...] = (0, 1)) -> list[PassingValue]:
    return smallest_change(model, np.array(event, np.float32), np.full(2, CENTRE), reasons)


def test_the_first_reason_goes_as_far_as_it_must_and_is_told_in_few_digits(tiny):
    boundary = CENTRE + tiny.manifest.calibration.threshold**0.5
    (found,) = change(tiny, 50 * boundary, CENTRE)
    assert (found.feature, found.unit) == ("amount", "EUR")
    assert boundary * 0.985 < found.value < boundary
    assert found.value == float(f"{found.value:.3g}")
    assert sentence([found]) == f"would pass with amount {found.value:.2f} EUR"


def test_where_the_first_is_not_enough_the_next_goes_with_it(tiny):
    far = CENTRE + 3 * tiny.manifest.calibration.threshold**0.5
    found = change(tiny, far, far)
    assert [one.feature for one in found] == ["amount", "terminal_risk_7d"]
    assert change(tiny, far, far, reasons=(0,)) == []
    assert sentence([]) == ""
    assert sentence(found[:1] * 3).count(" and ") == 1


def test_what_is_missing_is_left_alone(tiny):
    far = CENTRE + 3 * tiny.manifest.calibration.threshold**0.5
    assert [one.feature for one in change(tiny, far, float("nan"), reasons=(1, 0))] == ["amount"]


@pytest.fixture(scope="module")
def ordinary(week: pl.DataFrame, trained: SimpleNamespace) -> np.ndarray:
    rows = matrix(week[-500:], cards().inputs)
    return rows[trained.runtime.score(rows).score < trained.manifest.calibration.threshold]


def cleared(model: Runtime, event: np.ndarray) -> tuple[list[PassingValue], np.ndarray]:
    scored = model.score(event[None])
    assert scored.score[0] >= model.manifest.calibration.threshold
    reasons = np.argsort(-scored.contributions[0])[:3].tolist()
    found = smallest_change(model, event, scored.reconstruction[0], reasons)
    changed = event.copy()
    for one in found:
        changed[model.manifest.definition.column(one.feature)] = one.value
    return found, changed


def test_of_an_amount_its_means_that_count_it_follow_and_hardly_less_would_do(trained, ordinary):
    definition = cards()
    amount = definition.column("amount")
    clears = 0
    for row in ordinary[:40]:
        event = row.copy()
        event[amount] = row[amount] + 900
        for days in ("1d", "7d", "30d"):
            counted = max(float(row[definition.column(f"customer_nb_tx_{days}")]), 1.0)
            event[definition.column(f"customer_avg_amount_{days}")] += 900 / counted
        found, changed = cleared(trained.runtime, event)
        if [one.feature for one in found] != ["amount"]:
            continue
        clears += 1
        for days in ("1d", "7d", "30d"):
            counted = max(float(row[definition.column(f"customer_nb_tx_{days}")]), 1.0)
            changed[definition.column(f"customer_avg_amount_{days}")] += (changed[amount] - event[amount]) / counted
        assert trained.runtime.score(changed[None]).score[0] < trained.manifest.calibration.threshold
        assert changed[amount] > row[amount] * 0.2
    assert clears > 20


def test_windows_over_one_thing_go_together(trained, ordinary):
    definition = cards()
    risks = [definition.column(f"terminal_risk_{days}") for days in ("1d", "7d", "30d")]
    event = ordinary[0].copy()
    event[risks] = 1.0
    found, changed = cleared(trained.runtime, event)
    assert {one.feature for one in found} >= {f"terminal_risk_{days}" for days in ("1d", "7d", "30d")}
    assert trained.runtime.score(changed[None]).score[0] < trained.manifest.calibration.threshold
    assert all(one.unit == "share" and 0 <= one.value < 1.0 for one in found if "risk" in one.feature)
