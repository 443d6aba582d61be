"""A command loads what it needs: its help waits for nothing, and none that computes no model for torch or MLflow."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from stream_app.cli.app import COMMANDS
from stream_app.testing.tiny_model import tiny_model

HEAVY = ["torch", "polars", "pandas", "mlflow", "sklearn", "scipy", "matplotlib", "evidently", "faust", "river"]
PROGRAM = """
import json, sys
from stream_app.cli.app import app
loaded = {}
for command in sys.argv[1].split():
    try:
        app([command, *sys.argv[2].split()])
    except SystemExit:
        loaded[command] = sorted(set(sys.argv[3:]) & sys.modules.keys())
print(json.dumps(loaded))
"""


def loaded_by(commands: list[str], arguments: str) -> dict[str, list[str]]:
    """What of the heavy packages is loaded after each command and those before it, in one process."""
    words = [sys.executable, "-c", PROGRAM, " ".join(commands), arguments, *HEAVY]
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    loaded: dict[str, list[str]] = json.loads(done.stdout.splitlines()[-1])
    return loaded


@pytest.fixture(scope="module")
def by_help() -> dict[str, list[str]]:
    return loaded_by(sorted(COMMANDS), "--help")


@pytest.mark.parametrize("command", sorted(COMMANDS))
def test_no_help_waits_for_what_computes_a_model(by_help: dict[str, list[str]], command: str) -> None:
    assert by_help[command] == []


@pytest.mark.parametrize(
    ("command", "arguments", "names"),
    [
        ("gate", "notes.txt --against notes.txt --data notes.txt", "not a model artefact"),
        ("gate", "good.pt --against notes.txt --data notes.txt", "--against"),
        ("gate", "good.pt --against good.pt --data gone.parquet", "gone.parquet"),
        ("gate", "good.pt --against good.pt --data notes.txt", "notes.txt"),
        ("gate", "good.pt --against good.pt --data notes.txt --limits gone.toml", "gone.toml"),
        ("evaluate", "notes.txt notes.txt", "not a model artefact"),
        ("evaluate", "good.pt gone.parquet", "gone.parquet"),
        ("train", "gone.parquet --out m.pt", "gone.parquet"),
        ("train", "notes.txt --out m.pt", "notes.txt"),
        ("sign", "gone.pt --key gone.key", "gone"),
        ("train", "good.pt --out ./", "Is a directory"),
        ("train", "good.pt --out nobody/m.pt", "nobody cannot be written"),
        ("simulate", "nobody/x.parquet", "nobody cannot be written"),
        ("drift-report", "--out nobody/x.html", "nobody cannot be written"),
        ("worker", "--bootstrap-servers ::1:1", "'::1:1' is no address"),
    ],
)
def test_what_is_wrong_is_named_before_what_computes_a_model_is_loaded(
    tmp_path: Path, command: str, arguments: str, names: str
) -> None:
    (tmp_path / "notes.txt").write_text("nothing of the kind")
    tiny_model(tmp_path / "good.pt", "1")
    (tmp_path / "nobody").touch()  # a file, in which no other can be made, by root neither
    words = [sys.executable, "-c", PROGRAM, command, arguments, "torch", "mlflow", "sklearn"]
    own = {**os.environ, "STREAM_APP_TRACKING_URI": ""}
    done = subprocess.run(words, capture_output=True, text=True, check=True, cwd=tmp_path, env=own)
    (line,) = done.stderr.strip().splitlines()
    assert names in line
    assert json.loads(done.stdout) == {command: []}


LIGHT = ["show", "label", "status", "doctor", "verify", "audit", "models", "consume", "rollback", "drift"]
WORKED_WITH = ["pipeline.formats.readers", "replay.lookup", "cli.latest_events", "cli.checks", "cli.overview"]


def test_what_commands_that_compute_no_model_work_with_loads_none_of_what_does() -> None:
    modules = [*(COMMANDS[command][0] for command in LIGHT), *WORKED_WITH]
    names = [f"stream_app.{'' if '.' in module else 'cli.'}{module}" for module in modules]
    heavy = [name for name in HEAVY if name != "polars"]  # a fifth of a second, for hours of the day
    program = f"import sys, {', '.join(names)}\nprint([name for name in {heavy} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
