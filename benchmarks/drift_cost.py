"""What the drift summaries cost in the hot path: the stage itself on micro-batches of real transactions."""

import time
from statistics import median
from typing import Any, cast

import numpy as np
import polars as pl

from benchmarks.drift_streams import SHA, Model, segments_of
from models.inputs import matrix
from models.runtime import Scored, one_thread, run
from stream_app.pipeline.batch import Decided, Decoded, Raw, Reasoned
from stream_app.pipeline.summarise import Summaries

BATCH, BATCHES, PARTITIONS = 1024, 64, 4
BATCHES_PER_COMMIT = 16
ROUNDS = 9

Batch = tuple[Raw, Decoded, Scored]


def summarise_us_per_event(frame: pl.DataFrame, model: Model) -> dict[str, float]:
    """Microseconds of CPU for each transaction, draining at each commit included: median, least and most of rounds."""
    batches = [_batch(rows, model) for rows in frame.head(BATCH * BATCHES).iter_slices(BATCH)]
    with one_thread():  # as the pipeline's
        rounds = sorted(_round(batches, model) for _ in range(ROUNDS))
    return {"median": median(rounds), "min": rounds[0], "max": rounds[-1]}


def _round(batches: list[Batch], model: Model) -> float:
    manifest = model.manifest
    summaries = Summaries(manifest.signals, manifest.relations, SHA, "benchmark", segments=manifest.segments)
    nothing = Reasoned(np.zeros(0, dtype=np.int64), np.zeros(0), (), np.zeros((0, 3)), np.zeros((0, 3)))
    begun = time.process_time()
    for number, (raw, decoded, scored) in enumerate(batches, start=1):
        # Who decided is asked for its rows alone
        summaries.add(raw, decoded, scored, [(Decided(cast(Any, None), decoded, scored), nothing)])
        if number % BATCHES_PER_COMMIT == 0:
            summaries.drain(raw.spans)
    return (time.process_time() - begun) / (BATCH * len(batches)) * 1e6


def _batch(rows: pl.DataFrame, model: Model) -> Batch:
    inputs = matrix(rows, model.manifest.inputs)
    count = rows.height
    partitions = (np.arange(count) * PARTITIONS // count).tolist()  # as a consumer hands them over: one after the other
    spans = dict.fromkeys(range(PARTITIONS), (0, count // PARTITIONS))
    raw = Raw([b""] * count, partitions, list(range(count)), [], spans)
    times = rows["event_time"].to_list()
    segments = None if model.manifest.segments is None else segments_of(rows, model)
    decoded = Decoded(np.arange(count), inputs, [""] * count, [""] * count, times, [], segments)
    return raw, decoded, run(model.graph, inputs)
