"""What a worker takes that has a model and nothing to do: clients, threads, memory, CPU.

    python -m benchmarks.idle           one worker on an embedded broker, into build/idle/report.json

Clients are counted where they are made: librdkafka has one main thread for each, and Faust's are counted in the worker.
"""

import json
import platform
import sys
import tempfile
import time
from collections import Counter
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import psutil

from benchmarks.material import say
from models import artefact
from models.data.simulator import Simulation, simulate
from models.definition import cards
from models.recipe import TrainingConfig
from models.training import train
from schemas.topics import ALL
from stream_app.embedded.broker import EmbeddedBroker
from stream_app.embedded.node import free_port
from stream_app.kafka import topics
from stream_app.rollout import commands
from stream_app.rollout.client import Order
from stream_app.settings import Settings
from stream_app.testing.worker_process import WorkerProcess

OUT = Path("build/idle/report.json")
SETTLE_S = 15.0  # what a start leaves to do is done by then
MEASURE_S = 20.0
FAUSTS_CLIENT = "idle: a client of Faust's"


class Counted(WorkerProcess):
    """A worker that writes a line for each client that Faust makes; it imports nothing that a worker does not."""

    program = f"""
import sys
from aiokafka.client import AIOKafkaClient
from stream_app.cli.app import main
start = AIOKafkaClient.bootstrap
async def bootstrap(self):
    sys.stderr.write("{FAUSTS_CLIENT}\\n")
    await start(self)
AIOKafkaClient.bootstrap = bootstrap
main()
"""


def main() -> None:
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        broker = stack.enter_context(EmbeddedBroker())
        settings = Settings(
            bootstrap_servers=broker.bootstrap_servers,
            model_cache=folder / "cache",
            tracking_uri="",
            web_port=free_port(),
        )
        topics.ensure(settings, ALL)
        log = folder / "worker.log"
        worker = Counted(settings, log)
        stack.callback(worker.stop)
        worker.start()
        say("training a small model")
        frame = simulate(Simulation(days=3, customers=500, seed=7))
        artefact.save(folder / "model.pt", *train(frame, cards(), TrainingConfig(epochs=2), "idle", "1"))
        outcome = commands.deploy(settings, Order("bench"), folder / "model.pt")
        if not outcome.ok:
            raise RuntimeError(outcome.sentence)
        worker.wait_for("health/ready", 60)
        time.sleep(SETTLE_S)
        assert worker.pid is not None
        report = measured(psutil.Process(worker.pid))
        fausts = log.read_text().count(FAUSTS_CLIENT)
        report["kafka_clients"] = {"librdkafka": report.pop("librdkafka"), "faust": fausts}
    OUT.parent.mkdir(parents=True, exist_ok=True)
    OUT.write_text(json.dumps(report, indent=2) + "\n")
    json.dump(report, sys.stdout, indent=2)


def measured(process: psutil.Process) -> dict[str, Any]:
    """The figures of a process over `MEASURE_S`."""
    names = _names(process)
    before, times = {t.id: t.user_time + t.system_time for t in process.threads()}, process.cpu_times()
    began = time.monotonic()
    time.sleep(MEASURE_S)
    took = time.monotonic() - began
    after, now = {t.id: t.user_time + t.system_time for t in process.threads()}, process.cpu_times()
    spent = {f"{names.get(t, 'new')} {t}": after[t] - before.get(t, 0.0) for t in after}
    busiest = sorted(spent.items(), key=lambda item: -item[1])[:10]
    return {
        "machine": f"{platform.machine()}, {psutil.cpu_count()} cores",
        "rss_mb": round(process.memory_info().rss / 1e6),
        "threads": process.num_threads(),
        "cpu_percent_of_a_core": round((now.user + now.system - times.user - times.system) / took * 100, 2),
        "librdkafka": Counter(names.values())["rdk:main"],
        "threads_by_name": dict(Counter(name.rstrip("0123456789") for name in names.values()).most_common()),
        "busiest_threads_percent": {name: round(s / took * 100, 2) for name, s in busiest},
    }


def _names(process: psutil.Process) -> dict[int, str]:
    """Thread id to its name, as Linux has it."""
    tasks = Path(f"/proc/{process.pid}/task")
    return {int(task.name): (task / "comm").read_text().strip() for task in tasks.iterdir()}


if __name__ == "__main__":
    main()
