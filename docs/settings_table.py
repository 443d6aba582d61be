"""Settings and rights to their tables in operations.md: `python -m docs.settings_table` writes, a test holds them."""

import sys
from enum import Enum
from pathlib import Path
from typing import Any

from pydantic.fields import FieldInfo

from schemas.topics import ALL, Topic
from stream_app.kafka.roles import ROLES, Resource, Role
from stream_app.kafka.roles import rights as role_rights
from stream_app.settings import ENVIRONMENT_PREFIX, Settings

PAGE = Path(__file__).parent / "operations.md"


def settings() -> str:
    """A Markdown table, one row for each setting, in the order of their declaration."""
    rows = [
        f"| `{name}` | {_default(field)} | {(field.description or '').replace('|', chr(92) + '|')}{_bounds(field)} |"
        for name, field in Settings.model_fields.items()
    ]
    return "\n".join(["| setting | default | what it is |", "| --- | --- | --- |", *rows]) + "\n"


def rights() -> str:
    """A Markdown table, one row for each role, in the order of their declaration."""
    rows = [
        f"| `{role.name}` | {role.purpose} | {_topics(role.reads)} | {_topics(role.writes)} | {_groups(role)} |"
        for role in ROLES
    ]
    head = [
        "| role | what it does | reads | writes | groups and transactional ids |",
        "| --- | --- | --- | --- | --- |",
    ]
    return "\n".join([*head, *rows]) + "\n"


def with_current_tables(page: str) -> str:
    """The page with each table between its two marks written anew."""
    for name, table in (("settings", settings()), ("rights", rights())):
        begin, end = f"<!-- {name}: begin -->\n", f"<!-- {name}: end -->\n"
        before, rest = page.split(begin)
        page = before + begin + table + end + rest.split(end)[1]
    return page


def _topics(those: tuple[Topic, ...]) -> str:
    missing = [topic for topic in ALL if topic not in those]
    if len(missing) > len(those):
        return ", ".join(f"`{topic.name}`" for topic in those)
    return ("all but " + ", ".join(f"`{topic.name}`" for topic in missing)) if missing else "all"


def _groups(role: Role) -> str:
    """As `stream_app.kafka.roles` expands them, with the names of an installation without a prefix."""
    given: dict[str, list[str]] = {}
    for right in role_rights(Settings(), role):
        if right.resource is not Resource.TOPIC:
            given.setdefault(f"{right.operation} {right.resource}", []).append(f"`{right}`")
    return "; ".join(f"{may} {', '.join(names)}" for may, names in given.items())


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
    PAGE.write_text(with_current_tables(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
    sys.stdout.write(f"{PAGE.name}: {len(Settings.model_fields)} settings, prefix {ENVIRONMENT_PREFIX}\n")
