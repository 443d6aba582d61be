"""Distances: zero for the same shares, bounded and ordered otherwise, finite for bins that one side never saw."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.distances import distances, normal_scores

SHARES = np.array([0.25, 0.25, 0.25, 0.25])
PLACES = normal_scores(SHARES)


def test_the_same_shares_are_no_distance():
    assert distances(np.array([500, 500, 500, 500]), SHARES, PLACES) == pytest.approx((0, 0, 0, 0), abs=1e-12)


def test_psi_is_the_textbook_value_where_counts_are_many():
    found = distances(np.array([400_000, 200_000, 200_000, 200_000]), SHARES, PLACES)
    expected = 0.15 * math.log(0.4 / 0.25) + 3 * (0.2 - 0.25) * math.log(0.2 / 0.25)
    assert found.psi == pytest.approx(expected, rel=1e-4)
    assert found.kl == pytest.approx(0.4 * math.log(1.6) + 0.6 * math.log(0.8), rel=1e-4)


@given(st.lists(st.integers(0, 5000), min_size=2, max_size=17), st.integers(0, 1000))
def test_every_distance_is_finite_and_not_negative(counts, seed):
    shares = np.random.default_rng(seed).dirichlet(np.ones(len(counts)))
    found = distances(np.array(counts), shares, normal_scores(shares))
    assert all(math.isfinite(value) and value >= -1e-9 for value in found)
    assert found.js <= math.log(2)
    assert found.psi >= found.kl - 1e-9


def test_wasserstein_is_the_share_that_moves_times_how_far():
    found = distances(np.array([0, 500_000, 250_000, 250_000]), SHARES, PLACES)
    assert found.wasserstein == pytest.approx(0.25 * (PLACES[1] - PLACES[0]), rel=1e-4)
