"""The events that producers would publish for the rows of a frame, as JSON, and the labels apart from them.

Nothing of a label is ever in an event. Features that are not finite are missing, and left out.
"""

from collections.abc import Iterator, Sequence
from datetime import timedelta
from itertools import repeat
from math import isfinite

import orjson
import polars as pl

from models.data.frame import FEATURES, LAYOUT
from models.data.windows import LABEL_DELAY_DAYS
from schemas.transactions import Label

CURRENCY = "EUR"
CHUNK_ROWS = 8192  # bounds the Python objects that are alive at once


def encode(frame: pl.DataFrame) -> Iterator[tuple[bytes, bytes, int]]:
    """The events of `schemas.transactions.Transaction`, in the order of the frame.

    Args:
        frame: of `models.data.frame.LAYOUT`. Further columns of text are fields of the event, but where they are empty.

    Yields:
        Key (the customer), value (JSON, UTF-8), event time in milliseconds since 1970.
    """
    further = [name for name, dtype in frame.schema.items() if name not in LAYOUT and dtype == pl.String]
    for chunk in frame.iter_slices(CHUNK_ROWS):
        time = chunk["event_time"]
        columns = [chunk[name].to_list() for name in ("transaction_id", "customer_id", "terminal_id", "amount")]
        times = time.dt.to_string("%Y-%m-%dT%H:%M:%S%.fZ").to_list(), time.dt.epoch("ms").to_list()
        rows = zip(*columns, *times, _texts(chunk, further), _features(chunk.select(FEATURES)), strict=True)
        for transaction, customer, terminal, amount, moment, ms, texts, features in rows:
            event = {
                "transaction_id": transaction,
                "event_time": moment,
                "customer_id": customer,
                "terminal_id": terminal,
                "amount": amount,
                "currency": CURRENCY,
                **texts,
                "features": features,
            }
            yield customer.encode(), orjson.dumps(event), ms


def labels(frame: pl.DataFrame, delay: timedelta = timedelta(days=LABEL_DELAY_DAYS)) -> Iterator[Label]:
    """What becomes of the transactions, in the order of the frame; nothing of those whose label is null.

    Args:
        frame: of `models.data.frame.LAYOUT`.
        delay: How long after the transaction its label is known.
    """
    columns = frame.select("transaction_id", "fraud", pl.col("event_time") + delay, "fraud_scenario")
    for transaction, fraud, labelled_at, scenario in columns.filter(pl.col("fraud").is_not_null()).iter_rows():
        yield Label(transaction, fraud, labelled_at, scenario if fraud else None)


def _texts(rows: pl.DataFrame, names: Sequence[str]) -> Iterator[dict[str, str]]:
    """The further fields of each row."""
    if not names:
        return repeat({}, rows.height)
    columns = [rows[name].to_list() for name in names]
    return ({name: text for name, text in zip(names, row, strict=True) if text} for row in zip(*columns, strict=True))


def _features(columns: pl.DataFrame) -> Iterator[dict[str, float]]:
    """The features of each row; only where a chunk has a missing one is every value looked at."""
    rows = zip(*(column.to_list() for column in columns), strict=True)
    if all(column.is_finite().all() for column in columns):
        return (dict(zip(FEATURES, row, strict=True)) for row in rows)
    return ({name: x for name, x in zip(FEATURES, row, strict=True) if isfinite(x)} for row in rows)
