"""The settings to the table in operations.md: `python -m docs.settings_table` writes it, a test holds it current."""

import sys
from enum import Enum
from pathlib import Path
from typing import Any

from pydantic.fields import FieldInfo

from stream_app.settings import ENVIRONMENT_PREFIX, Settings

PAGE = Path(__file__).parent / "operations.md"
BEGIN, END = "<!-- settings: begin -->\n", "<!-- settings: end -->\n"


def table() -> str:
    """A Markdown table, one row for each setting, in the order of their declaration."""
    rows = [
        f"| `{name}` | {_default(field)} | {(field.description or '').replace('|', chr(92) + '|')}{_bounds(field)} |"
        for name, field in Settings.model_fields.items()
    ]
    return "\n".join(["| setting | default | what it is |", "| --- | --- | --- |", *rows]) + "\n"


def with_current_table(page: str) -> str:
    """The page with the table between its two marks written anew."""
    before, rest = page.split(BEGIN)
    return before + BEGIN + table() + END + rest.split(END)[1]


def _default(field: FieldInfo) -> str:
    value: Any = field.get_default(call_default_factory=True)
    if isinstance(value, Enum):
        value = value.value
    return "" if value in (None, "", {}) else f"`{str(value).lower() if isinstance(value, bool) else value}`"


def _bounds(field: FieldInfo) -> str:
    signs = {"ge": "≥", "gt": ">", "le": "≤", "lt": "<"}
    limits = [f"{signs[n]} {getattr(m, n)}" for m in field.metadata for n in signs if getattr(m, n, None) is not None]
    return f" ({', '.join(limits)})" if limits else ""


if __name__ == "__main__":
    PAGE.write_text(with_current_table(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
    sys.stdout.write(f"{PAGE.name}: {len(Settings.model_fields)} settings, prefix {ENVIRONMENT_PREFIX}\n")
