"""What the windows cost: time of an event, bytes of an entity, checkpoint and restore, memory with many more entities.

    python -m benchmarks.windows              everything, some minutes
    python -m benchmarks.windows --scale 0.1  of the entities and events

Times are CPU time of this process, so that what else runs on the machine shows less. There are twelve windows: six over
the entity of the decision, and six over another, from totals that are published every hop.
"""

import argparse
import sys
import time
from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import Any

import numpy as np

from benchmarks import report
from benchmarks.material import FOLDER
from models.windows.compiled import Batch
from models.windows.state import WindowState
from models.windows.totals import HopTotals
from models.windows.view import TotalsView
from schemas.definition import Window

DAY_US = 86_400_000_000
SINCE = 17_622 * DAY_US  # 2018-04-01
MONTH_US = 30 * DAY_US
BATCH = 1024
EVENTS_EACH = 20  # of an entity in a month
MERCHANTS = 10_000
Row = dict[str, Any]


LENGTHS = ("1d", "7d", "30d")
OWN = [w for over in LENGTHS for w in (Window("card", "count", over), Window("card", "mean", over, "amount"))]
OTHERS = [
    window
    for over in LENGTHS
    for window in (
        Window("merchant", "count", over, delay="7d"),
        Window("merchant", "mean", over, of="label", delay="7d"),
    )
]


class Clock:
    """CPU seconds of all blocks that it was around."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def __enter__(self) -> None:
        self._begun = time.process_time()

    def __exit__(self, *_: object) -> None:
        self.seconds += time.process_time() - self._begun


def traffic(entities: int, events: int, hot: float = 0.0, fresh: bool = False) -> Iterator[Batch]:
    """Micro-batches of a month, entities at random; one of them makes the share `hot`, or all are `fresh` in turn."""
    rng = np.random.default_rng(0)
    names = rng.integers(-(2**63), 2**63 - 1, entities)
    nothing = np.empty((BATCH, 0), np.int64)
    for start in range(0, events - BATCH + 1, BATCH):
        places = np.arange(start, start + BATCH)
        who = places // 2 % entities if fresh else rng.integers(0, entities, BATCH)
        who[rng.random(BATCH) < hot] = 0
        times = SINCE + places * (MONTH_US // events)
        yield Batch(places, names[who], times, np.round(rng.lognormal(3, 1, (BATCH, 1)), 2), nothing)


def filled(entities: int, hot: float = 0.0) -> tuple[WindowState, float]:
    """A month of traffic, and the microseconds of an event in its last fifth."""
    state, clock, events = WindowState(OWN, entities), Clock(), entities * EVENTS_EACH
    for batch in traffic(entities, events, hot):
        if batch.positions[0] >= events * 0.8:
            with clock:
                state.step(batch)
        else:
            state.step(batch)
    return state, clock.seconds / (events * 0.2) * 1e6


def step(scale: float) -> Row:
    """Six windows of the entity of the decision, 100,000 entities; and with one of them making half of all events."""
    entities = int(100_000 * scale)
    even, hot = filled(entities)[1], filled(entities, 0.5)[1]
    return {"entities": entities, "us_per_event": even, "hot_key_us_per_event": hot, "hot_key_speed": even / hot}


def totals(scale: float) -> Row:
    """Six windows of another entity: looked up, added up, published each hour and read."""
    producer, view, clock, rng = HopTotals(OTHERS), TotalsView(OTHERS, MERCHANTS), Clock(), np.random.default_rng(1)
    events = int(2_000_000 * scale)
    names = rng.integers(-(2**63), 2**63 - 1, MERCHANTS)
    for batch in traffic(1000, events):
        keys, labels = names[rng.integers(0, MERCHANTS, BATCH)], (rng.random((BATCH, 1)) < 0.01).astype(np.float64)
        with clock:
            for record in producer.finished(int(batch.times[0])):
                view.add(0, record)
            view.look(keys, batch.times)
            producer.add(keys, batch.times, labels)
    figures = view.figures
    return {"us_per_event": clock.seconds / events * 1e6, "bytes_per_entity": figures.bytes / figures.entities}


def memory(scale: float) -> Row:
    """A million entities of twenty events: their bytes, their checkpoint, and how long a restore takes."""
    state, us = filled(int(1_000_000 * scale))
    figures, saving, restoring = state.figures, Clock(), Clock()
    with saving:
        records = list(state.changed())
    again = WindowState(OWN, figures.entities)
    with restoring:
        again.restore(records)
    return {
        "entities": figures.entities,
        "us_per_event": us,
        "bytes_per_entity": figures.bytes / figures.entities,
        "checkpoint_bytes_per_entity": sum(len(record or b"") for _, record in records) / figures.entities,
        "checkpoint_cpu_s": saving.seconds,
        "restore_cpu_s": restoring.seconds,
    }


def flat(scale: float) -> Row:
    """Ten million entities, one after the other, where a million are held: bytes on the way, with checkpoints."""
    bound = int(1_000_000 * scale)
    state, clock, sizes = WindowState(OWN, bound), Clock(), []
    marks = [int(20 * bound * part) for part in np.linspace(0.1, 1.0, 10)]
    for batch, after in pairwise(traffic(10 * bound, 20 * bound, fresh=True)):
        with clock:
            state.step(batch)
        if any(batch.positions[0] <= mark < after.positions[0] for mark in marks):
            sizes.append(state.figures.bytes)
            for _ in state.changed():
                pass
    return {
        "bound": bound,
        "forgotten": state.figures.forgotten,
        "us_per_event": clock.seconds / (20 * bound) * 1e6,
        "bytes_growth": sizes[-1] / sizes[len(sizes) // 2] - 1,
    }


PARTS: dict[str, Callable[[float], Row]] = {"step": step, "totals": totals, "memory": memory, "flat": flat}


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--only", nargs="+", choices=PARTS, default=list(PARTS), help="measure these alone")
    parser.add_argument("--scale", type=float, default=1.0, help="so many of the entities and events")
    options = parser.parse_args()
    began = time.process_time()
    warm = WindowState(OWN, 1)
    warm.step(next(traffic(1, BATCH)))
    WindowState(OWN, 1).restore(warm.changed())
    found: dict[str, Any] = {"warm_up_cpu_s": time.process_time() - began, "machine": report.machine()}
    for part in options.only:
        found[part] = PARTS[part](options.scale)
        sys.stdout.write(f"{part}: " + ", ".join(f"{key} {value:,.3g}" for key, value in found[part].items()) + "\n")
        sys.stdout.flush()
    FOLDER.mkdir(parents=True, exist_ok=True)
    report.save(found, "windows")


if __name__ == "__main__":
    main()
