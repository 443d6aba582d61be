"""How soon a worker scores again that was killed, and has the windows of a million entities to take up.

    python -m benchmarks.window_recovery              a million customers, some minutes
    python -m benchmarks.window_recovery --scale 0.1  of the customers

A worker counts two payments of each customer, over a month, and checkpoints what it holds. It is killed, and a new one
is started at once: how long from there to its first commit, which includes the time that the group waits for the dead
one (`session_timeout_ms`), and how much of it the windows of all partitions took, one after another.
"""

import argparse
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import psutil

from benchmarks import own_worker, report
from benchmarks.material import FOLDER, Event, publish, say, transactions
from benchmarks.stand import full, windowed_model
from stream_app.embedded.broker import EmbeddedBroker
from stream_app.testing.worker_process import WorkerProcess

CUSTOMERS, EACH, TERMINALS = 1_000_000, 2, 10_000
SINCE, MONTH = datetime(2018, 7, 1, tzinfo=UTC), timedelta(days=30)
MORE = 1000
CHECKPOINT_S = 5.0
SESSION_S = 6.0
PATIENCE_S = 600.0
ASK_EVERY_S = 0.5


def payments(customers: int, first: int, end: int) -> Iterator[Event]:
    """Events from one place to another of a month in which each customer pays so many times."""
    step = MONTH / (customers * EACH)
    for number in range(first, end):
        customer, at = f"c{number * 7919 % customers}", SINCE + number * step
        value = (
            f'{{"transaction_id":"{number}","event_time":"{at.isoformat()}","customer_id":"{customer}",'
            f'"terminal_id":"t{number % TERMINALS}","amount":{number % 97}.5,"currency":"EUR"}}'
        )
        yield customer.encode(), value.encode(), 0


def sample(worker: WorkerProcess, name: str) -> float:
    """A metric of the worker, without labels."""
    with urllib.request.urlopen(f"{worker.url}metrics", timeout=10) as answer:
        lines = answer.read().decode().splitlines()
    return float(next(line.split()[1] for line in lines if line.startswith(f"stream_app_{name} ")))


def measure(customers: int) -> dict[str, Any]:
    """The whole report."""
    frame, _ = transactions()
    path, total, name = windowed_model(frame), customers * EACH, "recovery"
    with EmbeddedBroker(say=say) as broker:
        settings, _ = full(broker, name, path, 1, payments(customers, 0, total))
        changes = {"window_checkpoint_s": CHECKPOINT_S, "session_timeout_ms": int(1000 * SESSION_S)}
        with own_worker.running(settings, name, **changes) as worker:
            began = datetime.now(UTC)
            worker.start()
            commits = own_worker.await_commits(settings, began, {name}, total)
            say(f"{total:,} events in {commits[-1].at - commits[0].at:.0f} s")
            deadline = time.monotonic() + PATIENCE_S
            while sample(worker, "window_checkpoint_age_seconds") > 0:
                if time.monotonic() > deadline:
                    raise RuntimeError("the checkpoints are not whole")
                time.sleep(ASK_EVERY_S)
            held = {n: sample(worker, f"window_{n}") for n in ("entities", "bytes")}
            memory = psutil.Process(worker.pid).memory_info().rss
            checkpointed_s = time.time() - commits[-1].at
            psutil.Process(worker.pid).kill()
            publish(settings, payments(customers, total, total + MORE))
            again = datetime.now(UTC)
            starting = threading.Thread(target=worker.start, daemon=True)
            starting.start()
            first = own_worker.await_commits(settings, again, {name}, MORE)[0]
            starting.join()
            rebuilt_s = sample(worker, "window_rebuild_seconds_sum")
    return {
        "entities": held["entities"],
        "bytes_per_entity": held["bytes"] / held["entities"],
        "resident_bytes": memory,
        "checkpointed_s": checkpointed_s,
        "rebuilt_s": rebuilt_s,
        "first_commit_s": first.at - again.timestamp(),
        "session_timeout_s": SESSION_S,
        "machine": report.machine(),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--scale", type=float, default=1.0, help="so many of the customers")
    options = parser.parse_args()
    FOLDER.mkdir(parents=True, exist_ok=True)
    found = measure(int(CUSTOMERS * options.scale))
    report.save(found, "window_recovery")
    sys.stdout.write(", ".join(f"{key} {v:,.3g}" for key, v in found.items() if isinstance(v, float)) + "\n")


if __name__ == "__main__":
    main()
