"""CI runs the targets that people run, on every Python that the package allows, with pinned actions and few rights."""

import re
import shutil
import subprocess
import tomllib
from pathlib import Path

import pytest
import yaml
from packaging.specifiers import SpecifierSet

ROOT = Path(__file__).parents[3]
FILES = sorted((ROOT / ".github/workflows").glob("*.yml"))
WORKFLOWS = {path.name: yaml.safe_load(path.read_text(encoding="utf-8")) for path in FILES}
JOBS = {f"{file}:{name}": job for file, workflow in WORKFLOWS.items() for name, job in workflow["jobs"].items()}
EVERY_JOB = pytest.mark.parametrize("job", JOBS.values(), ids=JOBS)
HOOKS = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text(encoding="utf-8"))["repos"]
TARGETS = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
PINNED = re.compile(r"[\w-]+/[\w-]+@[0-9a-f]{40}")


def commands(job: dict) -> list[str]:
    return [step["run"] for step in job["steps"] if "run" in step]


def supported() -> list[str]:
    allowed = SpecifierSet(PROJECT["requires-python"])
    return [version for version in (f"3.{minor}" for minor in range(30)) if version in allowed]


@EVERY_JOB
def test_every_make_target_that_a_job_runs_exists(job: dict):
    named = {target for line in commands(job) for target in re.findall(r"\bmake ([a-z-]+)", line)}
    assert named <= TARGETS


@EVERY_JOB
def test_a_job_with_a_matrix_runs_on_every_supported_python(job: dict):
    if "strategy" in job:
        assert job["strategy"]["matrix"]["python"] == supported()


def test_linux_runs_all_checks_and_tests_and_macos_what_needs_no_broker():
    ran = {job["runs-on"].split("-")[0]: commands(job) for job in JOBS.values() if "strategy" in job}
    assert ran == {"ubuntu": ["make check", "make test"], "macos": ["make unit"]}


def test_what_linux_runs_is_what_the_script_for_any_other_ci_runs():
    script = (ROOT / ".ci/run").read_text(encoding="utf-8").splitlines()
    assert [line for line in script if line.startswith("make ")] == commands(JOBS["ci.yml:linux"])


@EVERY_JOB
def test_an_action_is_named_by_its_commit_and_a_job_ends_in_time(job: dict):
    assert [step["uses"] for step in job["steps"] if "uses" in step and not PINNED.fullmatch(step["uses"])] == []
    assert 0 < job["timeout-minutes"] <= 60


@pytest.mark.parametrize("workflow", WORKFLOWS.values(), ids=WORKFLOWS)
def test_a_workflow_may_read_and_nothing_else(workflow: dict):
    assert workflow["permissions"] == {"contents": "read"}
    assert not any("permissions" in job for job in workflow["jobs"].values())


def test_caches_are_renewed_when_the_files_change_that_name_their_contents():
    keys = [step["with"]["key"] for job in JOBS.values() for step in job["steps"] if "cache" in step.get("uses", "")]
    hashed = {file for key in keys for file in re.findall(r"hashFiles\('([^']+)'\)", key)}
    assert hashed == {"requirements-dev.txt", "stream_app/embedded/jars.py"}
    assert [file for file in hashed if not (ROOT / file).exists()] == []


def test_the_linter_of_workflows_is_of_one_version_in_ci_and_before_a_commit():
    in_ci = {version for file in FILES for version in re.findall(r"actionlint@(\S+)", file.read_text(encoding="utf-8"))}
    assert in_ci == {hook["rev"] for hook in HOOKS if hook["repo"].endswith("/actionlint")}


@pytest.mark.skipif(not shutil.which("actionlint"), reason="actionlint is not on PATH; CI runs it")
def test_actionlint_finds_nothing():
    done = subprocess.run(["actionlint", *FILES], cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "")


def test_every_package_of_the_wheel_says_that_it_is_typed():
    packages = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["hatch"]["build"]["targets"]["wheel"]
    assert [name for name in packages["packages"] if not (ROOT / name / "py.typed").exists()] == []
