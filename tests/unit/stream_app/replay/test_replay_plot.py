"""The picture of a what-if: scores about the threshold, alerts then and now, a model's name as text."""

from xml.etree import ElementTree

import numpy as np
import pytest

from schemas.scoring import ModelRef
from stream_app.replay.plot import draw
from stream_app.replay.what_if import Alert, WhatIf
from tests.markup import MARKUP, assert_no_markup_comes_of

pytestmark = pytest.mark.slow


def a_what_if(name="cards"):
    """Five transactions, two of them alerts now and one then, one fraud."""
    return WhatIf(
        model=ModelRef(name, "2", "a" * 64),
        threshold=10.0,
        events=6,
        refused=1,
        alerts_then=1,
        alerts_now=2,
        gained=[Alert("7", 0, 4, 20.0, None)],
        lost=[],
        labelled=2,
        frauds=1,
        caught_then=1,
        caught_now=1,
        false_then=0,
        false_now=1,
        scores=np.array([0.0, 0.5, 1.0, 20.0, 30.0], dtype=np.float32),
        fraud=np.array([-1, -1, 0, -1, 1], dtype=np.int8),
    )


def texts(path):
    return [element.text for element in ElementTree.parse(path).iter("{http://www.w3.org/2000/svg}text")]


def test_the_picture_counts_what_was_decided_then_and_now(tmp_path):
    draw(a_what_if(), tmp_path / "a.svg")
    assert {
        "cards 2 (aaaaaaaaaaaa), 6 records",
        "all 5 events",
        "1 confirmed frauds",
        "threshold 10",
        "+1 gained, -0 lost",
        "as decided",
        "replayed",
    } <= set(texts(tmp_path / "a.svg"))


def test_the_name_of_a_model_becomes_no_markup(tmp_path):
    for name, path in (("cards", "plain.svg"), (MARKUP, "hostile.svg")):
        draw(a_what_if(name), tmp_path / path)
    assert_no_markup_comes_of((tmp_path / "hostile.svg").read_text(), (tmp_path / "plain.svg").read_text())


@pytest.mark.parametrize("ending", [".png", ".pdf"])
def test_the_ending_decides_the_kind(tmp_path, ending):
    draw(a_what_if(), tmp_path / f"a{ending}")
    assert ending[1:].upper().encode() in (tmp_path / f"a{ending}").read_bytes()[:8]
