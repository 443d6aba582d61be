"""Injects a drift into a frame from a moment on: the faults and changes that a monitor must find.

Faults of the data (`amount_unit`, `feature_stuck`, ...) change values of the events, and nothing else: the windows stay
as they were computed from correct events. Changes of behaviour (`spending_growing`, `attack_burst`) reach the windows
of the customers too, as far as a row shows them. A new kind is a name in `DriftKind` and a function in `EFFECTS`.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum

import numpy as np
import polars as pl

from models.data.files import DataError
from models.data.windows import FEATURES, WINDOW_DAYS

ATTACK_SCENARIO = 4  # the Handbook has 1 to 3
ATTACK_DURATION = timedelta(hours=6)


class DriftKind(StrEnum):
    """What goes wrong. Those named `feature_...` hit the one feature that the drift names."""

    AMOUNT_SCALED = "amount_scaled"
    AMOUNT_UNIT = "amount_unit"
    AMOUNT_SPREAD = "amount_spread"
    FEATURE_STUCK = "feature_stuck"
    FEATURE_MISSING = "feature_missing"
    FEATURE_PARTLY_MISSING = "feature_partly_missing"
    FEATURE_PERMUTED = "feature_permuted"
    FEATURE_SHRUNK = "feature_shrunk"
    COLUMNS_SWAPPED = "columns_swapped"
    TWIN_COLUMNS_SWAPPED = "twin_columns_swapped"
    SPENDING_GROWING = "spending_growing"
    RISK_RISING = "risk_rising"
    ATTACK_BURST = "attack_burst"


@dataclass(frozen=True)
class Drift:
    """A kind of drift and when it begins.

    Attributes:
        kind: What goes wrong.
        at: From when on (event time, with a time zone).
        feature: The feature that kinds named `feature_...` hit.
        seed: Of what is random in it.
        where: `FIELD=VALUE`: only transactions that have it. Empty: all.
    """

    kind: DriftKind
    at: datetime
    feature: str = "customer_avg_amount_7d"
    seed: int = 0
    where: str = ""

    def __post_init__(self) -> None:
        if self.feature not in FEATURES:
            raise DataError(f"there is no feature {self.feature}: choose one of {', '.join(FEATURES)}")

    @classmethod
    def parse(cls, text: str, seed: int = 0, where: str = "") -> "Drift":
        """From `KIND@WHEN` or, for kinds that hit one feature, `KIND:FEATURE@WHEN`. A time without a zone is UTC.

        As in `amount_unit@2018-08-01` and `feature_stuck:terminal_risk_7d@2018-08-01T12:00`.

        Raises:
            DataError: the text is no drift.
        """
        what, _, when = text.partition("@")
        kind, _, feature = what.partition(":")
        if kind not in set(DriftKind):
            raise DataError(
                f"there is no drift {kind!r}: choose one of {', '.join(DriftKind)}, as in amount_unit@2018-08-01"
            )
        if feature and not kind.startswith("feature_"):
            raise DataError(f"the drift {kind} does not choose a feature: write {kind}@{when}")
        try:
            at = datetime.fromisoformat(when)
        except ValueError as error:
            raise DataError(f"the drift {kind} begins at no time {when!r}: write {kind}@2018-08-01T12:00") from error
        at = at if at.tzinfo else at.replace(tzinfo=UTC)
        return cls(DriftKind(kind), at, feature or cls.feature, seed, where)

    def apply(self, frame: pl.DataFrame) -> pl.DataFrame:
        """The frame with the drift in it.

        Args:
            frame: of the simulator's columns, and the field of `where`.

        Returns:
            The same transactions in the same order; those before `at` untouched.

        Raises:
            DataError: no transaction is as late as `at`, or none of them matches `where`.
        """
        begins = frame["event_time"].search_sorted(self.at)
        if begins == frame.height:
            raise DataError(
                f"the drift {self.kind} would begin at {self.at:%Y-%m-%dT%H:%M}, after the last transaction"
            )
        late = frame[begins:]
        hit = self._hit(late)
        if lacking := sorted(_needed(self) - {*frame.columns}):
            raise DataError(
                f"the drift {self.kind} changes {', '.join(lacking)}, which raw transactions do not have: "
                "`stream-app simulate --features` writes them"
            )
        drifted = EFFECTS[self.kind](late.filter(hit), self).select(frame.columns)
        return pl.concat([frame[:begins], pl.concat([late.filter(~hit), drifted]).sort("event_time", "event_id")])

    def _hit(self, rows: pl.DataFrame) -> pl.Series:
        """Which rows it may change."""
        field, _, value = self.where.partition("=")
        if not self.where:
            return pl.repeat(True, rows.height, eager=True)
        if field not in rows.columns:
            raise DataError(f"the drift {self.kind} cannot be where {self.where}: there is no field {field!r}")
        hit = rows[field].cast(pl.String) == value
        if not hit.any():
            raise DataError(f"the drift {self.kind} would hit nothing: no transaction has {self.where} from then on")
        return hit


def _needed(drift: Drift) -> set[str]:
    """The features without which it would change nothing."""
    if drift.kind.startswith("feature_"):
        return {drift.feature}
    return NEEDED.get(drift.kind, set())


def _amount_scaled(rows: pl.DataFrame, _: Drift) -> pl.DataFrame:
    return rows.with_columns((pl.col("amount") * 1.3).round(2))


def _amount_unit(rows: pl.DataFrame, _: Drift) -> pl.DataFrame:
    """Amounts in another currency under the old one's name."""
    return rows.with_columns(pl.col("amount") * 2)


def _amount_spread(rows: pl.DataFrame, drift: Drift) -> pl.DataFrame:
    """Log-normal noise with mean 1: wider, never negative, the same mean."""
    sigma = 0.5
    noise = np.random.default_rng(drift.seed).lognormal(-(sigma**2) / 2, sigma, rows.height)
    return rows.with_columns((pl.col("amount") * noise).round(2))


def _feature_stuck(rows: pl.DataFrame, drift: Drift) -> pl.DataFrame:
    return rows.with_columns(pl.lit(0.0).alias(drift.feature))


def _feature_missing(rows: pl.DataFrame, drift: Drift) -> pl.DataFrame:
    return rows.with_columns(pl.lit(float("nan")).alias(drift.feature))


def _feature_partly_missing(rows: pl.DataFrame, drift: Drift) -> pl.DataFrame:
    lost = np.random.default_rng(drift.seed).random(rows.height) < 0.2
    return rows.with_columns(pl.Series(drift.feature, np.where(lost, np.nan, rows[drift.feature])))


def _feature_permuted(rows: pl.DataFrame, drift: Drift) -> pl.DataFrame:
    """Each row gets another row's value: the marginal stays, every relation is gone."""
    order = np.random.default_rng(drift.seed).permutation(rows.height)
    return rows.with_columns(rows[drift.feature].gather(order))


def _feature_shrunk(rows: pl.DataFrame, drift: Drift) -> pl.DataFrame:
    value = pl.col(drift.feature)
    return rows.with_columns((value + value.mean()) / 2)


def _columns_swapped(rows: pl.DataFrame, _: Drift) -> pl.DataFrame:
    return _swap(rows, "customer_nb_tx_7d", "customer_avg_amount_7d")


def _twin_columns_swapped(rows: pl.DataFrame, _: Drift) -> pl.DataFrame:
    return _swap(rows, "customer_avg_amount_7d", "customer_avg_amount_30d")


def _swap(rows: pl.DataFrame, one: str, other: str) -> pl.DataFrame:
    return rows.with_columns(pl.col(one).alias(other), pl.col(other).alias(one))


def _spending_growing(rows: pl.DataFrame, drift: Drift) -> pl.DataFrame:
    """2 % a day; the average of a window grows as the mean of its days does."""
    daily = 1.02
    day = (pl.col("event_time") - drift.at).dt.total_microseconds() / 86_400e6

    def growth_until(day: pl.Expr) -> pl.Expr:
        """The integral of the growth from the beginning of the drift; before it the factor is 1."""
        return pl.when(day > 0).then((pl.lit(daily).pow(day) - 1) / math.log(daily)).otherwise(day)

    averages = (
        pl.col(f"customer_avg_amount_{days}d") * (growth_until(day) - growth_until(day - days)) / days
        for days in WINDOW_DAYS
        if f"customer_avg_amount_{days}d" in rows.columns
    )
    return rows.with_columns((pl.col("amount") * pl.lit(daily).pow(day)).round(2), *averages)


def _risk_rising(rows: pl.DataFrame, drift: Drift) -> pl.DataFrame:
    """Three terminals in a hundred have half of their transactions confirmed as frauds."""
    terminals = rows["terminal_id"].unique().sort()
    risky = terminals.filter(np.random.default_rng(drift.seed).random(terminals.len()) < 0.03)
    hit = pl.col("terminal_id").is_in(risky.implode())
    risks = (pl.col(f"terminal_risk_{window}d") for window in WINDOW_DAYS)
    return rows.with_columns(
        pl.when(hit).then(risk.clip(lower_bound=0.5)).otherwise(risk).name.keep() for risk in risks
    )


def _attack_burst(rows: pl.DataFrame, drift: Drift) -> pl.DataFrame:
    """For six hours two in a hundred transactions are stolen cards at five busy terminals, at five times the amount."""
    rng = np.random.default_rng(drift.seed)
    burst = rows.filter(pl.col("event_time") < drift.at + ATTACK_DURATION)
    stolen = burst.filter(rng.random(burst.height) < 0.02)
    is_busy = pl.col("terminal_nb_tx_7d") if "terminal_nb_tx_7d" in rows.columns else pl.len().over("terminal_id")
    terminals = burst.sort(is_busy, "terminal_id", descending=True).unique(
        "terminal_id", keep="first", maintain_order=True
    )
    places = terminals.head(5).select(pl.col("^(terminal_.*|country)$"))
    struck = stolen.with_columns(places[rng.integers(0, places.height, stolen.height)].get_columns()).with_columns(
        (pl.col("amount") * 5).round(2),
        *(
            pl.col(f"customer_avg_amount_{window}d") + 4 * pl.col("amount") / pl.col(f"customer_nb_tx_{window}d")
            for window in WINDOW_DAYS
            if f"customer_nb_tx_{window}d" in rows.columns
        ),
        fraud=pl.lit(True),
        fraud_scenario=pl.lit(ATTACK_SCENARIO, pl.Int8),
    )
    spared = rows.join(struck, on="event_id", how="anti")
    return pl.concat([spared, struck.select(rows.columns)])


NEEDED = {
    DriftKind.COLUMNS_SWAPPED: {"customer_nb_tx_7d", "customer_avg_amount_7d"},
    DriftKind.TWIN_COLUMNS_SWAPPED: {"customer_avg_amount_7d", "customer_avg_amount_30d"},
    DriftKind.RISK_RISING: {f"terminal_risk_{window}d" for window in WINDOW_DAYS},
}
EFFECTS: dict[DriftKind, Callable[[pl.DataFrame, Drift], pl.DataFrame]] = {
    DriftKind.AMOUNT_SCALED: _amount_scaled,
    DriftKind.AMOUNT_UNIT: _amount_unit,
    DriftKind.AMOUNT_SPREAD: _amount_spread,
    DriftKind.FEATURE_STUCK: _feature_stuck,
    DriftKind.FEATURE_MISSING: _feature_missing,
    DriftKind.FEATURE_PARTLY_MISSING: _feature_partly_missing,
    DriftKind.FEATURE_PERMUTED: _feature_permuted,
    DriftKind.FEATURE_SHRUNK: _feature_shrunk,
    DriftKind.COLUMNS_SWAPPED: _columns_swapped,
    DriftKind.TWIN_COLUMNS_SWAPPED: _twin_columns_swapped,
    DriftKind.SPENDING_GROWING: _spending_growing,
    DriftKind.RISK_RISING: _risk_rising,
    DriftKind.ATTACK_BURST: _attack_burst,
}
