"""Whether decisions are steady: small moves of the inputs do not flip them, and absurd values do not pass."""

import numpy as np

from models.gates.comparison import GateComparison
from models.gates.limits import Limits
from models.gates.report import Gate, Measure, judged
from models.runtime import Runtime, one_thread

NAME = "robustness"
WHY = "a decision that rounding could flip cannot be explained, and a fraudster must not pass by sending absurd values"
ORDINARY_ROWS = 200


def gate(comparison: GateComparison, limits: Limits) -> Gate:
    """Flips relative to the alerts, and single absurd inputs in otherwise ordinary rows."""
    side, rng = comparison.candidate, np.random.default_rng(limits.sample.seed)
    flips = int(flipped(side.runtime, side.inputs, limits.robustness.move, rng).sum())
    ordinary = comparison.legitimate[~side.alerts[comparison.legitimate]]
    drawn = rng.choice(ordinary, min(ORDINARY_ROWS, len(ordinary)), replace=False)
    measures = [
        Measure(
            f"flips by moves of {limits.robustness.move:.0%} to alerts",
            flips / max(int(side.alerts.sum()), 1),
            most=limits.robustness.flips_most,
        ),
        _unnoticed_measure(side.runtime, side.inputs[drawn], _largest(side.inputs), limits),
    ]
    return judged(NAME, WHY, measures, f"{flips} decisions of {len(side.inputs):,} flip")


def on_golden_rows(runtime: Runtime, limits: Limits) -> Gate:
    """The same on the golden rows of the model, where there is no data."""
    inputs = np.array([row.inputs for row in runtime.manifest.golden], dtype=np.float32)
    rng = np.random.default_rng(limits.sample.seed)
    with one_thread():
        alerts = runtime.score(inputs).score >= runtime.manifest.calibration.threshold
    measures = [
        Measure(
            f"golden rows that moves of {limits.robustness.move:.0%} flip",
            float(flipped(runtime, inputs, limits.robustness.move, rng).mean()),
            most=limits.robustness.golden_flips_most,
        ),
    ]
    if not alerts.all():
        ordinary = inputs[~alerts]
        measures.append(_unnoticed_measure(runtime, ordinary, _largest(ordinary), limits))
    return judged(NAME, WHY, measures)


def flipped(runtime: Runtime, inputs: np.ndarray, move: float, rng: np.random.Generator) -> np.ndarray:
    """Which decisions change when every value moves by up to `move` times itself, bool [n].

    Args:
        runtime: The model.
        inputs: float32 [n, inputs], raw.
        move: Largest relative move.
        rng: Draws the moves, uniformly.
    """
    moved = inputs * (1 + rng.uniform(-move, move, inputs.shape).astype(np.float32))
    threshold = runtime.manifest.calibration.threshold
    with one_thread():
        before, after = (np.asarray(runtime.score(rows).score >= threshold) for rows in (inputs, moved))
    return before ^ after


def unnoticed(runtime: Runtime, ordinary: np.ndarray, largest: np.ndarray, far_out: float) -> np.ndarray:
    """Share of rows that still pass when one input alone is far out, for each input: float64 [inputs].

    A NaN score counts as passing.

    Args:
        runtime: The model.
        ordinary: float32 [n, inputs], rows that do not alert.
        largest: float32 [inputs], the largest value seen of each.
        far_out: How many times that.
    """
    threshold = runtime.manifest.calibration.threshold
    shares = np.empty(ordinary.shape[1])
    with one_thread():
        for column in range(ordinary.shape[1]):
            absurd = ordinary.copy()
            absurd[:, column] = far_out * largest[column]
            shares[column] = 1 - np.mean(runtime.score(absurd).score >= threshold)
    return shares


def _unnoticed_measure(runtime: Runtime, ordinary: np.ndarray, largest: np.ndarray, limits: Limits) -> Measure:
    name, most = "single absurd values that pass", limits.robustness.unnoticed_most
    if not len(ordinary):
        return Measure(name, None, most=most)
    # Of a constant input nothing is known that a value could be far from: drift watches it. Windows nobody can send
    watched = [
        column
        for column, entry in enumerate(runtime.manifest.inputs)
        if entry.window is None and entry.name not in runtime.manifest.constant
    ]
    if not watched:
        return Measure(name, None, most=most)
    shares = unnoticed(runtime, ordinary, largest, limits.robustness.far_out)[watched]
    if shares.max() > most:
        name += f", most in {runtime.manifest.inputs[watched[int(shares.argmax())]].name}"
    return Measure(name, float(shares.mean()), most=most)


def _largest(inputs: np.ndarray) -> np.ndarray:
    """The largest magnitude of each input, at least 1, float32 [inputs]."""
    largest: np.ndarray = np.nan_to_num(np.abs(inputs)).max(axis=0).clip(min=1.0).astype(np.float32)
    return largest
