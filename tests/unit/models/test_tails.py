"""How rare a value is: as rare as it is in training, and rarer the further it lies beyond."""

import numpy as np
import pytest
import torch

from models.tails import Tails

RNG = np.random.default_rng(0)
NORMAL, LEANING = RNG.normal(size=20_000), RNG.exponential(size=20_000)


def surprise(training: np.ndarray, values: list[float], judged: bool = True) -> list[float]:
    standard = (training - training.mean()) / training.std()
    tails = Tails(np.array([judged]), standard[None])
    probes = (torch.tensor([values], dtype=torch.float64) - training.mean()) / training.std()
    found: list[float] = tails(probes)[0].tolist()
    return found


@pytest.mark.parametrize("share", [0.1, 0.01, 0.001])
def test_a_value_that_so_many_reach_has_the_surprise_of_that_share(share: float):
    assert surprise(LEANING, [float(np.quantile(LEANING, 1 - share))])[0] == pytest.approx(-np.log(share), abs=0.25)
    one_sided = surprise(NORMAL, [float(np.quantile(NORMAL, 1 - share / 2))])[0]
    assert one_sided == pytest.approx(-np.log(share), abs=0.4)


def test_what_leans_to_one_side_is_strange_there_and_what_does_not_on_both():
    low, high = surprise(LEANING, [float(LEANING.min()), 6.0])
    assert low < 0.1
    assert high > 5
    low, high = surprise(-LEANING, [-6.0, float(-LEANING.min())])
    assert high < 0.1
    assert low > 5
    low, high = surprise(NORMAL, [-3.5, 3.5])
    assert min(low, high) > 5


@pytest.mark.parametrize("training", [NORMAL, LEANING, -LEANING, (RNG.random(20_000) < 0.01).astype(float)])
@pytest.mark.parametrize("judged", [True, False])
def test_beyond_what_was_ever_seen_it_grows_without_end_on_either_side(training: np.ndarray, judged: bool):
    spread = training.std()
    for end, side in ((training.max(), 1), (training.min(), -1)):
        found = surprise(training, [float(end + side * spread * far) for far in (1, 10, 100, 1000)], judged)
        assert np.diff(found, prepend=0.0).min() > 0
        assert found[-1] > 500


def test_what_is_not_judged_is_no_surprise_within_what_was_seen():
    assert surprise(LEANING, [0.0, 1.0, float(LEANING.max())], judged=False) == pytest.approx([0, 0, 0], abs=1e-2)


def test_of_what_is_nearly_always_nothing_the_rare_values_say_how_far_is_far():
    """A share of labels, a count of a short window: one row in two thousand has a value, and each of these is usual."""
    rare = np.concatenate([np.zeros(20_000), RNG.uniform(2, 12, 10)])
    standardised = (rare - rare.mean()) / rare.std()
    values = standardised[-10:]
    found = np.array(surprise(standardised, values.tolist(), judged=True))
    assert np.all((found > np.log(1000)) & (found < np.log(20_000) + 8)), found
    beyond = surprise(standardised, [float(values.max() * 2)], judged=True)
    assert beyond[0] > found.max()
