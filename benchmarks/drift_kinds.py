"""What the benchmark injects: fourteen kinds, and drifts drawn at random, each with what names its cause rightly."""

from dataclasses import dataclass
from datetime import datetime, timedelta

import numpy as np
import polars as pl

from benchmarks.drift_streams import BEFORE, Injected
from models.data.drift import Drift, DriftKind
from models.data.windows import FEATURES, WINDOW_DAYS
from schemas.drift import DriftCause

DATA_FAULT = frozenset({DriftCause.FIELD_BROKEN, DriftCause.FIELD_MISSING, DriftCause.RELATION_BROKEN})
POPULATION = frozenset({DriftCause.POPULATION})
ATTACK = frozenset({DriftCause.ATTACK})


@dataclass(frozen=True, slots=True)
class Kind:
    """One row of the table.

    Attributes:
        kind: What goes wrong.
        feature: Where, for kinds that choose.
        right: Causes that name it rightly.
        tuned: Limits and rules were chosen while looking at it (in other weeks).
        slow: It creeps.
    """

    kind: DriftKind
    feature: str
    right: frozenset[DriftCause]
    tuned: bool = False
    slow: bool = False

    @property
    def title(self) -> str:
        """As the table names it."""
        return f"{self.kind}:{self.feature}" if self.kind.startswith("feature_") else str(self.kind)


AVERAGE, COUNT, TERMINAL = "customer_avg_amount_7d", "customer_nb_tx_7d", "terminal_nb_tx_7d"
KINDS = (
    Kind(DriftKind.AMOUNT_SCALED, AVERAGE, DATA_FAULT, tuned=True),
    Kind(DriftKind.AMOUNT_UNIT, AVERAGE, DATA_FAULT),
    Kind(DriftKind.AMOUNT_SPREAD, AVERAGE, DATA_FAULT, tuned=True),
    Kind(DriftKind.FEATURE_STUCK, COUNT, DATA_FAULT),
    Kind(DriftKind.FEATURE_MISSING, AVERAGE, DATA_FAULT),
    Kind(DriftKind.FEATURE_PARTLY_MISSING, AVERAGE, DATA_FAULT, tuned=True),
    Kind(DriftKind.FEATURE_PERMUTED, AVERAGE, DATA_FAULT),
    Kind(DriftKind.FEATURE_PERMUTED, TERMINAL, DATA_FAULT, tuned=True),
    Kind(DriftKind.FEATURE_SHRUNK, AVERAGE, DATA_FAULT),
    Kind(DriftKind.COLUMNS_SWAPPED, AVERAGE, DATA_FAULT),
    Kind(DriftKind.TWIN_COLUMNS_SWAPPED, AVERAGE, DATA_FAULT, tuned=True),
    Kind(DriftKind.SPENDING_GROWING, AVERAGE, POPULATION, tuned=True, slow=True),
    Kind(DriftKind.RISK_RISING, AVERAGE, ATTACK, slow=True),
    Kind(DriftKind.ATTACK_BURST, AVERAGE, ATTACK, tuned=True),
)


def starts(first: datetime, count: int) -> list[datetime]:
    """Moments spread over a week, each at another hour of the day."""
    return [first + timedelta(days=7 * i / count, hours=(5 * i) % 24 / 24) for i in range(count)]


@dataclass(frozen=True, slots=True)
class Drawn:
    """A drift drawn at random.

    Attributes:
        stream: With the drift in it.
        family: broken, population or attack.
        right: Causes that name it rightly.
        fields: Of which the cause must name one, where a field broke.
        ends: Transactions of the drift; after that, finding it is too late.
    """

    stream: Injected
    family: str
    right: frozenset[DriftCause]
    fields: tuple[str, ...]
    ends: int


def drawn(frame: pl.DataFrame, first: datetime, days: float, seed: int) -> Drawn:
    """The drift of this seed, somewhere in these days."""
    rng = np.random.default_rng(seed)
    at = first + timedelta(days=float(rng.uniform(0, days)))
    place = int(frame["event_time"].search_sorted(at))
    rows = frame[place : place + 12_288]
    family = ("broken", "population", "attack")[int(rng.choice(3, p=(0.5, 0.25, 0.25)))]
    ends = rows.height
    if family == "broken":
        drifted, fields = _broken(rows, rng)
        right = DATA_FAULT
    elif family == "population":
        drifted, fields, right = _population(rows, rng), (), POPULATION
    else:
        hours = float(rng.uniform(3, 9))
        ends = int(rows["event_time"].search_sorted(at + timedelta(hours=hours)))
        drifted, fields, right = _attack(rows, ends, rng), (), ATTACK
    stream = Injected(pl.concat([frame[place - BEFORE : place], drifted.select(frame.columns)]), BEFORE)
    return Drawn(stream, family, right, fields, ends)


BREAKABLE = ("amount", *(name for name in FEATURES if not name.startswith(("during_", "terminal_risk"))))


def _broken(rows: pl.DataFrame, rng: np.random.Generator) -> tuple[pl.DataFrame, tuple[str, ...]]:
    name = str(rng.choice(BREAKABLE))
    values = rows[name].to_numpy()
    how = str(rng.choice(["scaled", "stuck", "missing", "partly", "permuted", "shrunk", "swapped"]))
    if name == "amount" and how in {"missing", "partly"}:  # the record is refused: nothing for the model to see
        how = "scaled"
    if how == "swapped":
        other = str(rng.choice([other for other in BREAKABLE if other.split("_")[:2] != name.split("_")[:2]]))
        return rows.with_columns(pl.Series(name, rows[other]), pl.Series(other, values)), (name, other)
    changed = {
        "scaled": lambda: values * float(np.exp(rng.choice([-1, 1]) * rng.uniform(0.3, 1.5))),
        "stuck": lambda: np.full_like(values, float(rng.choice([0.0, np.median(values)]))),
        "missing": lambda: np.full_like(values, np.nan),
        "partly": lambda: np.where(rng.random(len(values)) < rng.uniform(0.1, 0.5), np.nan, values),
        "permuted": lambda: rng.permutation(values),
        "shrunk": lambda: (values + values.mean()) / 2,
    }[how]()
    return rows.with_columns(pl.Series(name, changed)), (name,)


def _population(rows: pl.DataFrame, rng: np.random.Generator) -> pl.DataFrame:
    """Everybody spends more or less, or buys more or less often, or both: windows follow."""
    spending = float(np.exp(rng.choice([-1, 1]) * rng.uniform(0.2, 0.5)))
    activity = float(np.exp(rng.choice([-1, 1]) * rng.uniform(0.2, 0.5)))
    which = int(rng.integers(3))
    columns = []
    if which != 1:
        columns += [pl.col("amount") * spending, *(pl.col(f"customer_avg_amount_{d}d") * spending for d in WINDOW_DAYS)]
    if which != 0:
        columns += [
            (pl.col(f"{who}_nb_tx_{d}d") * activity).round() for who in ("customer", "terminal") for d in WINDOW_DAYS
        ]
    return rows.with_columns(columns)


def _attack(rows: pl.DataFrame, ends: int, rng: np.random.Generator) -> pl.DataFrame:
    """Stolen cards at a few terminals, for larger amounts."""
    share, factor = float(rng.uniform(0.01, 0.06)), float(rng.uniform(3, 8))
    struck = (rng.random(rows.height) < share) & (np.arange(rows.height) < ends)
    amount = rows["amount"].to_numpy()
    columns = [pl.Series("amount", np.where(struck, amount * factor, amount).round(2))]
    for days in WINDOW_DAYS:
        average, count = (rows[f"customer_{what}_{days}d"].to_numpy() for what in ("avg_amount", "nb_tx"))
        columns.append(
            pl.Series(
                f"customer_avg_amount_{days}d", np.where(struck, average + (factor - 1) * amount / count, average)
            )
        )
    busy = rows.sort("terminal_nb_tx_7d", descending=True).unique("terminal_id", keep="first", maintain_order=True)
    places = busy.head(int(rng.integers(3, 9))).select(pl.col("^terminal_(nb_tx|risk)_.*$"))
    chosen = rng.integers(0, places.height, rows.height)
    for name in places.columns:
        columns.append(pl.Series(name, np.where(struck, places[name].to_numpy()[chosen], rows[name].to_numpy())))
    return rows.with_columns(columns)


def drift_of(kind: Kind, at: datetime, seed: int) -> Drift:
    """The injected drift of a row of the table."""
    return Drift(kind.kind, at, kind.feature, seed)
