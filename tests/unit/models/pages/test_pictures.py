"""Pictures: text stays text, colours are the palette's, the same figure gives the same bytes."""

import re
from xml.etree import ElementTree

import pytest

from models.pages import pictures
from tests.markup import MARKUP, assert_no_markup_comes_of


def everywhere(text):
    """Draws a figure with the text wherever matplotlib takes one."""

    def draw(figure):
        axes = figure.subplots()
        axes.bar([0, 1], [1, 2], label=text)
        axes.set_xticks([0, 1], [text, text])
        axes.set(title=text, xlabel=text, ylabel=text, xlim=(-1, 2), ylim=(0, 3))
        axes.text(0, 1, text)
        axes.annotate(text, (1, 1))
        axes.legend()
        figure.suptitle(text)

    return draw


def texts(svg):
    return [element.text for element in ElementTree.fromstring(svg).iter("{http://www.w3.org/2000/svg}text")]


def test_markup_in_a_text_of_a_picture_stays_text():
    plain, hostile = (pictures.svg(everywhere(text), (40, 30)) for text in ("amount", MARKUP))
    assert_no_markup_comes_of(hostile, plain)
    assert texts(hostile).count(MARKUP) == 9


@pytest.mark.parametrize("name", ["$a_b$", r"$\nonsense{$", "cost in $, not in $"])
def test_a_name_with_dollars_is_no_formula(name):
    assert name in texts(pictures.svg(lambda figure: figure.suptitle(name), (2, 1)))


def test_logarithmic_axes_have_plain_numbers():
    def draw(figure):
        axes = figure.subplots()
        axes.plot([1, 1000], [1, 1e6])
        pictures.logarithmic(axes, "x", "y")

    found = texts(pictures.svg(draw, (4, 3)))
    assert {"1", "10", "100", "1000"} <= set(found)
    assert not [text for text in found if "$" in text]


def test_every_colour_of_the_style_follows_the_readers_scheme():
    in_style = {f"#{colour}" for colour in re.findall(r"\b[0-9a-f]{6}\b", pictures.STYLE.read_text())}
    assert in_style <= set(pictures.COLOURS.values())
    svg = pictures.svg(everywhere("amount"), (4, 3))
    assert not [colour for colour in pictures.COLOURS.values() if colour in svg]


def test_both_schemes_define_the_same_colours():
    light, dark = pictures.PALETTE.split("@media")
    assert re.findall(r"--\w+", light) == re.findall(r"--\w+", dark)


def test_a_saved_svg_brings_its_colours_and_is_the_same_each_time(tmp_path):
    for name in ("new/a.svg", "new/b.svg"):
        pictures.save(everywhere(MARKUP), (40, 30), tmp_path / name)
    first, second = ((tmp_path / "new" / name).read_text() for name in ("a.svg", "b.svg"))
    assert first == second
    assert set(re.findall(r"var\((--\w+)\)", first)) <= set(re.findall(r"(--\w+):", first))
    ElementTree.fromstring(first)


def test_other_endings_are_matplotlibs(tmp_path):
    pictures.save(everywhere("amount"), (4, 3), tmp_path / "a.png")
    assert (tmp_path / "a.png").read_bytes().startswith(b"\x89PNG")
    with pytest.raises(ValueError, match="not supported"):
        pictures.save(everywhere("amount"), (4, 3), tmp_path / "a.nonsense")
