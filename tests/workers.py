"""Workers as processes of their own, the way users run them, and the ways in which they die."""

import signal
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import psutil

from stream_app.settings import Settings
from stream_app.testing.worker_process import WorkerProcess
from tests import zygote
from tests.conftest import free_port

STARTED_S = 90.0


class Worker(WorkerProcess):
    """A worker that a test may kill, or stop and let go on.

    Attributes:
        fresh: It begins from nothing, as a user's does, and is not forked.
    """

    fresh = False

    def _launch(self) -> "subprocess.Popen[bytes] | zygote.Forked":
        return super()._launch() if self.fresh else zygote.fork(self.program, self._log, self._environment())

    @property
    def process(self) -> "subprocess.Popen[bytes] | zygote.Forked":
        assert self._process is not None
        return self._process

    def kill(self) -> None:
        """As the out-of-memory killer would."""
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def freeze(self) -> None:
        """As a long pause of its machine would."""
        self.process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let it go on."""
        self.process.send_signal(signal.SIGCONT)

    @property
    def is_frozen(self) -> bool:
        """Whether it stands still, also by its own hand."""
        return psutil.Process(self.process.pid).status() == psutil.STATUS_STOPPED

    def await_ready(self) -> None:
        """It scores."""
        self.wait_for("health/ready", STARTED_S)

    @property
    def said(self) -> str:
        """Everything on its stderr."""
        return self._log.read_text(errors="replace")


@contextmanager
def running(
    settings: Settings, folder: Path, program: str | None = None, fresh: bool = False, **overrides: object
) -> Iterator[Worker]:
    """A live worker on a port of its own, not necessarily ready; `program` is Python that runs it in another way."""
    own = settings.model_copy(update={"web_port": free_port(), **overrides})
    worker = Worker(own, folder / f"worker-{own.web_port}.log")
    worker.program, worker.fresh = program or worker.program, fresh
    worker.start()
    try:
        yield worker
    finally:
        worker.stop()


def start_together(stack: ExitStack, settings: Settings, folder: Path, **overrides: Any) -> list[Worker]:
    """Two workers, ready; started at once, because most of a start is waiting for imports."""
    with ThreadPoolExecutor() as pool:
        starts = [pool.submit(stack.enter_context, running(settings, folder, **overrides)) for _ in range(2)]
        workers = [start.result() for start in starts]
    for worker in workers:
        worker.await_ready()
    return workers
