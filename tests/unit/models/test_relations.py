"""Relations of the reference: what belongs together, and at which hours."""

import numpy as np
import pytest

from models.manifest import HOURS
from models.relations import relations
from models.season import Hours
from schemas.definition import Input

INPUTS = [Input(name, name, "1", "impute") for name in ("a", "b")]


@pytest.fixture
def noon_differs():
    """Two inputs that are alike at most hours, and opposite at noon on weekdays."""
    rng, cells = np.random.default_rng(7), np.tile(np.arange(HOURS), 400)
    first = rng.standard_normal(len(cells))
    second = np.where(cells == 12, -first, first) + 0.3 * rng.standard_normal(len(cells))
    return np.stack((first, second), axis=1), cells


def test_components_are_uncorrelated_and_without_hours_there_is_no_season(noon_differs):
    rows, _ = noon_differs
    found = relations(INPUTS, rows)
    assert found is not None
    assert found.mean[1] == pytest.approx(0, abs=0.05)  # of the pair; the others are of one with itself
    assert found.season is None


def test_a_relation_that_follows_the_clock_is_usual_at_its_hour(noon_differs):
    rows, cells = noon_differs
    found = relations(INPUTS, rows, Hours(cells, np.zeros(HOURS, dtype=np.int64)))
    assert found is not None
    assert found.season is not None
    season = np.array(found.season)
    assert season.shape == (3, HOURS)
    apart = np.abs(season - season[:, :1]).max(axis=0)
    assert apart[12] > 1
    assert np.delete(apart, 12).max() < 0.5


def test_one_input_has_no_relations():
    assert relations(INPUTS[:1], np.random.default_rng(7).standard_normal((100, 1))) is None
