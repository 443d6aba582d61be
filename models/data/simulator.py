"""Simulates labelled card transactions from a seed: customers and terminals on a plane, spending habits, frauds.

After the transaction simulator of the Fraud Detection Handbook, chapter 3.2 (Le Borgne, Siblini, Lebichot and Bontempi,
2022), with four changes. The plane grows with the number of terminals, and the number of compromises with that of
terminals and customers, so that small worlds have the Handbook's share of frauds too (about 0.9 %). Compromises from
before the first day are at work on it. What happens on a day follows from the seed and the date alone, so that the same
seed gives the same rows anywhere, and two simulations that overlap agree on their common days. And the plane is divided
into countries.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from enum import IntEnum
from fractions import Fraction

import numpy as np
import polars as pl

from models.data.drift import Drift
from models.data.files import DataError
from models.data.windows import FEATURES, HISTORY_DAYS, add_features

RADIUS = 5.0  # customers use the terminals within this distance; there is one terminal on each unit of area
NOON_S, TIME_SPREAD_S, DAY_S = 43_200, 20_000, 86_400
LARGE_AMOUNT = 220.0
COMPROMISED_TERMINALS_PER_DAY = Fraction(2, 10_000)
COMPROMISED_CUSTOMERS_PER_DAY = Fraction(3, 5_000)
TERMINAL_COMPROMISE_DAYS = 28
CUSTOMER_COMPROMISE_DAYS = 14
STOLEN_SHARE, STOLEN_FACTOR = 1 / 3, 5.0
CURRENCY = "EUR"
OnDay = Callable[[int, int], None]
LABELS: dict[str, pl.DataType] = {"fraud": pl.Boolean(), "fraud_scenario": pl.Int8()}
RAW: dict[str, pl.DataType] = {
    "event_id": pl.String(),
    "event_time": pl.Datetime("us", "UTC"),
    "entity": pl.String(),
    "terminal_id": pl.String(),
    "amount": pl.Float64(),
    "currency": pl.String(),
    "country": pl.String(),
}
COLUMNS = {**RAW, **dict.fromkeys(FEATURES, pl.Float64()), **LABELS}
PAYMENTS = {**RAW, **LABELS}
COUNTRIES = {"LU": 0.02, "AT": 0.04, "FR": 0.08, "DE": 0.86}  # parts of the plane, side by side; of the terminals, too


class Scenario(IntEnum):
    """What kind of fraud a transaction is: `fraud_scenario`."""

    NONE = 0
    LARGE_AMOUNT = 1
    COMPROMISED_TERMINAL = 2
    COMPROMISED_CUSTOMER = 3


@dataclass(frozen=True)
class Simulation:
    """What to simulate. The defaults are the Handbook's world: about 9,600 transactions a day.

    Attributes:
        days: How many days to return.
        start: The first of them.
        customers: How many there are; each makes 0 to 4 transactions a day, on average 2.
        terminals: How many there are. None: two for each customer.
        seed: Of everything random.
        warm_up_days: Days that are simulated before `start`, so that the windows of the first rows are as full as those
            of the last.
        drift: What goes wrong, and when.
    """

    days: int
    start: date = date(2018, 4, 1)
    customers: int = 5_000
    terminals: int | None = None
    seed: int = 0
    warm_up_days: int = HISTORY_DAYS
    drift: Drift | None = None

    def __post_init__(self) -> None:
        least = {"days": 1, "customers": 1, "terminals": 1, "seed": 0, "warm_up_days": 0}
        for name, minimum in least.items():
            value = getattr(self, name)
            if value is not None and value < minimum:
                raise DataError(f"a simulation needs {name} of at least {minimum}, not {value}")


def payments(spec: Simulation, on_day: OnDay | None = None) -> pl.DataFrame:
    """The transactions of some days as they happen, with labels: a frame of `PAYMENTS`; `country` is the terminal's.

    Args:
        spec: What to simulate. Windows look back at the days before, so these are returned, too.
        on_day: Told after each simulated day how many are done, and of how many.

    Raises:
        DataError: there are no transactions.
    """
    return _drifted(_of_days(spec, on_day), PAYMENTS, spec)


def simulate(spec: Simulation, on_day: OnDay | None = None) -> pl.DataFrame:
    """The same with features: a frame of `COLUMNS`, without the days before that features look back at."""
    frame = add_features(_of_days(spec, on_day)).filter(pl.col("event_time") >= _midnight(spec.start))
    return _drifted(frame, COLUMNS, spec)


def _of_days(spec: Simulation, on_day: OnDay | None) -> pl.DataFrame:
    world = World.of(spec)
    first = spec.start - timedelta(days=spec.warm_up_days)
    total = spec.warm_up_days + spec.days
    days = []
    for done in range(total):
        days.append(world.day(first + timedelta(days=done)))
        if on_day:
            on_day(done + 1, total)
    return pl.concat(days)


def _drifted(frame: pl.DataFrame, columns: Mapping[str, pl.DataType], spec: Simulation) -> pl.DataFrame:
    if frame.is_empty():
        raise DataError(f"nobody bought anything in {spec.days} days: simulate more days or customers")
    frame = frame.with_columns(currency=pl.lit(CURRENCY))
    frame = frame.select(pl.col(name).cast(dtype) for name, dtype in columns.items())
    return spec.drift.apply(frame) if spec.drift else frame


@dataclass(frozen=True)
class World:
    """Who can buy where, how often, for how much.

    Arrays are by customer, and `country` (a number in `COUNTRIES`) by terminal; the terminals near customer c are
    `near[near_start[c]:near_start[c + 1]]`.
    """

    seed: int
    customers: int
    terminals: int
    mean_amount: np.ndarray
    daily_transactions: np.ndarray
    near: np.ndarray
    near_start: np.ndarray
    country: np.ndarray

    @classmethod
    def of(cls, spec: Simulation) -> "World":
        """The Handbook's profiles: mean amount 5 to 100, standard deviation half of it, 0 to 4 transactions a day."""
        terminals = spec.terminals or 2 * spec.customers
        rng = np.random.default_rng([spec.seed, 0])
        side = np.sqrt(terminals)
        customer_at = rng.uniform(0, side, (spec.customers, 2))
        terminal_at = rng.uniform(0, side, (terminals, 2))
        near, near_start = _terminals_near(customer_at, terminal_at)
        daily = np.where(np.diff(near_start) > 0, rng.uniform(0, 4, spec.customers), 0)
        mean = rng.uniform(5, 100, spec.customers)
        borders = np.cumsum(list(COUNTRIES.values()))[:-1] * side
        country = np.searchsorted(borders, terminal_at[:, 0]).astype(np.int8)
        return cls(spec.seed, spec.customers, terminals, mean, daily, near, near_start, country)

    def day(self, day: date) -> pl.DataFrame:
        """All transactions of a day in the order of time, without features; customers and terminals are int32."""
        rng = np.random.default_rng([self.seed, 1, day.toordinal()])
        customer, second = self._purchases(rng)
        nearby = np.diff(self.near_start)[customer]
        terminal = self.near[self.near_start[customer] + (rng.random(customer.size) * nearby).astype(np.int64)]
        amount, scenario = self._frauds(rng, day, customer, terminal, self._amounts(rng, customer))
        number = pl.int_range(customer.size, eager=True).cast(pl.String).str.zfill(6)
        return pl.DataFrame(
            {
                "event_id": f"{day:%Y%m%d}-" + number,
                "event_time": _midnight(day) + pl.Series(second).cast(pl.Int64) * timedelta(seconds=1),
                "entity": customer.astype(np.int32),
                "terminal_id": terminal.astype(np.int32),
                "amount": amount,
                "fraud": scenario > Scenario.NONE,
                "fraud_scenario": scenario.astype(np.int8),
                "country": np.array(list(COUNTRIES))[self.country[terminal]],
            },
            schema_overrides={"event_time": COLUMNS["event_time"]},
        )

    def _purchases(self, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """Who buys, and at which second, in the order of time. What falls outside the day does not happen."""
        customer = np.repeat(np.arange(self.customers), rng.poisson(self.daily_transactions))
        second = rng.normal(NOON_S, TIME_SPREAD_S, customer.size).astype(np.int64)
        order = np.argsort(second, kind="stable")
        order = order[(second[order] > 0) & (second[order] < DAY_S)]
        return customer[order], second[order]

    def _amounts(self, rng: np.random.Generator, customer: np.ndarray) -> np.ndarray:
        mean = self.mean_amount[customer]
        amount = rng.normal(mean, mean / 2)
        positive: np.ndarray = np.where(amount < 0, rng.uniform(0, 2 * mean), amount)
        return positive.round(2)

    def _frauds(
        self, rng: np.random.Generator, day: date, customer: np.ndarray, terminal: np.ndarray, amount: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """The amounts after, and the scenario of each transaction. Later scenarios overwrite earlier ones."""
        scenario = np.where(amount > LARGE_AMOUNT, Scenario.LARGE_AMOUNT, Scenario.NONE)
        terminals = self._compromised(day, self.terminals, COMPROMISED_TERMINALS_PER_DAY, TERMINAL_COMPROMISE_DAYS)
        scenario[np.isin(terminal, terminals)] = Scenario.COMPROMISED_TERMINAL
        customers = self._compromised(day, self.customers, COMPROMISED_CUSTOMERS_PER_DAY, CUSTOMER_COMPROMISE_DAYS)
        stolen = np.isin(customer, customers) & (rng.random(customer.size) < STOLEN_SHARE)
        scenario[stolen] = Scenario.COMPROMISED_CUSTOMER
        return np.where(stolen, np.round(STOLEN_FACTOR * amount, 2), amount), scenario

    def _compromised(self, day: date, population: int, share_per_day: Fraction, lasting_days: int) -> np.ndarray:
        """Who is compromised on a day: those drawn on it, and on the days before for as long as it lasts."""
        drawn = [np.empty(0, dtype=np.int64)]
        for ordinal in range(day.toordinal() - lasting_days + 1, day.toordinal() + 1):
            count = int((ordinal + 1) * population * share_per_day) - int(ordinal * population * share_per_day)
            rng = np.random.default_rng([self.seed, 2, lasting_days, ordinal])
            drawn.append(rng.choice(population, min(count, population), replace=False))
        return np.concatenate(drawn)


def _terminals_near(customers: np.ndarray, terminals: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The terminals within `RADIUS` of each customer.

    Args:
        customers: float [customers, 2], places.
        terminals: float [terminals, 2], places.

    Returns:
        Terminal numbers of customer after customer, and where each customer's begin: int [sum], int [customers + 1].
    """
    by_x = np.argsort(terminals[:, 0], kind="stable")
    places = terminals[by_x]
    strip_from = np.searchsorted(places[:, 0], customers[:, 0] - RADIUS)
    strip_to = np.searchsorted(places[:, 0], customers[:, 0] + RADIUS, side="right")
    near = []
    for place, low, high in zip(customers, strip_from, strip_to, strict=True):
        distance = np.square(places[low:high] - place).sum(axis=1)
        near.append(by_x[low:high][distance < RADIUS**2])
    counts = np.array([found.size for found in near])
    return np.concatenate(near), np.concatenate([[0], np.cumsum(counts)])


def _midnight(day: date) -> datetime:
    return datetime(day.year, day.month, day.day, tzinfo=UTC)
