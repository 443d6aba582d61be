"""Whether a registry can be used is known in a moment, before MLflow is imported and anything computed."""

import socket
import subprocess
import sys
from pathlib import Path

import pytest

from models.registry.address import RegistryError
from models.registry.registry import look


def test_an_embedded_registry_that_is_yet_to_be_made_is_fine_and_nothing_is_made(tmp_path: Path) -> None:
    look(f"sqlite:///{tmp_path}/new/mlflow.db")
    look("")
    assert list(tmp_path.iterdir()) == []


def test_a_place_that_cannot_hold_a_registry_is_told(tmp_path: Path) -> None:
    (tmp_path / "junk.db").write_text("junk")
    for uri, says in {
        "sqlite:////proc/self/nope/m.db": "cannot be written",
        f"sqlite:///{tmp_path}/junk.db": "is no database",
        f"sqlite:///{tmp_path}": "is a folder",
        f"sqlite:///{tmp_path}/junk.db/m.db": "cannot be written",
    }.items():
        with pytest.raises(RegistryError, match=f"{says}: set tracking_uri"):
            look(uri)


def test_a_server_that_takes_the_call_and_never_answers_is_told() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        uri = f"http://ann:hunter2@127.0.0.1:{silent.getsockname()[1]}"
        with pytest.raises(RegistryError, match="does not answer within") as caught:
            look(uri)
    assert "hunter2" not in str(caught.value)


def test_a_training_says_that_it_will_not_be_logged_before_it_reads_its_data(tmp_path: Path) -> None:
    words = ["train", str(tmp_path / "none.parquet"), "--out", str(tmp_path / "m.pt")]
    program = "import sys; from stream_app.cli.app import app; app(sys.argv[1:])"
    environment = {"STREAM_APP_TRACKING_URI": "http://127.0.0.1:1"}
    done = subprocess.run(
        [sys.executable, "-c", program, *words], capture_output=True, text=True, env=environment, check=False
    )
    first, last = done.stderr.splitlines()
    assert first.startswith("this training will not be logged, nor its model registered: the registry at http://127")
    assert "none.parquet" in last
