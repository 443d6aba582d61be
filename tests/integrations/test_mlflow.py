"""MLflow's own tools on a model that `train` registered: a server of scores, and the Dockerfile of an image with it."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.request import Request, urlopen

import pytest

from models import artefact
from models.data.frame import read, write
from models.data.simulator import Simulation, simulate
from models.inputs import matrix
from tests.conftest import free_port
from tests.unit.stream_app.cli.cli_runner import stream_app

pytestmark = pytest.mark.integrations
NAME = "models:/card-fraud@candidate"
ROWS = 50


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("mlflow")
    write(simulate(Simulation(days=8, customers=250, seed=5)), folder / "history.parquet")
    (folder / "how.toml").write_text("[training]\nepochs = 2\nhidden = 16\nlatent = 4\n")
    options = ("--detector", "cards", "--config", folder / "how.toml", "--out", folder / "model.pt")
    own = {"STREAM_APP_TRACKING_URI": tracking(folder), "STREAM_APP_DETECTOR": "cards"}
    result = stream_app("train", folder / "history.parquet", *options, **own)
    assert result.exit_code == 0, result.stderr
    return folder


def tracking(folder: Path) -> str:
    return f"sqlite:///{folder}/registry/mlflow.db"


def command(folder: Path, *arguments: object) -> tuple[list[str], dict[str, str]]:
    """One of `mlflow models`, and its environment, without this project on its path."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"  # it calls uvicorn by name
    environment = {**os.environ, "MLFLOW_TRACKING_URI": tracking(folder), "PYTHONPATH": "", "PATH": path}
    return [sys.executable, "-m", "mlflow", "models", *map(str, arguments)], environment


@pytest.fixture(scope="module")
def served(folder: Path) -> Iterator[str]:
    """The address of MLflow's own server with the model."""
    port = free_port()
    words, environment = command(folder, "serve", "-m", NAME, "--env-manager", "local", "-p", port)
    with (folder / "served.log").open("w") as log:
        process = subprocess.Popen(
            words, env=environment, cwd=folder, stdout=log, stderr=subprocess.STDOUT, start_new_session=True
        )
    yield f"http://127.0.0.1:{port}"
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def answers(address: str) -> bool:
    try:
        with urlopen(f"{address}/ping", timeout=1):
            return True
    except OSError:
        return False


def test_mlflows_server_scores_as_the_stream_does(folder: Path, served: str, wait_until: Callable[..., None]) -> None:
    runtime, rows = artefact.load(folder / "model.pt"), read(folder / "history.parquet")[-ROWS:]
    names = [entry.name for entry in runtime.manifest.inputs]
    wait_until(lambda: answers(served), timeout_s=90)
    body = json.dumps({"dataframe_split": {"columns": names, "data": rows.select(names).rows()}}).encode()
    with urlopen(Request(f"{served}/invocations", body, {"Content-Type": "application/json"}), timeout=30) as answer:
        scored = json.load(answer)["predictions"]
    expected = runtime.score(matrix(rows, runtime.manifest.inputs, runtime.manifest.categories)).score
    assert [row["score"] for row in scored] == pytest.approx(expected.tolist(), rel=1e-5)


def test_mlflow_writes_the_dockerfile_of_an_image_that_serves_it(folder: Path, tmp_path: Path) -> None:
    words, environment = command(folder, "generate-dockerfile", "-m", NAME, "-d", tmp_path / "image")
    done = subprocess.run(words, env=environment, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    dockerfile = (tmp_path / "image" / "Dockerfile").read_text()
    assert "mlflow" in dockerfile
    pinned = next((tmp_path / "image").rglob("requirements.txt")).read_text()
    assert {"torch", "polars", "msgspec"} <= {line.split("==")[0] for line in pinned.splitlines()}
