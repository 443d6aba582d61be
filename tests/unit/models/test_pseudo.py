"""Rows that never happened: some things of an event changed, all else as it was."""

import numpy as np

from models.data.windows import FEATURES
from models.definition import cards
from models.inputs import matrix
from models.pseudo import MOST_THINGS, pseudo_anomalies

AVERAGES = [1 + FEATURES.index(f"customer_avg_amount_{days}d") for days in (1, 7, 30)]
COUNTS = [1 + place for place, name in enumerate(FEATURES) if "_nb_tx_" in name]


def made(week, seed: int = 0) -> np.ndarray:
    return pseudo_anomalies(matrix(week, cards().inputs), cards(), 4000, np.random.default_rng(seed))


def test_the_same_seed_makes_the_same_rows(week):
    np.testing.assert_array_equal(made(week), made(week))
    assert (made(week) != made(week, 1)).any()


def test_the_others_of_a_row_are_those_of_an_event(week):
    """The circumstances of a made row, its counts and its clock, stand together in an event."""
    events = {tuple(row) for row in matrix(week, cards().inputs)[:, COUNTS]}
    assert all(tuple(row) in events for row in made(week)[:, COUNTS])


def test_each_row_differs_from_every_event_in_at_most_so_many_things(week):
    """Windows over one value are one thing: risks are one, averages one, the amount one."""
    things = [[0], AVERAGES, [1 + place for place, name in enumerate(FEATURES) if "risk" in name]]
    inputs, rows = matrix(week, cards().inputs), made(week)
    known = [{tuple(row) for row in inputs[:, thing]} for thing in things]
    strange = np.array([[tuple(row) not in known[i] for row in rows[:, thing]] for i, thing in enumerate(things)])
    assert strange.any(axis=0).mean() > 0.7
    assert strange.sum(axis=0).max() <= MOST_THINGS


def test_values_lie_beyond_what_was_seen_and_no_share_below_zero(week):
    inputs, rows = matrix(week, cards().inputs), made(week)
    assert rows[:, 0].max() > 1.5 * inputs[:, 0].max()
    assert (rows >= 0).all()
