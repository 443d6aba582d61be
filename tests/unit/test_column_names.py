"""The product knows the columns of no benchmark: what makes one special is said by the specification of the inputs."""

from pathlib import Path

import pytest

from models.data.windows import FEATURES
from models.definition import cards, find

ROOT = Path(__file__).parents[2]
HANDBOOK = {entry.path for entry in find("handbook").inputs}
OF_THE_BENCHMARK = {*FEATURES, *HANDBOOK, "during_", "_nb_tx", "_avg_amount", "_risk_", "terminal_risk"}
# The features of chapter 3.3, the drifts that are put into them, and the test kit's model.
KNOW_THEM = {
    "models/data/windows.py",
    "models/data/drift.py",
    "stream_app/testing/tiny_model.py",
}
SOURCES = sorted(
    path.relative_to(ROOT).as_posix()
    for room in ("schemas", "models", "stream_app")
    for path in (ROOT / room).rglob("*.py")
)


def named(source: str) -> set[str]:
    text = (ROOT / source).read_text(encoding="utf-8")
    return {name for name in OF_THE_BENCHMARK if name in text}


def test_only_what_reads_and_makes_the_benchmarks_data_names_its_columns():
    assert {source for source in SOURCES if named(source)} == KNOW_THEM


@pytest.mark.parametrize(
    ("role", "names"),
    [
        ("calendar", ["during_weekend", "during_night"]),
        ("risk", ["terminal_risk_1d", "terminal_risk_7d", "terminal_risk_30d"]),
        ("own", ["amount"]),
    ],
)
def test_the_specification_says_what_makes_a_column_special(role, names):
    assert [entry.name for entry in cards().inputs if entry.role == role] == names
