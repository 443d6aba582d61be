"""Where a worker's time goes while it works off a backlog: a flame graph of its pipeline's thread.

    python -m benchmarks.flame            build/bench/flame.svg, and the shares of the stages
    python -m benchmarks.flame --docs     the last one into docs/, the shares into docs/performance.md

py-spy samples from outside and does not stop the worker (`--nonblocking`), so a sample in some thousands is torn.
"""

import argparse
import shutil
import subprocess
import sys
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from benchmarks import own_worker, plots, report
from benchmarks.material import FOLDER, model, transactions
from benchmarks.stand import full
from models.data.events import encode
from stream_app.embedded.broker import EmbeddedBroker

PASSES = 8
SECONDS, PER_SECOND = 4, 250
PIPELINE = "recovery.py"  # a stack with this module in it is of the pipeline's thread
WRAPPER = "Loop._timed"  # around every stage: it would be one bar more on each
STAGES = ("consume", "decode", "score", "explain", "summarise", "emit", "commit", "tally")


def sample(folded: Path) -> None:
    """Folded stacks of a worker with a backlog, one line each with its count."""
    frame, source = transactions()
    with EmbeddedBroker() as broker:
        settings, total = full(broker, "flame", model(frame, source), PASSES, encode(frame))
        since = datetime.now(UTC)
        with own_worker.running(settings, "flame") as worker:
            worker.start()
            own_worker.await_commits(settings, since, {"flame"}, total // PASSES)
            options = ["--format", "raw", "--threads", "--nonblocking", "--output", str(folded)]
            command = [
                "py-spy",
                "record",
                "--pid",
                str(worker.pid),
                "-d",
                str(SECONDS),
                "-r",
                str(PER_SECOND),
                *options,
            ]
            subprocess.run([str(Path(sys.executable).with_name(command[0])), *command[1:]], check=True)


def stacks(folded: Path) -> Counter[tuple[str, ...]]:
    """Of the pipeline's thread, from the loop on."""
    counted: Counter[tuple[str, ...]] = Counter()
    for line in folded.read_text(encoding="utf-8").splitlines():
        stack, _, count = line.rpartition(" ")
        frames = stack.split(";")
        if any(PIPELINE in frame for frame in frames):
            start = max(i for i, frame in enumerate(frames) if PIPELINE in frame) + 1
            counted[tuple(_place(frame) for frame in frames[start:] if WRAPPER not in frame)] += int(count)
    return counted


def _place(frame: str) -> str:
    """`function (module.py)`: without the line, so that a function is one bar."""
    return f"{frame.rpartition(':')[0]})" if ":" in frame else frame


def shares(counted: Counter[tuple[str, ...]]) -> dict[str, float]:
    """The part of the samples in each stage: by the outermost frame that is in a module of that name."""
    found: Counter[str] = Counter()
    for stack, count in counted.items():
        inside = (stage for frame in stack for stage in STAGES if f"pipeline/{stage}.py" in frame)
        found[next(inside, "the loop itself")] += count
    return {stage: found[stage] / found.total() for stage in (*STAGES, "the loop itself")}


def table(found: dict[str, Any]) -> str:
    """The shares as Markdown."""
    lines = ["| stage | share of the pipeline's time |", "| --- | --- |"]
    lines += [f"| {stage} | {share:.0%} |" for stage, share in found["shares"].items()]
    return "\n".join([*lines, "", f"{found['samples']:,} samples. {report.footing(found)}"]) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--docs", action="store_true", help="measure nothing: the last result into the docs")
    if parser.parse_args().docs:
        report.into_page("flame", table(report.load("flame")))
        shutil.copy(FOLDER / "flame.svg", report.PAGE.parent / "flame.svg")
        return
    FOLDER.mkdir(parents=True, exist_ok=True)
    sample(FOLDER / "flame.folded")
    counted = stacks(FOLDER / "flame.folded")
    found = {"shares": shares(counted), "samples": counted.total(), "machine": report.machine()}
    report.save(found, "flame")
    plots.flame(counted, FOLDER / "flame.svg")
    sys.stdout.write(table(found))


if __name__ == "__main__":
    main()
