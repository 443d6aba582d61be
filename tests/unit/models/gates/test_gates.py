"""Each gate refuses what it must and lets pass what it must, and says so with the figure and the limit."""

from datetime import UTC, datetime

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.gates import accuracy, agreement, shift, stability, volume
from models.gates.report import GateReport, GateResult, Measure, judged
from schemas.scoring import ModelRef
from tests.unit.models.gates.gate_sides import comparison, limits, rows, scores, side

FRAME = rows()
CHAMPION = side(scores(FRAME))


def against(candidate, labelled=True):
    return comparison(candidate, CHAMPION, FRAME, labelled)


def test_an_equal_candidate_passes_every_gate_that_compares():
    equal = against(side(CHAMPION.score * 1.7, CHAMPION.latent @ np.linalg.qr(np.eye(5)[::-1])[0] * 3))
    for gate in (accuracy, volume, agreement, stability, shift):
        assert gate.gate(equal, limits()).passes, gate.NAME


def test_accuracy_refuses_a_candidate_that_finds_less():
    found = accuracy.gate(against(side(scores(FRAME, skill=1.0))), limits())
    assert not found.passes
    assert "loss of average precision" in found.sentence


def test_accuracy_refuses_what_might_be_a_loss_even_where_the_figure_is_not_one():
    """With few frauds the interval is wide: what cannot be told from a loss does not pass."""
    few = FRAME.with_columns(fraud=FRAME["fraud"].to_numpy() & (np.arange(FRAME.height) % 12 == 0))
    champion, candidate = side(scores(few, 1, 2.5)), side(scores(few, 2, 2.5))
    found = accuracy.gate(comparison(candidate, champion, few), limits())
    loss = next(m for m in found.measures if m.name == "loss of average precision")
    assert loss.interval[0] < loss.value < loss.interval[1]
    assert loss.interval[1] - loss.interval[0] > 0.05
    assert not found.passes


@pytest.mark.parametrize(("rule", "passes"), [("refuse", False), ("allow", True)])
def test_accuracy_without_labels_is_never_passed_in_silence(rule, passes):
    found = accuracy.gate(against(CHAMPION, labelled=False), limits(accuracy={"without_labels": rule}))
    assert (found.verdict, found.passes) == (GateResult.NOT_MEASURED, passes)
    assert "no labelled frauds" in found.sentence


@pytest.mark.parametrize(("times", "passes"), [(0.75, False), (1.0, True), (1.4, False)])
def test_volume_refuses_a_third_more_and_a_third_fewer_alerts(times, passes):
    found = volume.gate(against(side(CHAMPION.score, times=times)), limits())
    assert found.passes is passes
    assert "limit 0.8 to 1.2" in found.sentence


def test_volume_with_too_few_alerts_to_compare_does_not_pass():
    found = volume.gate(against(CHAMPION), limits(volume={"fewest_alerts": 100_000}))
    assert (found.verdict, found.passes) == (GateResult.NOT_MEASURED, False)


def test_agreement_refuses_as_many_alerts_on_other_transactions():
    other = against(side(scores(FRAME, seed=9, skill=0.0)))
    assert volume.gate(other, limits()).passes
    assert not agreement.gate(other, limits()).passes


def test_stability_refuses_latents_without_the_champion_s_geometry():
    other = against(side(CHAMPION.score, np.random.default_rng(7).normal(size=(FRAME.height, 3))))
    found = stability.gate(other, limits())
    assert not found.passes
    assert [measure.holds for measure in found.measures] == [False, False]


def test_a_constant_latent_has_no_geometry_to_keep():
    found = stability.gate(against(side(CHAMPION.score, np.ones((FRAME.height, 3)))), limits())
    assert (found.passes, found.measures[0].value) == (False, 0.0)


def test_stability_looks_at_legitimate_transactions_alone():
    latent = CHAMPION.latent.copy()
    latent[FRAME["fraud"].to_numpy()] = 1e3 * np.random.default_rng(3).normal(size=(FRAME["fraud"].sum(), 5))
    assert stability.gate(against(side(CHAMPION.score, latent)), limits()).passes


def test_shift_refuses_p_values_that_lie_elsewhere():
    """Calibrated on a calmer week: everything looks stranger than it is."""
    candidate = side(CHAMPION.score)
    object.__setattr__(candidate, "score", CHAMPION.score * 2)
    found = shift.gate(against(candidate), limits())
    assert not found.passes
    assert "PSI" in found.sentence


@given(
    st.floats(-1, 1),
    st.one_of(st.none(), st.floats(-1, 1)),
    st.one_of(st.none(), st.floats(-1, 1)),
    st.floats(0, 0.5),
)
def test_a_measure_holds_only_when_all_of_its_interval_does(value, least, most, width):
    point, wide = Measure("m", value, least, most), Measure("m", value, least, most, (value - width, value + width))
    assert not wide.holds or point.holds
    assert point.holds == ((least is None or value >= least) and (most is None or value <= most))


@pytest.mark.parametrize("value", [None, float("nan")])
def test_a_figure_that_cannot_be_had_holds_no_limit(value):
    assert not Measure("m", value, most=1.0).holds
    assert not judged("g", "why", [Measure("m", value, most=1.0)]).passes


def test_a_report_names_the_gates_that_refuse_and_has_a_digest_of_its_own():
    ref, day = ModelRef("card-fraud", "2", "2" * 64), datetime(2018, 7, 25, tzinfo=UTC)
    good, bad = (
        judged("cost", "why", [Measure("m", 1.0, most=2.0)]),
        judged("volume", "why", [Measure("m", 3.0, most=2)]),
    )
    passed, refused = (GateReport(ref, ref, day, day.date(), day.date(), 1, 0, g) for g in ([good], [good, bad]))
    assert (passed.passed, passed.failed) == (True, [])
    assert (refused.passed, refused.failed) == (False, ["volume"])
    assert "refused for volume" in refused.conclusion
    assert passed.digest != refused.digest
