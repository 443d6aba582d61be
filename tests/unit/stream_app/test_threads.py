"""A thread of a worker that dies is noticed, and the product starts threads in no other way."""

import ast
from pathlib import Path

import pytest

from stream_app.kafka.clients import BrokerUnavailable
from stream_app.threads import Supervised, ThreadDied, check, stop

ROOT = Path(__file__).parents[3]
OTHER_THREADS = {
    "stream_app/threads.py",
    "stream_app/pipeline/commit.py",  # one for each commit, which the pipeline waits for
    "stream_app/cli/demo/output_tap.py",
    "stream_app/testing/stream.py",
}


def explode() -> None:
    raise KeyError("amount")


def test_a_thread_repeats_its_step_until_it_is_stopped() -> None:
    steps: list[int] = []
    thread = Supervised("busy", lambda: steps.append(1) or (len(steps) == 3 and thread.stop()))
    thread.start()
    thread.join(10.0)
    assert (thread.is_alive, len(steps), thread.failure) == (False, 3, None)


def test_a_step_that_raises_ends_the_thread_and_names_it_in_the_workers_last_line() -> None:
    threads = (Supervised("well", lambda: None), Supervised("broken", explode))
    for thread in threads:
        thread.start()
    threads[1].join(10.0)
    with pytest.raises(ThreadDied, match=r"^its thread broken died of KeyError: 'amount'$"):
        check(threads)
    stop(threads, 10.0)
    assert not threads[0].is_alive


def test_an_error_whose_message_is_for_people_is_raised_as_it_is() -> None:
    def away() -> None:
        raise BrokerUnavailable("no Kafka answers")

    thread = Supervised("reader", away)
    thread.start()
    thread.join(10.0)
    with pytest.raises(BrokerUnavailable, match="no Kafka answers"):
        check((thread,), (BrokerUnavailable,))


def test_no_other_module_of_a_worker_starts_a_thread() -> None:
    found = {
        path.relative_to(ROOT).as_posix()
        for path in (ROOT / "stream_app").rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call) and ast.unparse(node.func) in {"Thread", "threading.Thread"}
    }
    assert found == OTHER_THREADS
