"""Workers as processes of their own, the way users run them, and the ways in which they die."""

import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from stream_app.cli.demo.cast import WorkerProcess
from stream_app.settings import Settings
from tests.conftest import free_port

STARTED_S = 90.0


class Worker(WorkerProcess):
    """A worker that a test may kill."""

    @property
    def process(self) -> "subprocess.Popen[bytes]":
        assert self._process is not None
        return self._process

    def kill(self) -> None:
        """As the out-of-memory killer would."""
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def await_ready(self) -> None:
        """It scores."""
        self.wait_for("health/ready", STARTED_S)

    @property
    def said(self) -> str:
        """Everything on its stderr."""
        return self._log.read_text(errors="replace")


@contextmanager
def running(settings: Settings, folder: Path, **overrides: object) -> Iterator[Worker]:
    """A live worker on a port of its own, not necessarily ready."""
    own = settings.model_copy(update={"web_port": free_port(), **overrides})
    worker = Worker(own, folder / f"worker-{own.web_port}.log")
    worker.start()
    try:
        yield worker
    finally:
        worker.stop()
