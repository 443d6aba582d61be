"""The one template engine: it escapes whatever it is given, and no template or module goes round it."""

import re
from pathlib import Path

import pytest
from jinja2 import UndefinedError

from models.pages import markup
from tests.markup import MARKUP, Page, assert_no_markup_comes_of

ROOT = Path(__file__).parents[4]
ROOMS = ("schemas", "models", "stream_app")
TEMPLATES = [path for room in ROOMS for path in (ROOT / room).rglob("*.html") if "static" not in path.parts]
SOURCES = [path for room in ROOMS for path in (ROOT / room).rglob("*.py")]

TEMPLATE = """{% extends "base.html" %}
{% block content %}<p class="{{ name }}" title='{{ name }}'>{{ name }}</p>{% endblock %}"""


@pytest.fixture
def template(tmp_path):
    (tmp_path / "own.html").write_text(TEMPLATE)
    return tmp_path / "own.html"


def test_markup_in_a_value_is_text_in_title_content_and_attributes(template):
    plain, hostile = (markup.page(template, title=name, name=name) for name in ("amount", MARKUP))
    assert_no_markup_comes_of(hostile, plain)
    assert Page(hostile).text.count(MARKUP) == 3  # title, heading, content
    assert "49" not in hostile  # a value is no template


def test_a_value_that_is_not_there_is_an_error_and_not_an_empty_place(template):
    with pytest.raises(UndefinedError, match="name"):
        markup.page(template, title="a title")


def test_a_page_loads_and_runs_nothing(template):
    page = Page(markup.page(template, title="a title", name="amount"))
    assert page.policy.startswith("default-src 'none'")
    assert "script" not in page.policy
    assert page.links == []


@pytest.mark.parametrize("path", TEMPLATES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_no_template_takes_a_value_as_markup(path):
    text = path.read_text(encoding="utf-8")
    assert not re.search(r"\|\s*safe", text)
    assert "autoescape" not in text
    assert path.name == "base.html" or text.startswith('{% extends "base.html" %}')


def test_only_pictures_are_taken_as_markup():
    makers = [path.relative_to(ROOT).as_posix() for path in SOURCES if "Markup(" in path.read_text(encoding="utf-8")]
    assert makers == ["models/pages/pictures.py"]
