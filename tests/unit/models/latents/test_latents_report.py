"""What is said of two latent spaces, on spaces that a test chooses; and that no string of it becomes markup."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import polars as pl
import pytest

from models.alignment import align
from models.gates.comparison import GateComparison, Side
from models.latents.page import page
from models.latents.report import Compatibility, latents_report
from models.latents.words import sentences
from schemas.definition import Input
from tests.markup import Page, assert_no_markup_comes_of, filled
from tests.unit.models.gates.gate_sides import comparison, limits, rows, scores, side

pytestmark = pytest.mark.slow

FRAME = rows().head(2000).with_columns(event_id=pl.int_range(pl.len()).cast(pl.String))
SPACE = np.random.default_rng(0).normal(size=(FRAME.height, 5)) * np.arange(1, 6)
AXES = np.linalg.qr(np.random.default_rng(1).normal(size=(5, 5)))[0]
INPUTS = [Input("amount", "amount"), Input("count", "count")]


def model(latent: np.ndarray, version: str, alignment=None) -> Side:
    raw = np.random.default_rng(2).normal(size=(FRAME.height, 2)).astype(np.float32)
    manifest = SimpleNamespace(name="cards", version=version, inputs=INPUTS, alignment=alignment)
    return replace(
        side(scores(FRAME), latent), runtime=SimpleNamespace(manifest=manifest, sha256=version * 64), inputs=raw
    )


def compared(new: np.ndarray, **more) -> GateComparison:
    return comparison(model(new, "8", **more), model(SPACE, "7"), FRAME)


def report(new: np.ndarray, **more):
    return latents_report(compared(new, **more), limits())


def test_the_same_space_needs_nothing():
    found = report(SPACE + 1e-3)
    assert found.compatibility is Compatibility.AS_THEY_ARE
    assert found.as_it_is == pytest.approx(1, abs=1e-3)
    assert found.neighbours_kept == pytest.approx(1)


def test_other_axes_need_the_map_that_a_manifest_can_hold():
    other = SPACE @ AXES
    found = report(other, alignment=align(other, SPACE, report(other).old))
    assert found.compatibility is Compatibility.ALIGNED
    assert found.as_it_is < 0.5
    assert (found.rotated, found.linear, found.stored) == pytest.approx((1, 1, 1))
    assert "--align-to" in found.compatibility.advice


def test_a_space_of_something_else_is_not_compatible():
    found = report(np.random.default_rng(9).normal(size=SPACE.shape))
    assert found.compatibility is Compatibility.NO
    assert found.linear < 0.1


def test_a_map_to_a_third_model_is_not_taken_for_one_to_this():
    third = align(SPACE, SPACE, report(SPACE).old)
    foreign = SimpleNamespace(sha256="9" * 64, aligned=third.aligned)
    assert report(SPACE @ AXES, alignment=foreign).stored is None


def test_the_class_the_rows_and_the_input_that_moved_are_named():
    frauds = np.flatnonzero(FRAME["fraud"].to_numpy())
    moved = SPACE @ AXES
    moved[frauds] += 40.0
    given = compared(moved)
    given.champion.inputs[frauds, 1] += 9.0
    found = latents_report(given, limits())
    legitimate, fraud = found.means
    assert legitimate.distance < 0.01
    assert fraud.distance > 3
    assert {row.event_id for row in found.moved} <= set(FRAME["event_id"][frauds.tolist()])
    assert found.inputs[0].name == "count"
    assert found.inputs[0].difference > 1


def test_a_space_of_another_size_is_compared_through_maps_alone():
    found = report(np.hstack([SPACE, SPACE[:, :1]]))
    assert found.as_it_is is None
    assert found.linear == pytest.approx(1)
    assert "different numbers of dimensions" in sentences(found)[0]


def test_no_string_of_a_report_becomes_markup():
    given = compared(SPACE @ AXES)
    found = latents_report(given, limits())
    assert_no_markup_comes_of(page(filled(found), given), page(found, given))


def test_the_page_says_what_the_terminal_says():
    given = compared(SPACE @ AXES)
    found = latents_report(given, limits())
    text = Page(page(found, given)).text
    assert all(sentence in text for sentence in sentences(found))
    assert found.moved[0].event_id in text
