"""Whose transactions the drift benchmark sees: the Handbook's weeks and the simulator's, each once more with a season.

The protocol is the same for all: a model of the first seven days, two weeks for choosing limits, two that are reported.
Limits were chosen on the Handbook's; what the simulator showed to be wrong was mended while looking at another seed.
"""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import cache

import polars as pl

from benchmarks import handbook
from benchmarks.drift_streams import Model, Rows, resampled, scored, seasonal, trained
from benchmarks.material import SIMULATED
from models.data.simulator import simulate
from models.runtime import one_thread

REPORTED_FROM, REPORTED_DAYS = 21, 14  # days after the beginning of the data, whose first seven are the training's


@dataclass(frozen=True, slots=True)
class World:
    """A source of transactions.

    Attributes:
        title: As the table names it.
        simulated: They are the simulator's.
        season: Amounts follow the clock.
    """

    title: str
    simulated: bool = False
    season: bool = False


HANDBOOKS = (World("Handbook"), World("Handbook, with a season", season=True))
SIMULATORS = (World("simulator", simulated=True), World("simulator, with a season", simulated=True, season=True))


def worlds() -> tuple[World, ...]:
    """The worlds to measure in: without the Handbook's file, the simulator's alone."""
    return (*HANDBOOKS, *SIMULATORS) if handbook.PATH.is_file() else SIMULATORS


@dataclass(frozen=True, slots=True)
class Weeks:
    """Transactions as one process holds them.

    Attributes:
        frame: All of them.
        model: Of the first week.
        begins: From when on is reported.
    """

    frame: pl.DataFrame
    model: Model
    begins: datetime

    @classmethod
    def of(cls, frame: pl.DataFrame, segment_by: str = "") -> "Weeks":
        """Train."""
        first = frame["event_time"][0].replace(hour=0, minute=0, second=0, microsecond=0)
        with one_thread():
            return cls(frame, trained(frame, segment_by), first + timedelta(days=REPORTED_FROM))


@cache
def weeks(world: World) -> Weeks:
    """Read, train and keep: once in each process."""
    frame = simulate(SIMULATED) if world.simulated else handbook.transactions()
    return Weeks.of(seasonal(frame) if world.season else frame)


@cache
def reported(world: World) -> Rows:
    """The weeks that are reported on, scored."""
    own = weeks(world)
    ends = own.begins + timedelta(days=REPORTED_DAYS)
    return scored(own.frame.filter(pl.col("event_time").is_between(own.begins, ends, closed="left")), own.model)


def undrifted(world: World, copy: int) -> Rows:
    """Nothing is the matter: the weeks as they are (copy 0), the Handbook's drawn anew, or later ones of the simulator.

    The simulator's world stays as it is, and so the model of its first week stays right for all of them.
    """
    if not copy:
        return reported(world)
    if not world.simulated:
        return resampled(reported(world), copy)
    own = weeks(world)
    later = (own.begins + timedelta(days=REPORTED_DAYS * copy)).date()
    frame = simulate(replace(SIMULATED, days=REPORTED_DAYS, start=later))
    return scored(seasonal(frame) if world.season else frame, own.model)
