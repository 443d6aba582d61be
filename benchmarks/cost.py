"""What an event costs, and when: by micro-batch, inputs, width of the model, partitions, processes, and in a backlog.

    python -m benchmarks.cost             everything, about a quarter of an hour
    python -m benchmarks.cost --only startup backlog      the rest of the report stays as it was
    python -m benchmarks.cost --docs      the last report into docs/performance.md, its plots into docs/

Each point is a worker of its own, exactly once with everything on, before a topic that is full; the median of three.
"""

import argparse
import shutil
import sys
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import polars as pl

from benchmarks import own_worker, plots, report
from benchmarks.material import FOLDER, model, say, transactions
from benchmarks.own_worker import Commit
from benchmarks.stand import WINDOWS, full, model_of, wide_events, windowed_model
from models.data.events import encode
from stream_app.embedded.broker import EmbeddedBroker
from stream_app.settings import Settings
from stream_app.testing.worker_process import WorkerProcess

ROUNDS = 3
BATCHES = (64, 256, 1024, 4096)
INPUTS = {15: 400_000, 64: 150_000, 256: 40_000}  # and how many events of that width are published
HIDDEN = (16, 64, 256, 1024)
PARTITIONS = (4, 16, 64)
BACKLOG_PASSES = 15
PAGES = ("", "api/state", "metrics")
ASK_EVERY_S = 0.2
STAGES = 10
IMPORTED = "import torch, time, pathlib; pathlib.Path({path!r}).write_text(str(time.time())); "
Row = dict[str, Any]


def batch(broker: EmbeddedBroker, frame: pl.DataFrame, trained: Path) -> list[Row]:
    """By the largest micro-batch."""
    settings, total = full(broker, "batch", trained, 2, encode(frame))
    return [_point(settings, total, "records", size, batch_max_events=size) for size in BATCHES]


def inputs(broker: EmbeddedBroker, frame: pl.DataFrame, _trained: Path) -> list[Row]:
    """By the number of inputs, each of which is a field of the event too."""
    rows = []
    for count, events in INPUTS.items():
        wide = list(wide_events(frame.head(min(events, len(frame))), count))
        settings, total = full(broker, f"inputs-{count}", model_of(frame, f"inputs-{count}", count), 1, wide)
        rows.append({**_point(settings, total, "inputs", count), "bytes": float(np.mean([len(v) for _, v, _ in wide]))})
    return rows


def width(broker: EmbeddedBroker, frame: pl.DataFrame, _trained: Path) -> list[Row]:
    """By the units of each hidden layer."""
    rows = []
    for hidden in HIDDEN:
        settings, total = full(
            broker, f"width-{hidden}", model_of(frame, f"width-{hidden}", hidden=hidden), 1, encode(frame)
        )
        rows.append(_point(settings, total, "hidden units", hidden))
    return rows


def windows(broker: EmbeddedBroker, frame: pl.DataFrame, _trained: Path) -> list[Row]:
    """Twelve windows over customer and terminal, computed by the worker, beside as many inputs that stand in the event.

    A round of each in turn, on topics that no worker has seen; the ratio is that of the two in a round.
    """
    paths = {
        0: model_of(frame, f"inputs-{1 + len(WINDOWS)}", 1 + len(WINDOWS)),
        len(WINDOWS): windowed_model(frame),
    }
    runs: dict[int, list[dict[str, float]]] = {count: [] for count in paths}
    for number in range(ROUNDS):
        for count, path in paths.items():
            settings, total = full(broker, f"windows-{count}-{number}", path, 1, encode(frame))
            runs[count].append(own_worker.work_off(settings, f"win-{count}-{number}", total))
    rates = {count: [run["events"] / run["seconds"] for run in found] for count, found in runs.items()}
    ratios = [own / none for none, own in zip(*rates.values(), strict=True)]
    say(f"windows: {median(ratios):.2f} of the rate without")
    rows = [_row("windows", count, found) for count, found in runs.items()]
    return [*rows[:-1], {**rows[-1], "ratio": report.spread(ratios)}]


def partitions(broker: EmbeddedBroker, frame: pl.DataFrame, trained: Path) -> list[Row]:
    """By the number of input partitions, all of them on one worker."""
    rows = []
    for count in PARTITIONS:
        settings, total = full(broker, f"partitions-{count}", trained, 2, encode(frame), count)
        rows.append(_point(settings, total, "partitions", count))
    return rows


def workers(broker: EmbeddedBroker, frame: pl.DataFrame, trained: Path) -> list[Row]:
    """One and two processes of one group, beside their broker on this machine: what all commit while all are at it."""
    settings, total = full(broker, "workers", trained, 9, encode(frame))
    rows = []
    for count in (1, 2):
        rates = []
        for number in range(ROUNDS):
            names, since = [f"w{i}-of-{count}-{number}" for i in range(count)], datetime.now(UTC)
            with ExitStack() as stack:
                company = [
                    stack.enter_context(own_worker.running(settings, name, app_id=f"group-{count}-{number}"))
                    for name in names
                ]
                starts = [threading.Thread(target=worker.start) for worker in company]
                for start in starts:
                    start.start()
                rates.append(_together(own_worker.await_commits(settings, since, names, total), names))
                for start in starts:
                    start.join()
        rows.append({"axis": "workers", "value": count, "events_per_second": report.spread(rates)})
        say(f"workers {count}: {median(rates):,.0f} events/s")
    return rows


def _together(commits: list[Commit], names: list[str]) -> float:
    """Events a second, all of them, from when the last one has begun to when the first one is done."""
    times = {name: [commit.at for commit in commits if commit.worker == name] for name in names}
    begin, end = max(min(at) for at in times.values()), min(max(at) for at in times.values())
    if end <= begin:
        raise RuntimeError("one of the workers was done before another had begun: give them more to do")
    return sum(commit.events for commit in commits if begin < commit.at <= end) / (end - begin)


def startup(broker: EmbeddedBroker, frame: pl.DataFrame, trained: Path) -> list[Row]:
    """From the moment at which Python has imported torch to the first commit."""
    settings, total = full(broker, "startup", trained, 1, encode(frame.head(20_000)))
    seconds, moment = [], FOLDER / "imported"
    for number in range(5):
        with own_worker.running(settings, f"startup-{number}") as worker:
            worker.program = IMPORTED.format(path=str(moment)) + WorkerProcess.program
            since = datetime.now(UTC)
            worker.start()
            commits = own_worker.await_commits(settings, since, {f"startup-{number}"}, total)
        seconds.append(commits[0].at - float(moment.read_text()))
    say(f"startup: {median(seconds):.2f} s")
    return [{"axis": "startup", "value": "torch imported to first commit", "seconds": report.spread(seconds)}]


def backlog(broker: EmbeddedBroker, frame: pl.DataFrame, trained: Path) -> list[Row]:
    """Five million events: the rate while catching up, memory on the way, and how fast the page answers meanwhile."""
    settings, total = full(broker, "backlog", trained, BACKLOG_PASSES, encode(frame))
    name, since = "backlog", datetime.now(UTC)
    with own_worker.running(settings, name) as worker, own_worker.Samples(worker) as samples:
        worker.start()
        with _asked(worker.url) as answers:
            commits = own_worker.await_commits(settings, since, {name}, total)
    counted = np.cumsum([commit.events for commit in commits])
    rows = []
    for stage in range(1, STAGES + 1):
        first, last = (int(np.searchsorted(counted, total * part / STAGES)) for part in (stage - 1, stage))
        begin, end = commits[first].at, commits[min(last, len(commits) - 1)].at
        events = int(counted[min(last, len(counted) - 1)] - counted[first])
        rss = samples.rss_at(end) / 1e6
        rows.append(
            {"axis": "backlog", "value": int(total * stage / STAGES), "rate": events / (end - begin), "mb": rss}
        )
    rows.append({"axis": "page", "value": "worst answer at full load", **{k: max(v) for k, v in answers.items()}})
    say(f"backlog: {total / (commits[-1].at - commits[0].at):,.0f} events/s")
    return rows


@contextmanager
def _asked(url: str) -> Iterator[dict[str, list[float]]]:
    """Asks for each page again and again; milliseconds of each answer."""
    answers: dict[str, list[float]] = {f"/{page}": [] for page in PAGES}
    done = threading.Event()

    def ask() -> None:
        while not done.wait(ASK_EVERY_S):
            for page in PAGES:
                started = time.perf_counter()
                with urllib.request.urlopen(url + page, timeout=10) as answer:
                    answer.read()
                answers[f"/{page}"].append((time.perf_counter() - started) * 1000)

    thread = threading.Thread(target=ask)
    thread.start()
    try:
        yield answers
    finally:
        done.set()
        thread.join()


def _point(settings: Settings, total: int, axis: str, value: int, **overrides: object) -> Row:
    """One worker after another on the same topic."""
    runs = [own_worker.work_off(settings, f"{axis[:3]}-{value}-{n}", total, **overrides) for n in range(ROUNDS)]
    return _row(axis, value, runs)


def _row(axis: str, value: int, runs: list[dict[str, float]]) -> Row:
    rates = report.spread(run["events"] / run["seconds"] for run in runs)
    cpu = report.spread(run["cpu_seconds"] / run["events"] * 1e6 for run in runs)
    say(f"{axis} {value}: {rates['median']:,.0f} events/s, {cpu['median']:.2f} us of CPU each")
    return {"axis": axis, "value": value, "events_per_second": rates, "cpu_us_per_event": cpu}


AXES: dict[str, Callable[[EmbeddedBroker, pl.DataFrame, Path], list[Row]]] = {
    "batch": batch,
    "inputs": inputs,
    "width": width,
    "windows": windows,
    "partitions": partitions,
    "workers": workers,
    "startup": startup,
    "backlog": backlog,
}


def measure(axes: list[str]) -> dict[str, Any]:
    """The whole report; each axis has a broker of its own, whose disk is freed after it."""
    frame, source = transactions()
    trained = model(frame, source)
    rows: dict[str, list[Row]] = {}
    for axis in axes:
        with EmbeddedBroker(say=say) as broker:
            rows[axis] = AXES[axis](broker, frame, trained)
    return {"axes": rows, "source": source, "machine": report.machine()}


def table(found: dict[str, Any]) -> str:
    """The report as Markdown."""
    lines = ["| what | | events/s (least to most) | CPU µs/event |", "| --- | --- | --- | --- |"]
    for row in (row for rows in found["axes"].values() for row in rows if "events_per_second" in row):
        rate, cpu = row["events_per_second"], row.get("cpu_us_per_event")
        size = f" of {row['bytes']:,.0f} bytes" if "bytes" in row else ""
        spread = f"**{rate['median']:,.0f}** ({rate['min']:,.0f} to {rate['max']:,.0f})"
        each = f"{cpu['median']:.2f}" if cpu else ""
        lines.append(f"| {row['axis']} | {row['value']:,}{size} | {spread} | {each} |")
    return "\n".join([*lines, "", *_sentences(found["axes"]), report.footing(found)]) + "\n"


def _sentences(axes: dict[str, list[Row]]) -> Iterator[str]:
    for row in axes.get("startup", []):
        seconds = row["seconds"]
        yield (
            f"Start-up, from torch imported to the first commit: **{seconds['median']:.2f} s** "
            f"({seconds['min']:.2f} to {seconds['max']:.2f}).\n"
        )
    for row in axes.get("windows", []):
        if "ratio" in row:
            ratio = row["ratio"]
            yield (
                f"With {row['value']} windows over two entities the rate is **{ratio['median']:.2f}** "
                f"({ratio['min']:.2f} to {ratio['max']:.2f}) of that without, in the same round.\n"
            )
    steps = [row for row in axes.get("backlog", []) if row["axis"] == "backlog"]
    if steps:
        rates, sizes = [row["rate"] for row in steps], [row["mb"] for row in steps]
        page = ", ".join(f"`{k}` {v:.0f} ms" for k, v in axes["backlog"][-1].items() if k.startswith("/"))
        yield (
            f"A backlog of {steps[-1]['value']:,} events: {min(rates):,.0f} to {max(rates):,.0f} events/s in its "
            f"tenths, {min(sizes):,.0f} to {max(sizes):,.0f} MB resident; the slowest answers meanwhile: {page}.\n"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--only", nargs="+", choices=AXES, default=list(AXES), help="measure these alone")
    parser.add_argument("--docs", action="store_true", help="measure nothing: write the last report into the docs")
    options = parser.parse_args()
    if options.docs:
        report.into_page("cost", table(report.load("cost")))
        shutil.copy(FOLDER / "cost.svg", report.PAGE.parent / "cost.svg")
        return
    FOLDER.mkdir(parents=True, exist_ok=True)
    found = measure(options.only)
    if (FOLDER / "cost.json").is_file():
        found["axes"] = {**report.load("cost")["axes"], **found["axes"]}
    report.save(found, "cost")
    plots.cost(found["axes"], FOLDER / "cost.svg")
    sys.stdout.write(table(found))


if __name__ == "__main__":
    main()
