"""p-values are counted for a day of the clock, anew for each model."""

import numpy as np

from schemas.rollout import PValues
from schemas.scoring import ModelRef
from stream_app.pipeline.uniformity import Uniformity

ONE, TWO = (ModelRef("m", version, version * 64) for version in "12")
HALF = np.array([0.05, 0.2, 0.4, 0.9])
NONE = np.array([0.9, 0.9])
HOUR = 3600.0


def test_nothing_is_known_until_a_day_is_over_and_then_the_last_day_alone():
    counted = Uniformity()
    for hour in range(24):
        counted.add(hour * HOUR + 5, ONE, HALF)
        assert counted.of_a_day is None
    counted.add(24 * HOUR, ONE, NONE)
    counted.add(24 * HOUR + 60, ONE, NONE)
    assert counted.of_a_day == PValues(23 * 4 + 4, [23, 46, 69])
    counted.add(60 * HOUR, ONE, NONE)
    assert counted.of_a_day == PValues(2, [0, 0, 0])


def test_another_model_begins_anew():
    counted = Uniformity()
    for hour in range(26):
        counted.add(hour * HOUR, ONE, HALF)
    assert counted.of_a_day is not None
    counted.add(26 * HOUR, TWO, HALF)
    assert counted.of_a_day is None
