"""A command loads what it needs: none that computes no model waits for torch, polars, mlflow or sklearn."""

import ast
import json
import subprocess
import sys
from pathlib import Path

import pytest

from stream_app.cli.app import COMMANDS

CLI = Path(__file__).parents[4] / "stream_app/cli"
HEAVY = ["torch", "polars", "mlflow", "sklearn", "faust", "river"]
COMPUTE = {"demo", "worker", "simulate", "produce", "train", "evaluate", "gate", "replay", "drift-report"}
LIGHT = sorted(COMMANDS.keys() - COMPUTE)
PROGRAM = """
import json, sys
from stream_app.cli.app import app
loaded = {}
for command in sys.argv[1].split():
    try:
        app([command, "--help"])
    except SystemExit:
        loaded[command] = sorted(set(sys.argv[2:]) & sys.modules.keys())
print(json.dumps(loaded))
"""
# What a command imports only when it goes one of two ways, or after its files have been looked at.
INSIDE_FUNCTIONS = {
    ("commanded.py", "stream_app.rollout.gating"),
    ("training.py", "models"),
    ("training.py", "models.evaluation"),
    ("training.py", "stream_app.cli.tracking"),
}


@pytest.fixture(scope="module")
def loaded() -> dict[str, list[str]]:
    """What is loaded after the command, and those before it, have been imported, in one process."""
    words = [sys.executable, "-c", PROGRAM, " ".join(LIGHT), *HEAVY]
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.parametrize("command", LIGHT)
def test_a_command_that_computes_no_model_loads_nothing_that_does(loaded: dict[str, list[str]], command: str) -> None:
    assert loaded[command] == []


def test_imports_stand_at_the_top_of_a_command_so_that_what_it_loads_can_be_seen() -> None:
    inside = {
        (path.relative_to(CLI).as_posix(), node.module or "")
        for path in CLI.rglob("*.py")
        for function in ast.walk(ast.parse(path.read_text()))
        if isinstance(function, ast.FunctionDef)
        for node in ast.walk(function)
        if isinstance(node, ast.ImportFrom)
    }
    assert {(file, module) for file, module in inside if file != "status.py"} == INSIDE_FUNCTIONS
