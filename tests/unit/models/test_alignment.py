"""Maps between latent spaces: what they undo, and what they cannot."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.alignment import align, explained, least_squares, rotated
from schemas.scoring import ModelRef

OTHER = ModelRef("cards", "7", "7" * 64)


def space(seed: int, rows: int = 400, size: int = 4) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(rows, size)) * np.arange(1, size + 1)


def turned(x: np.ndarray, seed: int) -> np.ndarray:
    """The same space in other axes: turned, mirrored, scaled and shifted."""
    rng = np.random.default_rng(seed)
    axes = np.linalg.qr(rng.normal(size=(x.shape[1], x.shape[1])))[0]
    return rng.uniform(0.1, 10) * (x @ axes) + rng.normal(size=x.shape[1])


@given(st.integers(0, 1000))
def test_a_rotation_with_scale_and_shift_is_undone_by_a_rotation(seed):
    x = space(seed)
    y = turned(x, seed + 1)
    assert explained(y, rotated(x, y, x)) == pytest.approx(1, abs=1e-9)


@given(st.integers(0, 1000))
def test_any_linear_map_is_undone_by_least_squares_and_not_by_a_rotation(seed):
    x = space(seed)
    y = x @ np.diag([1.0, 20.0, 0.05, 3.0]) + 7
    weights, offset = least_squares(x, y)
    assert explained(y, x @ weights + offset) == pytest.approx(1, abs=1e-9)
    assert explained(y, rotated(x, y, x)) < 0.999


@pytest.mark.parametrize(("ours", "theirs"), [(3, 5), (5, 3), (1, 4)])
def test_spaces_of_different_size_are_mapped(ours, theirs):
    x = space(3, size=ours)
    y = x @ np.random.default_rng(0).normal(size=(ours, theirs))
    found = align(x, y, OTHER)
    assert found.explained == pytest.approx(1)
    assert found.aligned(x) == pytest.approx(y)
    assert rotated(x, y, x).shape == y.shape


def test_an_unrelated_space_is_hardly_explained_on_rows_that_the_map_was_not_fitted_to():
    found = align(space(1), space(2), OTHER)
    assert found.explained < 0.05
    assert (found.name, found.version, found.sha256) == (OTHER.name, OTHER.version, OTHER.sha256)


def test_a_constant_space_explains_nothing_and_breaks_nothing():
    still = np.ones((50, 3))
    assert np.isnan(explained(still, still))
    assert rotated(still, space(0, 50, 3), still).shape == (50, 3)
    assert explained(space(0, 50, 3), rotated(still, space(0, 50, 3), still)) == pytest.approx(0, abs=1e-9)
