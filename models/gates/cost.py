"""Time and memory of the candidate and the champion, timed in turns so that a busy machine slows both alike."""

import time
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from torch.autograd.profiler_legacy import profile

from models.gates.limits import Limits
from models.gates.report import Gate, Measure, judged
from models.protocol import BATCH
from models.runtime import Runtime, one_thread

NAME = "cost"
WHY = "a slow model turns a stream into a backlog, and every worker keeps three models in memory"
ROUNDS, FEWEST_ROUNDS = 40, 5
TIME_LIMIT_S = 2.0
MEBI = 2**20


class ScoringCost(NamedTuple):
    """Time and memory of scoring, in batches of 1024 on one thread.

    Attributes:
        us_per_event: Median, microseconds.
        batch_p99_ms: 99th percentile of a batch, milliseconds.
        mebibytes: The parameters and the allocations of scoring one batch.
    """

    us_per_event: float
    batch_p99_ms: float
    mebibytes: float


def gate(candidate: Runtime, champion: Runtime, limits: Limits) -> Gate:
    """Neither much slower nor much larger than the champion, unless cheap anyway.

    Both are timed on golden rows: the cost of a batch does not depend on its values.
    """
    ours, theirs = measure(candidate, champion)
    allowed = limits.cost
    measures = [
        Measure("us per event of the champion", theirs.us_per_event),
        Measure(
            "us per event of the candidate",
            ours.us_per_event,
            most=max(theirs.us_per_event * allowed.times_slower_most, allowed.us_per_event_free),
        ),
        Measure("p99 of a batch in ms", ours.batch_p99_ms),
        Measure(
            "MiB of the candidate",
            ours.mebibytes,
            most=max(theirs.mebibytes * allowed.times_memory_most, allowed.mebibytes_free),
        ),
    ]
    return judged(NAME, WHY, measures, f"{ours.us_per_event / theirs.us_per_event:.1f} times the champion's time")


def measure(
    candidate: Runtime, champion: Runtime, clock: Callable[[], float] = time.perf_counter
) -> tuple[ScoringCost, ScoringCost]:
    """The cost of both, in this order. Takes `TIME_LIMIT_S`, or `FEWEST_ROUNDS` rounds if they take longer."""
    models = (candidate, champion)
    batches = [np.resize(_golden(model), (BATCH, len(model.manifest.inputs))) for model in models]
    seconds: list[tuple[float, ...]] = []
    with one_thread():
        memory = [_parameters(m) + _allocated(m, batch) for m, batch in zip(models, batches, strict=True)]
        started = clock()
        while len(seconds) < ROUNDS and (len(seconds) < FEWEST_ROUNDS or clock() - started < TIME_LIMIT_S):
            seconds.append(tuple(_timed(m, batch, clock) for m, batch in zip(models, batches, strict=True)))
    took = np.array(seconds)
    median, p99 = np.median(took, axis=0), np.percentile(took, 99, axis=0)
    ours, theirs = (
        ScoringCost(float(median[i]) / BATCH * 1e6, float(p99[i]) * 1e3, memory[i] / MEBI) for i in range(2)
    )
    return ours, theirs


def _timed(model: Runtime, batch: np.ndarray, clock: Callable[[], float]) -> float:
    start = clock()
    model.score(batch)
    return clock() - start


def _golden(model: Runtime) -> np.ndarray:
    return np.array([row.inputs for row in model.manifest.golden], dtype=np.float32)


def _parameters(model: Runtime) -> int:
    """Bytes of the tensors in the graph, which freezing has turned into constants."""
    constants = model.graph.graph.findAllNodes("prim::Constant", recurse=True)  # type: ignore[attr-defined]
    kinds = [(node, node.kindOf("value")) for node in constants if node.hasAttribute("value")]
    return sum(node.t("value").nbytes for node, kind in kinds if kind == "t")


def _allocated(model: Runtime, batch: np.ndarray) -> int:
    """Bytes allocated by scoring one batch, over all operators.

    Measured by torch's older profiler: the newer one writes to stderr and takes seconds to start.
    """
    with profile(profile_memory=True) as profiled:  # type: ignore[no-untyped-call]
        model.score(batch)
    return sum(max(event.self_cpu_memory_usage, 0) for event in profiled.key_averages())
