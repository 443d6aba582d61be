"""The rows that a model is measured on, by the protocol of the Fraud Detection Handbook (3.4.3, 4.3 and 7.3).

Customers known as compromised leave the rows where the definition says that a label blocks: on each day those with a
fraud at least `LABEL_DELAY_DAYS` + 1 days before, in the history given. Apart from the figures, so that a worker, which
asks the gates, imports no scikit-learn.
"""

from datetime import date, timedelta

import polars as pl

from schemas.errors import UserError

LABEL_DELAY_DAYS = 7
TOP_CARDS = 100
BATCH = 1024
DAY = pl.col("event_time").dt.date()


class EvaluationError(UserError):
    """There is nothing to measure on these rows; the message says why."""


def of_days(frame: pl.DataFrame, since: date | None = None, until: date | None = None) -> pl.DataFrame:
    """The rows of these days, both included; None: the first or the last of the frame."""
    first = since or frame["event_time"].min().date()  # type: ignore[union-attr]
    last = until or frame["event_time"].max().date()  # type: ignore[union-attr]
    return frame.filter(DAY.is_between(first, last))


def protocol_rows(
    frame: pl.DataFrame, since: date | None = None, until: date | None = None, *, blocks: bool = True
) -> pl.DataFrame:
    """The rows that are measured: of the days asked for, without customers that are blocked on that day.

    Args:
        frame: Labelled.
        since: First day. None: the first of the frame.
        until: Last day. None: the last of the frame.
        blocks: Whether a customer with a fraud is blocked once that is known (`[label]` of the definition).

    Raises:
        EvaluationError: none.
    """
    rows = of_days(frame, since, until)
    if blocks:
        rows = _unblocked(rows, frame)
    if rows.is_empty():
        raise EvaluationError("no events to measure in these days: ask for days that the data holds")
    return rows


def _unblocked(rows: pl.DataFrame, frame: pl.DataFrame) -> pl.DataFrame:
    first_fraud = frame.filter("fraud").group_by("entity").agg(DAY.min().alias("first_fraud"))
    known = pl.col("first_fraud") < DAY - timedelta(days=LABEL_DELAY_DAYS)
    return (
        rows.join(first_fraud, on="entity", how="left", maintain_order="left")
        .filter(~known.fill_null(value=False))
        .drop("first_fraud")
    )
