"""How late an anomaly is: from the producer's send to a read-committed consumer, at several rates.

    python -m benchmarks.latency          every rate with every way to commit, about seven minutes
    python -m benchmarks.latency --docs   the last report into docs/performance.md, its plot into docs/

A few hundred transactions a second have an amount that no model lets pass; their anomalies are what is timed. Producer,
worker, broker and consumer are processes of their own on one machine and share its clock.
"""

import argparse
import multiprocessing
import shutil
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import polars as pl

from benchmarks import own_worker, plots, report
from benchmarks.material import FOLDER, model, say, transactions
from models.data.events import encode
from schemas.scoring import Anomaly
from schemas.topics import ALL, ANOMALIES, TRANSACTIONS
from stream_app.embedded.broker import EmbeddedBroker
from stream_app.kafka import clients, topics
from stream_app.kafka.log import Tail
from stream_app.rollout import commands
from stream_app.rollout.client import Order
from stream_app.settings import Guarantee, Settings

RATES = (1_000, 5_000, 20_000)
MARKED_PER_S = 400
MARK = "marked-"
STRANGE_AMOUNT = 1e6
WARM_UP_S, MEASURED_S = 4.0, 15.0
TICK_S = 0.001
PATIENCE_S = 10.0
POINTS = {"p50": 50.0, "p95": 95.0, "p99": 99.0, "p999": 99.9}


@dataclass(frozen=True, slots=True)
class Way:
    """How the worker commits."""

    title: str
    guarantee: Guarantee
    commit_interval_ms: int


WAYS = (
    Way("at least once", Guarantee.AT_LEAST_ONCE, 100),
    Way("exactly once, 25 ms", Guarantee.EXACTLY_ONCE, 25),
    Way("exactly once, 100 ms", Guarantee.EXACTLY_ONCE, 100),
    Way("exactly once, 250 ms", Guarantee.EXACTLY_ONCE, 250),
)


def send(settings: Settings, frame: pl.DataFrame, rate: int, pipe: Connection) -> None:
    """Produce at a steady rate, in a process of its own; the moments at which marked events were sent go into the pipe.

    Args:
        settings: Where to.
        frame: One second of transactions at this rate; every second sends them again.
        rate: Events a second.
        pipe: Takes float64 [marked], seconds since the epoch.
    """
    usual = [(key, value) for key, value, _ in encode(frame)]
    strange = frame.with_columns(amount=pl.lit(STRANGE_AMOUNT), event_id=pl.lit(MARK))
    marked = [(key, value.split(MARK.encode())) for key, value, _ in encode(strange)]
    producer, topic = clients.producer(settings, **{"linger.ms": 1}), topics.name(settings, TRANSACTIONS)
    total, every = int(rate * (WARM_UP_S + MEASURED_S)), rate // MARKED_PER_S
    moments: list[float] = []
    sent, started = 0, time.monotonic()
    while sent < total:
        due = min(total, int((time.monotonic() - started) * rate))
        for number in range(sent, due):
            key, value = usual[number % len(usual)]
            if number % every == 0:
                key, (before, after) = marked[number % len(marked)]
                value = b"%s%s%d%s" % (before, MARK.encode(), len(moments), after)
                moments.append(time.time())
            producer.produce(topic, value, key)
        sent = due
        producer.poll(0)
        time.sleep(TICK_S)
    producer.flush(PATIENCE_S)
    pipe.send(np.array(moments))


def latencies(settings: Settings, frame: pl.DataFrame, rate: int) -> np.ndarray:
    """Milliseconds of every marked transaction that was sent after the warm-up, float64.

    Raises:
        RuntimeError: some never came.
    """
    here, there = multiprocessing.Pipe()
    arrived: dict[int, float] = {}
    decode = msgspec.json.Decoder(Anomaly).decode
    with Tail(settings, [ANOMALIES]) as tail:
        sender = multiprocessing.get_context("spawn").Process(target=send, args=(settings, frame, rate, there))
        sender.start()
        wanted, heard = -1, time.monotonic()
        sent_at = np.empty(0)
        while wanted < 0 or len(arrived) < wanted:
            for message in tail.poll(0.1, limit=1):  # one by one: a batch would be as late as its last
                at, identity = time.time(), decode(message.value() or b"").event_id
                if identity.startswith(MARK):
                    arrived[int(identity.removeprefix(MARK))] = at
                    heard = time.monotonic()
            if wanted < 0 and here.poll():
                sent_at = here.recv()
                wanted, heard = len(sent_at), time.monotonic()
            if wanted < 0 and not sender.is_alive() and not here.poll():
                raise RuntimeError("the sender died: its traceback stands above")
            if wanted >= 0 and time.monotonic() - heard > PATIENCE_S:
                raise RuntimeError(f"{wanted - len(arrived)} of {wanted} marked transactions never came")
        sender.join()
    delay = np.array([arrived[number] for number in range(wanted)]) - sent_at
    return delay[sent_at >= sent_at[0] + WARM_UP_S] * 1000


def measure(rates: Sequence[int]) -> dict[str, Any]:
    """The whole report, from an embedded broker of its own."""
    frame, source = transactions()
    artefact = model(frame, source)
    cells = []
    with EmbeddedBroker(say=say) as broker:
        for way in WAYS:
            for rate in rates:
                cells.append({"title": way.title, "rate": rate, **_cell(broker, artefact, frame, way, rate)})
                say(f"{way.title}, {rate:,}/s: " + ", ".join(f"{p} {cells[-1][p]:.1f} ms" for p in POINTS))
    return {"rates": rates, "cells": cells, "source": source, "machine": report.machine()}


def _cell(broker: EmbeddedBroker, artefact: Path, frame: pl.DataFrame, way: Way, rate: int) -> dict[str, float]:
    """One worker, one rate, on topics of their own."""
    name = f"latency-{way.guarantee}-{way.commit_interval_ms}-{rate}"
    settings = Settings(
        bootstrap_servers=broker.bootstrap_servers,
        topic_prefix=f"{name}-",
        model_cache=FOLDER / "model-cache",
        guarantee=way.guarantee,
        commit_interval_ms=way.commit_interval_ms,
    )
    topics.ensure(settings, ALL)
    with own_worker.running(settings, name) as worker:
        worker.start()
        outcome = commands.deploy(settings, Order("benchmark", "to be measured"), artefact)
        if not outcome.ok:
            raise RuntimeError(outcome.sentence)
        worker.wait_for_partitions(PATIENCE_S)
        found = latencies(settings, frame.head(rate), rate)
    return {"samples": len(found), **{point: float(np.percentile(found, at)) for point, at in POINTS.items()}}


def table(found: dict[str, Any]) -> str:
    """The report as Markdown."""
    lines = ["| commits | events/s | P50 | P95 | P99 | P99.9 |", "| --- | --- | --- | --- | --- | --- |"]
    lines += [
        f"| {cell['title']} | {cell['rate']:,} | " + " | ".join(f"{cell[point]:.1f} ms" for point in POINTS) + " |"
        for cell in found["cells"]
    ]
    samples = min(cell["samples"] for cell in found["cells"])
    note = f"At least {samples:,} anomalies in each line, after {WARM_UP_S:.0f} s of warm-up. {report.footing(found)}"
    return "\n".join([*lines, "", note]) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--rate", type=int, action="append", choices=RATES, help="measure this rate alone")
    parser.add_argument("--docs", action="store_true", help="measure nothing: write the last report into the docs")
    options = parser.parse_args()
    if options.docs:
        report.into_page("latency", table(report.load("latency")))
        shutil.copy(FOLDER / "latency.svg", report.PAGE.parent / "latency.svg")
        return
    FOLDER.mkdir(parents=True, exist_ok=True)
    found = measure(options.rate or RATES)
    report.save(found, "latency")
    plots.latency(found, FOLDER / "latency.svg")
    sys.stdout.write(table(found))


if __name__ == "__main__":
    main()
