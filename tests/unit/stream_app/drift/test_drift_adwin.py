"""The window that detectors take from River is the one that `river.drift.ADWIN` wraps."""

import numpy as np
from river._river_rust.drift import AdaptiveWindowing
from river.drift import ADWIN

OPTIONS = {"delta": 0.002, "clock": 1, "min_window_length": 1, "grace_period": 4}


def test_a_window_that_is_replaced_after_each_detection_finds_what_rivers_own_class_finds():
    rng = np.random.default_rng(7)
    values = np.concatenate([rng.normal(level, 1.0, 300) for level in (0.0, 1.5, -1.0, 0.0)])
    whole, window = ADWIN(**OPTIONS), AdaptiveWindowing(**OPTIONS)
    expected, found = [], []
    for place, value in enumerate(values):
        whole.update(value)
        expected += [place] if whole.drift_detected else []
        if window.update(value):
            found.append(place)
            window = AdaptiveWindowing(**OPTIONS)
    assert len(found) >= 3
    assert found == expected
