"""Topics full of transactions and a model that waits for its first worker: what a single measurement starts from."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import orjson
import polars as pl
from msgspec.structs import replace

from benchmarks.material import FOLDER, Event, publish
from models import artefact
from models.data.events import encode
from models.data.windows import FEATURES
from models.definition import cards, complete
from models.recipe import TrainingConfig
from models.training import train
from schemas.definition import Input, Window
from schemas.topics import ALL
from stream_app.embedded.broker import EmbeddedBroker
from stream_app.kafka import topics
from stream_app.rollout import commands
from stream_app.rollout.client import Order
from stream_app.settings import Settings

TRAINING_ROWS = 20_000
WINDOWS = [
    window
    for over in ("1d", "7d", "30d")
    for window in (
        Window("customer_id", "count", over),
        Window("customer_id", "mean", over, "amount"),
        Window("terminal_id", "count", over, delay="7d"),
        Window("terminal_id", "mean", over, "amount", "7d"),
    )
]
AMOUNT = Input("amount", "amount", "EUR", "reject", least=0)


def full(
    broker: EmbeddedBroker, name: str, artefact_path: Path, passes: int, events: Iterable[Event], partitions: int = 4
) -> tuple[Settings, int]:
    """Topics under a prefix of their own, the input holding the events so many times.

    Returns:
        Settings of a worker for them, and how many records the input holds.
    """
    settings = Settings(
        bootstrap_servers=broker.bootstrap_servers,
        topic_prefix=f"{name}-",
        input_partitions=partitions,
        model_cache=FOLDER / "model-cache",
    )
    topics.ensure(settings, ALL)
    kept = list(events)
    for _ in range(passes):
        publish(settings, kept)
    commands.deploy(settings, Order("benchmark", "to be measured", timeout_s=0), artefact_path)
    return settings, passes * len(kept)


def model_of(frame: pl.DataFrame, name: str, inputs: int = 1 + len(FEATURES), **config: Any) -> Path:
    """A model with so many inputs, of the quality that one epoch gives: what it finds is not what is measured.

    Its rows are of the whole time, or later ones would be strange to it, and their anomalies what costs.
    """
    path = FOLDER / f"cost-{name}.pt"
    if not path.is_file():
        rows = widened(frame.gather_every(max(len(frame) // TRAINING_ROWS, 1)), inputs)
        windows = (Input(n, f"features.{n}", "1", role="window") for n in names(inputs))
        definition = replace(cards(), inputs=(AMOUNT, *windows))
        artefact.save(path, *train(rows, definition, TrainingConfig(epochs=1, **config), name, "1"))
    return path


def windowed_model(frame: pl.DataFrame) -> Path:
    """A model of the amount and `WINDOWS` over the past of customer and terminal, trained as `model_of`."""
    from models.windows.history import windows_of

    path = FOLDER / "cost-windows-of-two.pt"
    if not path.is_file():
        seen = frame.select("event_time", "amount", "terminal_id", customer_id="entity")
        values = windows_of(seen, WINDOWS, time="event_time", entity="customer_id")
        columns = {f"w{place}": pl.Series(values[:, place]) for place in range(len(WINDOWS))}
        rows = frame.with_columns(**columns).gather_every(max(len(frame) // TRAINING_ROWS, 1))
        windows = (Input(f"w{place}", window=window) for place, window in enumerate(WINDOWS))
        definition = complete(replace(cards(), inputs=(AMOUNT, *windows)))
        artefact.save(path, *train(rows, definition, TrainingConfig(epochs=1), "windows", "1"))
    return path


def names(inputs: int) -> list[str]:
    """The features of a model with so many inputs: the real ones, and copies of them."""
    copies = (f"{FEATURES[i % len(FEATURES)]}_{i // len(FEATURES)}" for i in range(len(FEATURES), inputs - 1))
    return [*FEATURES[: inputs - 1], *copies]


def widened(frame: pl.DataFrame, inputs: int) -> pl.DataFrame:
    """The frame with a column for each of these features."""
    return frame.with_columns(
        pl.col(FEATURES[i % len(FEATURES)]).alias(name) for i, name in enumerate(names(inputs)) if name not in FEATURES
    )


def wide_events(frame: pl.DataFrame, inputs: int) -> Iterable[Event]:
    """The frame's events with as many features as the model reads."""
    wanted = names(inputs)
    for key, value, moment in encode(frame):
        event = orjson.loads(value)
        values = list(event["features"].values())
        event["features"] = {name: values[i % len(values)] for i, name in enumerate(wanted)}
        yield key, orjson.dumps(event), moment
