"""Commands and their effect: how long until every worker scores by a rollback, a deploy; what a shadow costs.

    python -m benchmarks.swaps          two workers under load on an embedded broker, into build/swaps/report.json

The time is from before the command is written until both workers have committed output under it and said so.
"""

import json
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from threading import Event, Thread
from typing import Any

import numpy as np
import polars as pl

from benchmarks.material import FOLDER, endless, model, publish, say, transactions
from benchmarks.own_worker import await_commits
from models import archive, artefact
from models.definition import cards
from models.inputs import matrix
from models.recipe import TrainingConfig
from models.runtime import Scored, one_thread
from models.training import train
from schemas.scoring import ModelRef
from schemas.topics import ALL
from stream_app.embedded.broker import EmbeddedBroker
from stream_app.embedded.node import free_port
from stream_app.kafka import topics
from stream_app.pipeline.batch import Decoded, Raw
from stream_app.pipeline.compare import SecondScorer
from stream_app.pipeline.serving import SecondModel, Serving
from stream_app.rollout import commands
from stream_app.rollout.client import Order, Outcome
from stream_app.settings import Settings
from stream_app.testing.worker_process import WorkerProcess

WORKERS = ("one", "two")
OUT = Path("build/swaps/report.json")
TIMES = 20
DEPLOYS = 8
CHUNK = 2000
PAUSE_S = 0.3
BATCH = 1024
BATCHES = 300


def main() -> None:
    frame, source = transactions()
    first = model(frame, source)
    second = _another(frame, first)
    report = {"data": source, "scoring": _cost(frame, first, second), **_commands(frame, first, second)}
    OUT.parent.mkdir(parents=True, exist_ok=True)
    OUT.write_text(json.dumps(report, indent=2) + "\n")
    json.dump(report, sys.stdout, indent=2)


def _another(frame: pl.DataFrame, first: Path) -> Path:
    path = first.with_name(f"{first.stem}-2.pt")
    if not path.is_file():
        say("training another model")
        week = frame.filter(pl.col("event_time") < frame["event_time"][0] + timedelta(days=7))
        artefact.save(path, *train(week, cards(), TrainingConfig(seed=1), "bench", "2"))
    return path


def _cost(frame: pl.DataFrame, first: Path, second: Path) -> dict[str, float]:
    """Microseconds an event: the first model's scoring, and all that a second one adds to it."""
    runtimes = [artefact.load(path) for path in (first, second)]
    inputs = matrix(frame.head(BATCH), runtimes[0].manifest.inputs)
    customers = frame["entity"].head(BATCH).cast(pl.String).to_list()
    times = frame["event_time"].head(BATCH).to_list()
    decoded = Decoded(np.arange(BATCH), inputs, customers, customers, times, [])
    raw = Raw([b""] * BATCH, [0] * BATCH, list(range(BATCH)), [], {0: (0, BATCH)})
    found = {}
    with one_thread():
        found["score"] = _each(lambda: runtimes[0].score(inputs))
        scored: Scored = runtimes[0].score(inputs)
        for name, percent in (("shadow", 0.0), ("canary_10_percent", 10.0)):
            refs = [ModelRef("bench", str(n), str(n) * 64) for n in (1, 2)]
            beside = SecondModel("s", runtimes[1], refs[1], percent, is_candidate=True)
            trial = SecondScorer(Serving(runtimes[0], refs[0], None, "a", beside), beside, "w", None)
            found[f"{name}_adds"] = _each(partial(trial.decide, raw, decoded, scored, 1.0))
    return {f"{name}_us_per_event": round(value, 3) for name, value in found.items()}


def _each(step: Callable[[], object]) -> float:
    took = []
    for _ in range(BATCHES):
        began = time.perf_counter()
        step()
        took.append(time.perf_counter() - began)
    return float(np.median(took)) / BATCH * 1e6


def _commands(frame: pl.DataFrame, first: Path, second: Path) -> dict[str, Any]:
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        broker = stack.enter_context(EmbeddedBroker())
        settings = Settings(
            bootstrap_servers=broker.bootstrap_servers, model_cache=folder / "cache", input_partitions=4
        )
        topics.ensure(settings, ALL)
        for name in WORKERS:
            own = settings.model_copy(update={"worker_id": name, "web_port": free_port()})
            worker = WorkerProcess(own, folder / f"{name}.log")
            stack.callback(worker.stop)
            worker.start()
        _must(commands.deploy(settings, Order("bench"), first))
        stop, since = Event(), datetime.now(UTC)
        load = Thread(target=_load, args=(settings, frame, stop), daemon=True)
        load.start()
        stack.callback(stop.set)
        await_commits(settings, since, WORKERS, 5 * CHUNK)
        _must(commands.deploy(settings, Order("bench"), second))
        say("rolling back and forth")
        names = [archive.read(path).sha256 for path in (first, second)]
        rollbacks = [
            _timed(partial(commands.rollback, settings, Order("bench"), names[number % 2])) for number in range(TIMES)
        ]
        say("deploying in two phases, from the cache")
        third = [first, second]
        deploys = []
        for number in range(DEPLOYS):
            _must(commands.deploy(settings, Order("bench"), third[number % 2]))
            deploys.append(_timed(partial(commands.deploy, settings, Order("bench"), third[(number + 1) % 2])))
        return {"workers": len(WORKERS), "rollback_ms": _quantiles(rollbacks), "deploy_ms": _quantiles(deploys)}


def _load(settings: Settings, frame: pl.DataFrame, stop: Event) -> None:
    events = endless(frame, CHUNK)
    while not stop.is_set():
        publish(settings, events)
        stop.wait(PAUSE_S)


def _timed(command: Callable[[], Outcome]) -> float:
    """Milliseconds until the last worker has said that it scores by the command."""
    outcome = _must(command())
    time.sleep(PAUSE_S)  # so that the next command meets a stream that flows
    return max(outcome.workers.values(), default=0.0) * 1000


def _must(outcome: Outcome) -> Outcome:
    if not outcome.ok:
        raise RuntimeError(outcome.sentence)
    return outcome


def _quantiles(values: list[float]) -> dict[str, float]:
    spread = {f"p{q}": round(float(np.percentile(values, q)), 1) for q in (50, 95)}
    return {"times": len(values), **spread, "max": round(max(values), 1)}


if __name__ == "__main__":
    FOLDER.mkdir(parents=True, exist_ok=True)
    main()
