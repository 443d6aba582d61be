"""The pages are true: tables are current, links lead somewhere, commands exist, stages and rooms are the code's."""

import re
import tomllib
from pathlib import Path

import pytest
from packaging.version import Version

from docs.settings_table import PAGE, with_current_tables
from stream_app import pipeline
from stream_app.metrics import STAGES
from stream_app.ops.headline import LOOKS, Level
from tests.unit.test_imports import FLOORS

ROOT = Path(__file__).parents[3]
PAGES = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")]
EVERY_PAGE = pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())


def anchors(page: Path) -> set[str]:
    headings = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_the_tables_of_settings_and_of_rights_are_current():
    page = PAGE.read_text(encoding="utf-8")
    assert page == with_current_tables(page), "run `make format`"


def test_everything_that_can_be_wrong_stands_there_in_the_order_of_precedence():
    table = PAGE.read_text(encoding="utf-8").partition("### The first sentence")[2].partition("### ")[0]
    urgency = {Level.BAD: "act", Level.ATTENTION: "look"}
    rows = re.findall(r"^\| `([a-z ]+)` \| .+ \| (\w+) \|$", table, re.MULTILINE)
    assert rows == [(kind.value, urgency[level]) for kind, (level, _) in LOOKS.items()]


@EVERY_PAGE
def test_links_lead_somewhere(page: Path):
    text = page.read_text(encoding="utf-8")
    for target in re.findall(r"\]\(([^)\s]+)\)", text) + re.findall(r'(?:src|srcset|href)="([^"]+)"', text):
        if "://" in target:
            continue
        path, _, anchor = target.partition("#")
        destination = (page.parent / path) if path else page
        assert destination.exists(), target
        assert not anchor or anchor in anchors(destination), target


@EVERY_PAGE
def test_make_targets_that_a_page_names_exist(page: Path):
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    named = set(re.findall(r"(?:^|`)make ([a-z]+)", page.read_text(encoding="utf-8"), re.MULTILINE))
    assert named <= targets


def test_every_decision_is_in_the_index():
    index = (ROOT / "docs/adr/README.md").read_text(encoding="utf-8")
    decisions = sorted(path.name for path in (ROOT / "docs/adr").glob("[0-9]*.md"))
    assert re.findall(r"\]\(([0-9]\S+)\)", index) == decisions


def test_the_numbers_of_decisions_have_no_gap():
    numbers = re.findall(r"^- \[?(\d+)\. ", (ROOT / "docs/adr/README.md").read_text(encoding="utf-8"), re.MULTILINE)
    assert [int(number) for number in numbers] == list(range(1, len(numbers) + 1))


def test_the_changelog_has_releases_by_version_and_date_and_the_newest_is_the_packages():
    headings = re.findall(r"^## (.+)$", (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"), re.MULTILINE)
    assert headings.pop(0) == "[Unreleased]"
    releases = [re.fullmatch(r"\[(\d+\.\d+\.\d+)\] - (\d{4}-\d\d-\d\d)", heading) for heading in headings]
    versions = [Version(release[1]) for release in releases if release]
    assert len(versions) == len(headings)
    assert versions == sorted(versions, reverse=True)
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert versions[0] == Version(project["version"])


STAGE = "|".join(STAGES)
PICTURE = (ROOT / "docs/flow.svg").read_text(encoding="utf-8")
ARCHITECTURE = (ROOT / "docs/architecture.md").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    "listed",
    [
        re.findall(rf"^    ({STAGE}) ", str(pipeline.__doc__), re.MULTILINE),
        re.findall(rf'class="stage".*>({STAGE})</text>', PICTURE),
        re.findall(rf"\b({STAGE})\b", re.findall(r"^ *consume --> .*$", ARCHITECTURE, re.MULTILINE)[0]),
        re.findall(rf"^\d\. `({STAGE})`", ARCHITECTURE, re.MULTILINE),
    ],
    ids=["docstring of the pipeline", "picture in the README", "drawing of the architecture", "life of a micro-batch"],
)
def test_the_stages_of_the_pipeline_are_the_same_in_code_and_documents(listed: list[str]):
    assert tuple(listed) == STAGES


def test_every_room_is_in_the_table_of_the_architecture_and_links_to_its_folder():
    rooms = re.findall(r"^\| \[`([\w/.]+?)/?`\]\(\.\./stream_app/", ARCHITECTURE, re.MULTILINE)
    assert [room.removesuffix(".py") for room in rooms] == list(reversed(FLOORS))
