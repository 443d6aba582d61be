"""The measures are what their names say: bounded, blind to what means nothing, equal to the textbook's."""

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import ortho_group
from sklearn.metrics import average_precision_score

from models.evaluation import card_precision
from models.gates.accuracy import AveragePrecision, CardPrecision, customers
from models.gates.agreement import jaccard
from models.gates.shift import moved
from models.gates.stability import neighbour_overlap
from models.similarity import linear_cka
from tests.unit.models.gates.gate_sides import CUSTOMERS, rows, scores

SEEDS = st.integers(0, 10_000)


def cloud(seed: int, width: int = 4, count: int = 120) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(count, width)) * np.arange(1, width + 1)


def turned(x: np.ndarray, seed: int, scale: float, offset: float) -> np.ndarray:
    rotation = ortho_group.rvs(x.shape[1], random_state=seed)
    return scale * (x @ rotation) + offset


@settings(max_examples=30)
@given(SEEDS, st.floats(0.01, 100), st.floats(-50, 50))
def test_rotation_mirroring_scale_and_place_mean_nothing_to_latent_stability(seed, scale, offset):
    x, other = cloud(seed), cloud(seed + 1, width=6)
    assert linear_cka(x, turned(x, seed, scale, offset)) == pytest.approx(1)
    assert linear_cka(turned(x, seed, scale, offset), other) == pytest.approx(linear_cka(x, other))
    assert neighbour_overlap(x, turned(x, seed, scale, offset), 10) == pytest.approx(1, abs=0.01)


@settings(max_examples=30)
@given(SEEDS, SEEDS, st.integers(1, 8), st.integers(1, 8))
def test_latent_stability_is_between_0_and_1_and_the_same_either_way(first, second, a, b):
    x, y = cloud(first, a), cloud(second, b)
    for measure in (linear_cka, lambda p, q: neighbour_overlap(p, q, 5)):
        assert -1e-9 <= measure(x, y) <= 1 + 1e-9
        assert measure(x, y) == pytest.approx(measure(y, x))


def test_latents_that_have_nothing_in_common_overlap_by_chance_alone():
    x, y = cloud(1, count=1000), cloud(2, count=1000)
    assert linear_cka(x, y) < 0.05
    assert neighbour_overlap(x, y, 10) == pytest.approx(10 / 999, abs=0.01)


@given(st.lists(st.tuples(st.booleans(), st.booleans()), max_size=50))
def test_the_jaccard_index_is_between_0_and_1_and_1_for_the_same_sets(pairs):
    a, b = np.array([p for p, _ in pairs], bool), np.array([q for _, q in pairs], bool)
    assert 0 <= jaccard(a, b) <= 1
    assert jaccard(a, b) == jaccard(b, a)
    assert jaccard(a, a) == 1
    assert (jaccard(a, b) == 1) == bool((a == b).all())


@settings(max_examples=20)
@given(SEEDS)
def test_the_figures_on_the_rows_as_they_are_are_those_of_the_evaluation(seed):
    frame = rows(seed)
    found = scores(frame, seed, skill=2.0)
    once = np.ones(customers(frame).max() + 1, dtype=np.int64)
    assert CardPrecision.of(frame, found)(once) == pytest.approx(card_precision(found, frame))
    average_precision = average_precision_score(frame["fraud"], found)  # scores that are alike count in another order
    assert AveragePrecision.of(frame, found)(once) == pytest.approx(average_precision, rel=1e-4)


def test_a_customer_drawn_twice_counts_as_two():
    frame = rows()
    found = scores(frame)
    times = np.ones(CUSTOMERS, dtype=np.int64)
    drawn = int(customers(frame)[int(frame["fraud"].arg_true()[0])])
    times[drawn] = 2
    twice = frame.filter(pl.Series(customers(frame) == drawn))
    both = pl.concat([frame, twice.with_columns(entity=pl.lit("another"))])
    both_scores = np.concatenate([found, found[customers(frame) == drawn]])
    assert AveragePrecision.of(frame, found)(times) == pytest.approx(
        average_precision_score(both["fraud"], both_scores), rel=1e-3
    )


def test_p_values_that_lie_elsewhere_show():
    p = np.random.default_rng(0).random(50_000)
    same = moved(np.random.default_rng(1).random(50_000), p)
    assert same.psi < 0.002
    assert moved(p**2, p).psi > 0.25
