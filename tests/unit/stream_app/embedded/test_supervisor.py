"""A guarded child ends when its parent does, however that ends."""

import os
import signal
import subprocess
import sys

import pytest

from stream_app.embedded import supervisor

FOREVER = "import time; time.sleep(600)"
DEAF = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(600)"


def command(tmp_path, code, remove="-", parent=None):
    log = tmp_path / "child.log"
    return [
        *(sys.executable, "-I", "-S", supervisor.__file__),
        *(str(parent or os.getpid()), str(log), str(remove), sys.executable, "-c", code),
    ]


def guard(tmp_path, code, remove="-"):
    process = subprocess.Popen(command(tmp_path, code, remove), stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    return process, int(process.stdout.readline())


def alive(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def test_closing_the_pipe_ends_the_child(tmp_path):
    process, child = guard(tmp_path, FOREVER)
    assert alive(child)
    process.stdin.close()
    assert process.wait(20) == 0
    assert not alive(child)


def test_a_child_whose_folder_is_kept_may_stop_cleanly(tmp_path, wait_until):
    code = (
        "import signal, sys\n"
        "signal.signal(signal.SIGTERM, lambda *_: sys.exit(print('flushed')))\n"
        "print('up', flush=True)\n"
        "signal.pause()\n"
    )
    process, _ = guard(tmp_path, code)
    log = tmp_path / "child.log"
    wait_until(lambda: log.read_text() == "up\n")
    process.stdin.close()
    process.wait(20)
    assert log.read_text() == "up\nflushed\n"


def test_a_stopped_child_ends_too(tmp_path):
    process, child = guard(tmp_path, FOREVER)
    os.kill(child, signal.SIGSTOP)
    process.stdin.close()
    process.wait(20)
    assert not alive(child)


def test_a_folder_that_is_to_go_goes_with_the_child(tmp_path):
    folder = tmp_path / "temporary"
    (folder / "data").mkdir(parents=True)
    process, child = guard(tmp_path, DEAF, remove=folder)
    process.stdin.close()
    assert process.wait(20) == 0
    assert not alive(child)
    assert not folder.exists()


def test_a_child_that_ends_by_itself_leaves_its_exit_code_its_words_and_its_folder(tmp_path):
    folder = tmp_path / "temporary"
    folder.mkdir()
    process, _ = guard(tmp_path, "print('last words'); raise SystemExit(7)", remove=folder)
    assert process.wait(20) == 7
    assert (tmp_path / "child.log").read_text() == "last words\n"
    assert folder.exists()


def test_ctrl_c_in_the_terminal_does_not_end_it(tmp_path):
    process, child = guard(tmp_path, FOREVER)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        process.send_signal(number)
    with pytest.raises(subprocess.TimeoutExpired):
        process.wait(0.5)
    assert alive(child)
    process.stdin.close()
    process.wait(20)


@pytest.mark.parametrize("keep_the_pipe", [False, True], ids=["pipe closed with it", "pipe held open by a fork"])
def test_kill_9_of_the_parent_ends_the_child(tmp_path, wait_until, keep_the_pipe):
    code = (
        "import subprocess, sys, os, time\n"
        "arguments = sys.argv[1:]; arguments[4] = str(os.getpid())\n"
        "stdin = 0 if os.environ['KEEP'] else subprocess.PIPE\n"
        "process = subprocess.Popen(arguments, stdin=stdin, stdout=subprocess.PIPE)\n"
        "print(process.pid, int(process.stdout.readline()), flush=True)\n"
        "time.sleep(600)\n"
    )
    parent = subprocess.Popen(
        [sys.executable, "-c", code, *command(tmp_path, FOREVER)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={**os.environ, "KEEP": "1" if keep_the_pipe else ""},
    )
    watcher, child = map(int, parent.stdout.readline().split())
    assert alive(child)
    parent.kill()
    parent.wait()
    wait_until(lambda: not alive(child) and not alive(watcher), timeout_s=20)
