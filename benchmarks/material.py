"""Data that all benchmarks share: transactions, and one model of them.

They are the Fraud Detection Handbook's where its file is there (`make data`), and simulated elsewhere; reports name the
source.
"""

import sys
from collections.abc import Iterable
from datetime import timedelta
from itertools import cycle, islice
from pathlib import Path

import numpy as np
import polars as pl

from benchmarks import handbook
from models import archive, artefact
from models.archive import ArtefactError
from models.data.events import encode
from models.data.simulator import Simulation, simulate
from models.definition import cards
from models.inputs import matrix
from models.recipe import TrainingConfig
from models.training import code_version, train
from schemas.topics import TRANSACTIONS
from stream_app.kafka import clients, topics
from stream_app.settings import Settings

ROOT = Path(__file__).parents[1]
FOLDER = ROOT / "build" / "bench"
TRAINING_DAYS = 7
SIMULATED = Simulation(days=35, seed=7)
# Scores of different batch sizes agree that far (relative): a row this close to the threshold may fall either way
EDGE = 1e-4
Event = tuple[bytes, bytes, int]


def transactions() -> tuple[pl.DataFrame, str]:
    """Five weeks of transactions, and what they are."""
    if handbook.PATH.is_file():
        return handbook.transactions(), "the Fraud Detection Handbook's transactions, 2018-07-11 to 2018-08-14"
    return simulate(SIMULATED), "simulated transactions"


def model(frame: pl.DataFrame, source: str) -> Path:
    """The artefact, trained on the first week, and kept for as long as the code is the same."""
    kind = "handbook" if source.startswith("the ") else "simulated"
    path = FOLDER / f"{kind}.pt"
    if not _is_of_this_code(path):
        say("training the model")
        week = frame.filter(pl.col("event_time") < frame["event_time"][0] + timedelta(days=TRAINING_DAYS))
        artefact.save(path, *train(week, cards(), TrainingConfig(), "bench", "1"))
    return path


def _is_of_this_code(path: Path) -> bool:
    try:
        return archive.read(path).manifest.code_version == code_version()
    except ArtefactError:
        return False


def repeated(frame: pl.DataFrame, passes: int) -> pl.DataFrame:
    """The transactions so many times over, each with an id of its own."""
    identity = pl.col("event_id")
    return pl.concat([frame.with_columns(identity + f".{number}") for number in range(passes)])


def publish(settings: Settings, events: Iterable[Event]) -> None:
    """Events onto the input topic, as fast as it goes."""
    producer, topic = clients.producer(settings), topics.name(settings, TRANSACTIONS)
    for key, value, _ in events:
        while True:
            try:
                producer.produce(topic, value, key)
                break
            except BufferError:
                producer.poll(0.1)
    left = producer.flush(60)
    if left:
        raise RuntimeError(f"{left} transactions were not acknowledged")


def endless(frame: pl.DataFrame, count: int) -> list[Event]:
    """So many events, from the beginning again where the frame ends."""
    return list(islice(cycle(encode(frame.head(count))), count))


def anomalous_ids(frame: pl.DataFrame, model: Path) -> tuple[set[str], set[str]]:
    """What the model says of the frame without any stream: ids over the threshold, and ids too close to it to tell."""
    runtime = artefact.load(model)
    scores = runtime.score(matrix(frame, runtime.manifest.inputs)).score
    threshold = runtime.manifest.calibration.threshold
    edge = np.abs(scores - threshold) <= EDGE * abs(threshold)
    ids = frame["event_id"]
    return set(ids.filter(pl.Series(scores >= threshold))), set(ids.filter(pl.Series(edge)))


def say(line: str) -> None:
    """A line for whoever waits; figures go to stdout, this does not."""
    sys.stderr.write(f"bench: {line}\n")
    sys.stderr.flush()
