"""Markup in every string of a record, and a page as a browser reads it: for tests that no name becomes markup."""

from dataclasses import fields, is_dataclass, replace
from enum import Enum
from html.parser import HTMLParser
from typing import Any

import msgspec

MARKUP = (
    """<img src=x onerror=alert(1)>"'><svg onload=alert(1)></script><script>alert(1)</script></style></text>"""
    """--><a href=javascript:alert(1)>' onmouseover='alert(1)' {{ 7 * 7 }} {% raw %} &lt;b&gt; $a_b$"""
)


def filled(value: Any, text: str = MARKUP) -> Any:
    """The value with this text in every string in it: at the end, or in place of a digest, which pages shorten."""
    match value:
        case Enum():
            return value
        case str():
            return text + value if len(value) == 64 else value + text
        case list():
            return [filled(item, text) for item in value]
        case tuple():
            return tuple(filled(item, text) for item in value)
        case dict():
            return {filled(name, text): filled(item, text) for name, item in value.items()}
        case msgspec.Struct():
            return msgspec.structs.replace(
                value, **{name: filled(getattr(value, name), text) for name in value.__struct_fields__}
            )
    if is_dataclass(value) and not isinstance(value, type):
        return replace(value, **{field.name: filled(getattr(value, field.name), text) for field in fields(value)})
    return value


class Page(HTMLParser):
    """A page as a browser reads it.

    Attributes:
        kinds: Each sort of element: its tag and the names of its attributes.
        links: Values of the attributes that lead somewhere.
        text: All text outside of scripts and styles.
        scripts: The text of each script.
        policy: Its content security policy.
    """

    LEAD_SOMEWHERE = ("href", "xlink:href", "src", "action", "formaction", "data", "srcdoc", "poster", "srcset")

    def __init__(self, html: str) -> None:
        super().__init__()
        self.kinds: set[tuple[str, frozenset[str]]] = set()
        self.links: list[str] = []
        self.text, self.policy, self.scripts = "", "", list[str]()
        self._within = ""
        self.feed(str(html))  # a `Markup` would escape what the parser unescapes
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.kinds.add((tag, frozenset(name for name, _ in attrs)))
        self.links += [value or "" for name, value in attrs if name in self.LEAD_SOMEWHERE]
        self._within = tag if tag in ("script", "style") else ""
        if ("http-equiv", "Content-Security-Policy") in attrs:
            self.policy = dict(attrs)["content"] or ""

    def handle_endtag(self, tag: str) -> None:
        self._within = ""

    def handle_data(self, data: str) -> None:
        if self._within == "script":
            self.scripts.append(data)
        elif not self._within:
            self.text += data


def assert_no_markup_comes_of(hostile: str, plain: str) -> None:
    """A page of hostile strings has no element, attribute or script that a page of harmless strings has not."""
    page, harmless = Page(hostile), Page(plain)
    assert page.kinds <= harmless.kinds
    assert len(page.scripts) == len(harmless.scripts)
    assert not [link for link in page.links if link.lower().lstrip().startswith("javascript:")]
    assert MARKUP in page.text
