"""Workers forked from one process that has imported everything they import: a start takes no five seconds of CPU.

A forked worker is otherwise what it would be: a process of its own, with its own environment, log and exit code, which
runs the same program. What is about the start itself (the order of imports, a patch that comes before them) is tested
with a process that begins from nothing: `running(..., fresh=True)`.
"""

import atexit
import ctypes
import json
import os
import select
import signal
import subprocess
import sys
import threading
import traceback
from collections.abc import Mapping
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeoutError
from pathlib import Path
from queue import SimpleQueue
from threading import Lock, Thread
from typing import Any, NoReturn

from stream_app.settings import ENVIRONMENT_PREFIX

PROGRAM = "from tests import zygote; zygote.serve()"
PR_SET_PDEATHSIG = 1  # Linux' prctl: the signal that a process gets when its parent dies
IMPORTED = ("stream_app.host.worker", "stream_app.cli.app", "stream_app.cli.worker", "stream_app.drift.host")


class Forked:
    """What a test uses of a process: as `subprocess.Popen`."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self.returncode: int | None = None
        self.ended: Future[int] = Future()

    def poll(self) -> int | None:
        if self.ended.done():
            self.returncode = self.ended.result()
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        try:
            self.returncode = self.ended.result(timeout)
        except FutureTimeoutError:
            raise subprocess.TimeoutExpired("worker", timeout or 0) from None
        return self.returncode

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            os.kill(self.pid, number)

    def terminate(self) -> None:
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)


class Zygote:
    """The process that forks; started with the first worker of a session."""

    def __init__(self) -> None:
        environment = {name: value for name, value in os.environ.items() if not name.startswith(ENVIRONMENT_PREFIX)}
        self._process = subprocess.Popen(
            [sys.executable, "-c", PROGRAM], stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment
        )
        self._started: SimpleQueue[Forked] = SimpleQueue()
        self._lock = Lock()
        self._reader = Thread(target=self._read, daemon=True)
        self._reader.start()

    def fork(self, program: str, log: Path, environment: Mapping[str, str]) -> Forked:
        """Start a worker that appends its output to `log`."""
        order = {"program": program, "log": str(log), "environment": dict(environment)}
        with self._lock:
            assert self._process.stdin is not None
            self._process.stdin.write(json.dumps(order).encode() + b"\n")
            self._process.stdin.flush()
            return self._started.get(timeout=60)

    def close(self) -> None:
        """Let it end, and write down what it covered."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(30)
        self._reader.join(30)

    def _read(self) -> None:
        assert self._process.stdout is not None
        workers: dict[int, Forked] = {}
        for line in self._process.stdout:
            pid, code = json.loads(line)
            if code is None:
                workers[pid] = Forked(pid)
                self._started.put(workers[pid])
            else:
                workers.pop(pid).ended.set_result(code)


_zygotes: list[Zygote] = []
_first = Lock()


def fork(program: str, log: Path, environment: Mapping[str, str]) -> Forked:
    """A worker of the session's zygote."""
    with _first:
        if not _zygotes:
            _zygotes.append(Zygote())
    return _zygotes[0].fork(program, log, environment)


def close() -> None:
    """End the session's zygote, if there is one."""
    while _zygotes:
        _zygotes.pop().close()


def serve() -> None:
    """Fork a child for each order on stdin, until that is closed; stdout takes `[pid, null]`, later `[pid, code]`."""
    for name in IMPORTED:
        __import__(name)
    parent, prctl = os.getpid(), ctypes.CDLL(None).prctl
    places: dict[int, int] = {}  # of the children, by the descriptors of their processes
    poller = select.poll()
    poller.register(0, select.POLLIN)
    while True:
        for descriptor, _ in poller.poll():
            if descriptor in places:
                pid = places.pop(descriptor)
                poller.unregister(descriptor)
                os.close(descriptor)
                _answer(pid, os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
            elif line := sys.stdin.buffer.readline():  # an order is answered before the next is written
                order = json.loads(line)
                pid = os.fork()
                if not pid:
                    prctl(
                        PR_SET_PDEATHSIG, signal.SIGKILL
                    )  # a run of the tests that is killed leaves no workers behind
                    if os.getppid() != parent:
                        os._exit(1)
                    _become(order)
                place = os.pidfd_open(pid)
                places[place] = pid
                poller.register(place, select.POLLIN)
                _answer(pid, None)
            else:
                for pid in places.values():
                    os.kill(pid, signal.SIGKILL)
                return


def _answer(pid: int, code: int | None) -> None:
    sys.stdout.write(f"{json.dumps([pid, code])}\n")
    sys.stdout.flush()


def _become(order: Mapping[str, Any]) -> NoReturn:
    """Be the process that was started with this order, to its end."""
    log = os.open(str(order["log"]), os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    nothing = os.open(os.devnull, os.O_RDONLY)
    for descriptor, source in enumerate((nothing, log, log)):
        os.dup2(source, descriptor)
    os.closerange(3, 256)
    os.environ.clear()
    os.environ.update(order["environment"])
    sys.argv = ["-c", "worker"]
    atexit._clear()  # libraries in C would wait for threads of before the fork
    code = 0
    try:
        exec(order["program"], {"__name__": "__main__"})
    except SystemExit as exit_:
        code = int(exit_.code or 0)
    except BaseException:
        traceback.print_exc()
        code = 1
    threading._shutdown()  # type: ignore[attr-defined]
    atexit._run_exitfuncs()
    if "coverage" in sys.modules and (measured := sys.modules["coverage"].Coverage.current()):
        measured.stop()
        measured.save()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)
