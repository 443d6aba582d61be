"""A command loads what it needs: its help waits for nothing, and none that computes no model for torch or MLflow."""

import json
import subprocess
import sys

import pytest

from stream_app.cli.app import COMMANDS

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
