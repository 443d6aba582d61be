"""The threads of a worker: each repeats a step until it is stopped, and none can die unnoticed."""

import logging
import threading
from collections.abc import Callable, Sequence

logger = logging.getLogger(__name__)


class ThreadDied(Exception):  # noqa: N818
    """A thread of the worker met an error that nothing in it expects; the message is the worker's last line."""


class Supervised:
    """A thread that repeats `step` until it is stopped. A step that raises ends it, and `failure` says why.

    Args:
        name: What it is called in logs, and by the operating system.
        step: Called again and again; returns soon after `wake`.
        wake: Makes a step that waits return, once the thread is to stop.

    Attributes:
        failure: What ended it; None while all is well.
    """

    def __init__(self, name: str, step: Callable[[], object], wake: Callable[[], object] = lambda: None) -> None:
        self.name = name
        self.failure: BaseException | None = None
        self._step = step
        self._wake = wake
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    @property
    def is_alive(self) -> bool:
        """Whether it runs."""
        return self._thread.is_alive()

    def start(self) -> None:
        """Begin; returns at once."""
        self._thread.start()

    def stop(self) -> None:
        """Let the step that runs be the last; returns at once."""
        self._stopping.set()
        self._wake()

    def join(self, timeout_s: float) -> None:
        """Wait until it has ended, or the time is over."""
        if self._thread.is_alive():
            self._thread.join(timeout_s)

    def _run(self) -> None:
        try:
            while not self._stopping.is_set():
                self._step()
        except BaseException as failure:
            logger.exception("the thread %s died", self.name)
            self.failure = failure


def check(threads: Sequence[Supervised], expected: tuple[type[BaseException], ...] = ()) -> None:
    """Raise what ended one of the threads.

    Args:
        threads: All of a worker.
        expected: Errors whose message is for people, and raised as they are.

    Raises:
        ThreadDied: with its name and what it met, where that is none of `expected`.
    """
    for thread in threads:
        if isinstance(thread.failure, expected):
            raise thread.failure
        if thread.failure is not None:
            what = f"{type(thread.failure).__name__}: {thread.failure}"
            raise ThreadDied(f"its thread {thread.name} died of {what}") from thread.failure


def stop(threads: Sequence[Supervised], timeout_s: float) -> None:
    """Stop all of them at once, and wait for each."""
    for thread in threads:
        thread.stop()
    for thread in threads:
        thread.join(timeout_s)
