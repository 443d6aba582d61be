"""A real MLflow server with a database and a store of its own, that a test may take down."""

import os
import signal
import subprocess
import sys
from pathlib import Path
from urllib.request import urlopen

from tests.conftest import free_port


class MlflowServer:
    """It starts at once, and answers some 15 seconds later."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir()
        port = free_port()
        self.uri = f"http://127.0.0.1:{port}"
        options = {
            "--host": "127.0.0.1",
            "--port": str(port),
            "--workers": "1",
            "--backend-store-uri": f"sqlite:///{folder}/mlflow.db",
            "--artifacts-destination": str(folder / "artifacts"),
        }
        given = [word for option in options.items() for word in option]
        quiet = {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false", "MLFLOW_DISABLE_TELEMETRY": "true"}
        not_measured = {name: value for name, value in os.environ.items() if not name.startswith("COVERAGE_")}
        with (folder / "log").open("w") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "mlflow", "server", *given],
                env={**not_measured, **quiet},
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    @property
    def answers(self) -> bool:
        try:
            with urlopen(f"{self.uri}/health", timeout=1):
                return True
        except OSError:
            return False

    def stop(self) -> None:
        """It and its workers, at once."""
        if self._process.poll() is None:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
