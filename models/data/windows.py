"""Adds window features to transactions: what customer and terminal did up to that moment, and no later.

The features are those of the Fraud Detection Handbook, chapter 3.3 (Le Borgne, Siblini, Lebichot and Bontempi, 2022). A
window of d days at time t is (t - d, t]; of several transactions in the same instant one sees those with a lower
`event_id`.
"""

import polars as pl

from models.season import is_night, is_weekend

WINDOW_DAYS = (1, 7, 30)
FEATURES: tuple[str, ...] = (
    "during_weekend",
    "during_night",
    *(f"customer_{what}_{days}d" for days in WINDOW_DAYS for what in ("nb_tx", "avg_amount")),
    *(f"terminal_{what}_{days}d" for days in WINDOW_DAYS for what in ("nb_tx", "risk")),
)
LABEL_DELAY_DAYS = 7  # a fraud is known a week after it happened, so the risk of a terminal is a week old
HISTORY_DAYS = LABEL_DELAY_DAYS + max(WINDOW_DAYS)  # how far back the longest window sees
MS_PER_DAY = 86_400_000
MICRO = 1e6


def add_features(transactions: pl.DataFrame) -> pl.DataFrame:
    """The features of every transaction, from the transactions before it in the same frame.

    Args:
        transactions: `event_id`, `event_time`, `entity` (the customer), `terminal_id`, `amount`, `fraud` and
            further columns, rows in any order. Windows are short where the frame does not reach back `HISTORY_DAYS`.

    Returns:
        The frame, sorted by `event_time` and `event_id`, with a float64 column for each of `FEATURES`:
        `during_weekend`, `during_night` (before 7:00 UTC): 0 or 1.
        `customer_nb_tx_Nd`, `customer_avg_amount_Nd`: count and mean amount of the customer's last N days, this
        transaction included.
        `terminal_nb_tx_Nd`, `terminal_risk_Nd`: count and share of frauds on the terminal in the N days that ended
        `LABEL_DELAY_DAYS` ago; where nothing happened there the risk is 0.
    """
    frame = transactions.sort("event_time", "event_id")
    weekend, night = (flag(pl.col("event_time")).cast(pl.Float64) for flag in (is_weekend, is_night))
    windows = _customer_windows(frame).get_columns() + _terminal_windows(frame).get_columns()
    return frame.with_columns(*windows, during_weekend=weekend, during_night=night).select(
        pl.exclude(FEATURES), *FEATURES
    )


def _customer_windows(frame: pl.DataFrame) -> pl.DataFrame:
    sums = _rolling(frame, "entity", pl.col("amount") * MICRO, WINDOW_DAYS)
    return sums.select(
        expression
        for days in WINDOW_DAYS
        for expression in (
            pl.col(f"count_{days}").cast(pl.Float64).alias(f"customer_nb_tx_{days}d"),
            (pl.col(f"sum_{days}") / pl.col(f"count_{days}") / MICRO).alias(f"customer_avg_amount_{days}d"),
        )
    )


def _terminal_windows(frame: pl.DataFrame) -> pl.DataFrame:
    """A delayed window is a longer one minus the days of the delay."""
    spans = (LABEL_DELAY_DAYS, *(LABEL_DELAY_DAYS + days for days in WINDOW_DAYS))
    sums = _rolling(frame, "terminal_id", pl.col("fraud"), spans)

    def delayed(figure: str, days: int) -> pl.Expr:
        return pl.col(f"{figure}_{LABEL_DELAY_DAYS + days}") - pl.col(f"{figure}_{LABEL_DELAY_DAYS}")

    return sums.select(
        expression
        for days in WINDOW_DAYS
        for expression in (
            delayed("count", days).cast(pl.Float64).alias(f"terminal_nb_tx_{days}d"),
            pl.when(delayed("count", days) > 0)
            .then(delayed("sum", days) / delayed("count", days))
            .otherwise(0.0)
            .alias(f"terminal_risk_{days}d"),
        )
    )


def _rolling(frame: pl.DataFrame, entity: str, value: pl.Expr, spans: tuple[int, ...]) -> pl.DataFrame:
    """Count and sum of `value` over the last days of each entity, up to and with each row.

    One sort, one running sum, and a binary search for each window: entities lie one behind the other on a single time
    line, further apart than any window is long. (Polars' own rolling sums count all rows of an instant, later ones
    too.) Sums are of integers: a running sum of floats would carry the rounding of all rows before.

    Args:
        frame: sorted by time.
        entity: Column to group by.
        value: What to sum, rounded to a whole number.
        spans: Lengths of the windows in days.

    Returns:
        `count_D` and `sum_D` (int64) for each of the spans, rows as in `frame`.
    """
    ms = pl.col("event_time").dt.epoch("ms")
    gap = pl.col(entity).rle_id().cast(pl.Int64) * (ms.max() - ms.min() + (max(spans) + 1) * MS_PER_DAY)
    whole = value.cast(pl.Float64).round().cast(pl.Int64)
    ordered = frame.select(entity, "event_time", value=whole, row=pl.int_range(pl.len())).sort(entity, "row")
    ordered = ordered.with_columns(line=ms + gap, running=pl.col("value").cum_sum())
    before = pl.concat([pl.Series([0]), ordered["running"]])
    place = pl.int_range(ordered.height, eager=True)
    columns = [ordered["row"]]
    for days in spans:
        first = ordered["line"].search_sorted(ordered["line"] - days * MS_PER_DAY, side="right").cast(pl.Int64)
        columns.append((place + 1 - first).alias(f"count_{days}"))
        columns.append((ordered["running"] - before.gather(first)).alias(f"sum_{days}"))
    return pl.DataFrame(columns).sort("row").drop("row")
