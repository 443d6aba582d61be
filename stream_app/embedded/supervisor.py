"""The process between a program and its Java child: when the program ends, however it ends, the child is ended too.

Run as a script, on the standard library alone: `supervisor.py PARENT_PID LOG_FILE FOLDER_TO_REMOVE|- COMMAND...`. Its
stdin is a pipe that the parent holds, so its end is the parent's end. A parent that forked may leave copies of that
pipe behind, so its pid is watched too. The kernel's own way (PR_SET_PDEATHSIG) is Linux only, must be set between fork
and exec, and fires when the *thread* that forked ends.

Its first line of output is the child's pid. A child whose folder is kept has `PATIENCE_S` to stop cleanly.
"""

import os
import select
import shutil
import signal
import subprocess
import sys
from pathlib import Path

WATCH_S = 0.2
PATIENCE_S = 10.0


def main(parent: int, log_file: Path, remove: Path | None, command: list[str]) -> int:
    """Run the command until it ends or the parent does.

    Args:
        parent: The process that must live for the command to live.
        log_file: For the command's stdout and stderr.
        remove: A folder to remove when the command has ended; None keeps everything.
        command: Program and arguments.

    Returns:
        The command's exit code if it ended by itself, else 0.
    """
    with log_file.open("ab") as log:
        child = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)  # noqa: S603
    os.write(sys.stdout.fileno(), f"{child.pid}\n".encode())
    while child.poll() is None:
        if _parent_gone(parent):
            _end(child, PATIENCE_S if remove is None else 0.0)
            break
    else:
        return child.returncode
    if remove is not None:
        shutil.rmtree(remove, ignore_errors=True)
    return 0


def _parent_gone(parent: int) -> bool:
    """Whether the parent is gone or has closed the pipe, after at most `WATCH_S`."""
    readable, _, _ = select.select([sys.stdin], [], [], WATCH_S)
    return os.getppid() != parent or (bool(readable) and not os.read(sys.stdin.fileno(), 1))


def _end(child: "subprocess.Popen[bytes]", patience_s: float) -> None:
    """Ask the child to stop, then kill it. SIGCONT first: a paused child (SIGSTOP) would not see the request."""
    if patience_s:
        child.send_signal(signal.SIGCONT)
        child.terminate()
        try:
            child.wait(patience_s)
        except subprocess.TimeoutExpired:
            pass
        else:
            return
    child.kill()
    child.wait()


if __name__ == "__main__":
    # It ends with its parent, not by a signal from the terminal. A handler, not SIG_IGN: the child would inherit that,
    # and a JVM that ignores SIGTERM never stops cleanly.
    for ignored in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(ignored, lambda _number, _frame: None)
    _, _parent, _log_file, _remove, *_command = sys.argv
    raise SystemExit(main(int(_parent), Path(_log_file), None if _remove == "-" else Path(_remove), _command))
