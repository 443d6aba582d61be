"""One word for one thing: no two public classes of the product share a name."""

import ast
from collections import Counter
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_no_public_class_name_stands_twice() -> None:
    names = Counter(
        node.name
        for room in ("schemas", "models", "stream_app")
        for path in (ROOT / room).rglob("*.py")
        for node in ast.parse(path.read_text()).body
        if isinstance(node, ast.ClassDef) and not node.name.startswith("_")
    )
    assert {name for name, count in names.items() if count > 1} == set()
