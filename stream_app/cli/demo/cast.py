"""Who plays: the worker in a process of its own, and a producer that sends transactions at a rate, from a thread."""

import os
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import orjson
from confluent_kafka import Producer

from schemas.topics import TRANSACTIONS
from stream_app.cli.demo.telling import StoryError
from stream_app.kafka import clients, topics
from stream_app.settings import ENVIRONMENT_PREFIX, Settings

Event = tuple[bytes, bytes, int]

START_S = 60.0
STOP_S = 6.0
CHECK_S = 0.1
ANSWER_S = 5.0
BURST_S = 0.01
BAD_RECORDS = (
    b"amount=57.16",
    b'{"transaction_id": "1"}',
    b'{"transaction_id": "2", "event_time": "2018-04-08T00:00:31Z", "customer_id": "7", "amount": "much"}',
    None,
)


class WorkerProcess:
    """`stream-app worker`, as a user would start it.

    Args:
        settings: Handed over through the environment.
        log: Takes its stderr.

    Attributes:
        program: The Python that is run, with the argument `worker`.
    """

    program = "from stream_app.cli.app import main; main()"

    def __init__(self, settings: Settings, log: Path) -> None:
        self._settings = settings
        self._log = log
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """Its page."""
        return f"http://{self._settings.web_host}:{self._settings.web_port}/"

    def start(self) -> None:
        """Start it, and return once it is alive.

        Raises:
            StoryError: it is not, in time.
        """
        command = [sys.executable, "-c", self.program, "worker"]
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(command, stdout=log, stderr=log, env=self._environment())  # noqa: S603
        self.wait_for("health/live", START_S)

    def wait_for(self, probe: str, timeout_s: float) -> None:
        """Return once a probe answers 200.

        Raises:
            StoryError: it did not, or the worker has ended.
        """
        self._await(lambda: self.answers(probe), f"does not answer {probe}", timeout_s)

    def wait_for_partitions(self, timeout_s: float) -> None:
        """Return once the group has given it partitions.

        Raises:
            StoryError: it has none in time, or has ended.
        """
        self._await(lambda: bool(self.partitions()), "has no partitions", timeout_s)

    def stop(self) -> int | None:
        """SIGTERM, and its exit code; None where it was not running."""
        if self._process is None:
            return None
        self._process.terminate()
        try:
            return self._process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            return self._process.wait()

    def committed(self) -> int:
        """Input records that this worker has scored or refused, and committed."""
        vitals = self.here()["vitals"]
        return int(vitals["scored"] + vitals["dead_lettered"])

    def partitions(self) -> list[int]:
        """Input partitions that this worker has."""
        return [entry["partition"] for entry in self.here()["vitals"]["partitions"]]

    def model(self) -> str | None:
        """The sha256 of the model that it serves."""
        serving = self.here()["serving"]
        return str(serving["sha256"]) if serving else None

    def here(self) -> dict[str, Any]:
        """What it says of itself on the page."""
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
                raise StoryError(f"the worker ended: {self._last_line()}")
            if time.monotonic() > deadline:
                raise StoryError(f"the worker {otherwise} after {timeout_s:.0f} s: see {self._log}")
            time.sleep(CHECK_S)

    def _environment(self) -> dict[str, str]:
        given = self._settings.model_dump(mode="json", exclude_defaults=True)
        written = {name: orjson.dumps(v).decode() if isinstance(v, dict) else str(v) for name, v in given.items()}
        own = {f"{ENVIRONMENT_PREFIX}{name.upper()}": value for name, value in written.items()}
        return {**os.environ, **own}

    def _last_line(self) -> str:
        lines = self._log.read_text(errors="replace").strip().splitlines()
        return lines[-1] if lines else "it said nothing"


class Stream:
    """Sends events in their order, at a rate that may change, from a thread of its own.

    Args:
        settings: Where to.
        events: Key, value and event time of each.
        rate: Events a second, at first; None is as fast as it goes.

    Attributes:
        rate: May be changed while it runs.
        sent: How many so far.
        sent_at: Seconds since the epoch at which each was sent.
    """

    def __init__(self, settings: Settings, events: Sequence[Event], rate: float | None) -> None:
        self._topic = topics.name(settings, TRANSACTIONS)
        self._producer: Producer = clients.producer(settings, **{"linger.ms": 1})
        self._events = events
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="stream", daemon=True)
        self.rate = rate
        self.sent = 0
        self.sent_at: list[float] = []

    def __len__(self) -> int:
        return len(self._events)

    def reach(self, count: int, advance: Callable[[float], None]) -> None:
        """Return once so many have been sent; `advance` is told how many are."""
        while self.sent < count and self._thread.is_alive():
            advance(self.sent)
            time.sleep(CHECK_S)

    def send_bad_records(self) -> int:
        """What some producer always sends, for the dead letters. Returns how many."""
        for value in BAD_RECORDS:
            self._producer.produce(self._topic, value, b"bad")
        return len(BAD_RECORDS)

    def __enter__(self) -> Self:
        """The stream, running."""
        self._thread.start()
        return self

    def __exit__(self, _k: type[BaseException] | None, _e: BaseException | None, _t: TracebackType | None) -> None:
        """Stop it, wherever it is."""
        self._stop.set()
        self._thread.join()
        self._producer.flush(STOP_S)

    def _run(self) -> None:
        debt, last = 0.0, time.monotonic()
        while self.sent < len(self._events) and not self._stop.is_set():
            now = time.monotonic()
            debt += len(self._events) if self.rate is None else (now - last) * self.rate
            last = now
            due = min(int(debt), len(self._events) - self.sent)
            debt -= due
            self.sent_at += [time.time()] * due
            self._send(self._events[self.sent : self.sent + due])
            if self.rate is not None:
                self._stop.wait(BURST_S)
        self._producer.flush(STOP_S)

    def _send(self, events: Sequence[Event]) -> None:
        for key, value, _ in events:
            while True:
                try:
                    self._producer.produce(self._topic, value, key)
                    break
                except BufferError:
                    self._producer.poll(CHECK_S)
            self.sent += 1
        self._producer.poll(0)
