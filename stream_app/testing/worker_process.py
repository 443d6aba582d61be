"""`stream-app worker` as a process of its own, as a user would start it."""

import os
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

import orjson

from stream_app.settings import ENVIRONMENT_PREFIX, Settings

START_S = 60.0
STOP_S = 6.0
CHECK_S = 0.1
ANSWER_S = 5.0


class Process(Protocol):
    """What is used of a process, as `subprocess.Popen` has it."""

    returncode: int | None

    @property
    def pid(self) -> int:
        """Its id."""

    def poll(self) -> int | None:
        """The exit code, None as long as it runs."""

    def wait(self, timeout: float | None = None) -> int:
        """The exit code, once it has one."""

    def terminate(self) -> None:
        """Send SIGTERM."""

    def kill(self) -> None:
        """Send SIGKILL."""


class WorkerProcessError(Exception):
    """The worker ended, or was not ready in time; the message names its log."""


class WorkerProcess:
    """A worker process; settings reach it through the environment, and `log` takes its output.

    Attributes:
        program: The Python code that runs, with the argument `worker`.
    """

    program = "from stream_app.cli.app import main; main()"

    def __init__(self, settings: Settings, log: Path) -> None:
        self._settings = settings
        self._log = log
        self._process: Process | None = None

    @property
    def url(self) -> str:
        """Address of its page."""
        return f"http://{self._settings.web_host}:{self._settings.web_port}/"

    @property
    def pid(self) -> int | None:
        """Its process id; None before the first start."""
        return self._process.pid if self._process else None

    def start(self) -> None:
        """Start it and wait until it is alive.

        Raises:
            WorkerProcessError: it ended, or is not alive in time.
        """
        self._process = self._launch()
        self.wait_for("health/live", START_S)

    def wait_for(self, probe: str, timeout_s: float) -> None:
        """Wait until a probe answers 200.

        Raises:
            WorkerProcessError: it ended, or does not answer in time.
        """
        self._await(lambda: self.answers(probe), f"does not answer {probe}", timeout_s)

    def wait_for_partitions(self, timeout_s: float) -> None:
        """Wait until the consumer group has assigned partitions to it.

        Raises:
            WorkerProcessError: it ended, or has none in time.
        """
        self._await(lambda: bool(self.partitions()), "has no partitions", timeout_s)

    def stop(self) -> int | None:
        """Send SIGTERM, then SIGKILL if it lingers. Returns its exit code; None if it never ran."""
        if self._process is None:
            return None
        self._process.terminate()
        try:
            return self._process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            return self._process.wait()

    def committed(self) -> int:
        """Input records that it has scored or dead-lettered, and committed."""
        vitals = self.here()["vitals"]
        return int(vitals["scored"] + vitals["dead_lettered"])

    def partitions(self) -> list[int]:
        """Input partitions assigned to it."""
        return [entry["partition"] for entry in self.here()["vitals"]["partitions"]]

    def model(self) -> str | None:
        """The sha256 of the model in service."""
        serving = self.here()["serving"]
        return str(serving["sha256"]) if serving else None

    def here(self) -> dict[str, Any]:
        """Its own entry in the page's state."""
        with urllib.request.urlopen(f"{self.url}api/state", timeout=ANSWER_S) as answer:  # noqa: S310 - our own address
            workers = orjson.loads(answer.read())["workers"]
        own: dict[str, Any] = next(worker for worker in workers if worker["here"])
        return own

    def answers(self, probe: str) -> bool:
        """Whether a probe answers 200."""
        try:
            with urllib.request.urlopen(self.url + probe, timeout=ANSWER_S) as answer:  # noqa: S310 - our own address
                return bool(answer.status == 200)
        except (urllib.error.URLError, OSError):
            return False

    def _await(self, done: Callable[[], bool], otherwise: str, timeout_s: float) -> None:
        deadline = time.monotonic() + timeout_s
        while not done():
            if self._process is None or self._process.poll() is not None:
                raise WorkerProcessError(f"the worker ended: {self._last_line()}")
            if time.monotonic() > deadline:
                raise WorkerProcessError(f"the worker {otherwise} after {timeout_s:.0f} s: see {self._log}")
            time.sleep(CHECK_S)

    def _launch(self) -> Process:
        command = [sys.executable, "-c", self.program, "worker"]
        with self._log.open("ab") as log:
            return subprocess.Popen(command, stdout=log, stderr=log, env=self._environment())  # noqa: S603

    def _environment(self) -> dict[str, str]:
        given = self._settings.model_dump(mode="json", exclude_defaults=True)
        written = {name: orjson.dumps(v).decode() if isinstance(v, dict) else str(v) for name, v in given.items()}
        own = {f"{ENVIRONMENT_PREFIX}{name.upper()}": value for name, value in written.items()}
        return {**os.environ, **own}

    def _last_line(self) -> str:
        lines = self._log.read_text(errors="replace").strip().splitlines()
        return lines[-1] if lines else "its log is empty"
