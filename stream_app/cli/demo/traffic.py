"""What the demo streams: raw card payments, the days that fill the windows first, and what became of them."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import date, timedelta
from functools import cached_property
from pathlib import Path

import msgspec
import polars as pl

from models.data import events
from models.data.drift import Drift, DriftKind
from models.data.frame import read, write
from models.data.simulator import Simulation, payments
from models.data.sources import PAST
from models.definition import default
from models.protocol import DAY
from models.recipe import TrainingConfig
from stream_app.testing.incident import Recipe
from stream_app.testing.stream import Event

CUSTOMERS = 2500  # about 4,800 payments a day
START, LIVE_DAYS, RECENT_DAYS = date(2018, 4, 1), 22, 7
WEEK = date(2018, 4, 2), date(2018, 4, 8)
CALM, DRIFTED = 20_000, 10_000  # payments in a row: as usual, with a unit bug
LIMITS = "[sample]\nrows = 35_000\n"  # the gates look at the newest days; those before fill the windows

# As in `stream_app.testing.incident`: the shifted one is an ordinary training, a narrower bottleneck between wider
# layers, on days whose end, which sets the threshold, was calmer than the weeks that follow.
CHAMPION = Recipe(*WEEK, TrainingConfig(seed=2, epochs=5))
EQUAL = Recipe(*WEEK, TrainingConfig(seed=5, epochs=5))
SHIFTED = Recipe(WEEK[0], date(2018, 4, 6), TrainingConfig(seed=4, epochs=8, hidden=128, latent=5, held_out=0.1))


@dataclass(frozen=True)
class Traffic:
    """Payments, sorted by time, without windows: the worker computes them.

    Attributes:
        history: The days before, and the week that models are trained on.
        live: What streams, with a unit bug in it.
        drift: The bug.
        file: Of the history and the first live days, for training and gates.
        limits: Of the gates, a file.
    """

    history: pl.DataFrame
    live: pl.DataFrame
    drift: Drift
    file: Path
    limits: Path

    @classmethod
    def make(cls, folder: Path, on_day: Callable[[int, int], None]) -> "Traffic":
        """Simulate, and write the files into a folder."""
        days = (WEEK[1] - START).days + 1 + LIVE_DAYS
        frame = payments(Simulation(days=days, start=START, customers=CUSTOMERS), on_day)
        history, calm = frame.filter(WEEK[1] >= DAY), frame.filter(WEEK[1] < DAY)
        drift = Drift(DriftKind.AMOUNT_UNIT, calm["event_time"][CALM])
        wrong = drift.apply(calm)
        live = pl.concat((calm[:CALM], wrong[CALM : CALM + DRIFTED], calm[CALM + DRIFTED :]))
        file, limits = folder / "payments.parquet", folder / "limits.toml"
        write(frame.filter(WEEK[1] + timedelta(days=RECENT_DAYS) >= DAY), file, default())
        limits.write_text(LIMITS)
        return cls(history, live, drift, file, limits)

    @cached_property
    def week(self) -> pl.DataFrame:
        """The week that models are trained on, with its windows."""
        return read(self.file, *WEEK, definition=default())

    @property
    def days_before(self) -> int:
        """How many days the history has."""
        return int(self.history["event_time"].dt.date().n_unique())

    def more(self) -> list[Event]:
        """Payments of the days after, for whoever looks at the page when the story has been told."""
        start = WEEK[1] + timedelta(days=LIVE_DAYS + 1)
        return encoded(payments(Simulation(days=LIVE_DAYS, start=start, customers=CUSTOMERS, warm_up_days=0)))

    def labels(self) -> list[Event]:
        """The frauds, as they become known: a week after."""
        frame = pl.concat((self.history, self.live)).filter("fraud")
        frame = frame.with_columns(pl.col("terminal_id").alias(f"{PAST}terminal_id"))
        return list(_labels(frame))


def encoded(frame: pl.DataFrame) -> list[Event]:
    """Payments as their producers send them."""
    return [*events.encode(frame, default())]


def _labels(frauds: pl.DataFrame) -> Iterator[Event]:
    encoder = msgspec.json.Encoder()
    for label in events.labels(frauds, default()):
        yield label.event_id.encode(), encoder.encode(label), int(label.labelled_at.timestamp() * 1000)
