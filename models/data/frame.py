"""Reads and writes transactions as parquet, in one layout for the simulator's files and the Fraud Detection Handbook's.

One row is one transaction. Rows are sorted by `event_time`, then `transaction_id`. A feature that is missing is NaN;
nothing is null.
"""

import hashlib
from collections.abc import Collection, Sequence
from datetime import date
from pathlib import Path

import polars as pl

from models.replacing import replacing
from schemas.errors import UserError

WINDOW_DAYS = (1, 7, 30)
FEATURES: tuple[str, ...] = (
    "during_weekend",
    "during_night",
    *(f"customer_{what}_{days}d" for days in WINDOW_DAYS for what in ("nb_tx", "avg_amount")),
    *(f"terminal_{what}_{days}d" for days in WINDOW_DAYS for what in ("nb_tx", "risk")),
)
LAYOUT: dict[str, pl.DataType] = {
    "transaction_id": pl.String(),
    "event_time": pl.Datetime("us", "UTC"),
    "customer_id": pl.String(),
    "terminal_id": pl.String(),
    "amount": pl.Float64(),
    **dict.fromkeys(FEATURES, pl.Float64()),
    "fraud": pl.Boolean(),
    "fraud_scenario": pl.Int8(),
}
LABELS = frozenset({"fraud", "fraud_scenario"})
HANDBOOK: dict[str, str] = {
    "transaction_id": "TRANSACTION_ID",
    "event_time": "TX_DATETIME",
    "customer_id": "CUSTOMER_ID",
    "terminal_id": "TERMINAL_ID",
    "amount": "TX_AMOUNT",
    "during_weekend": "TX_DURING_WEEKEND",
    "during_night": "TX_DURING_NIGHT",
    **{
        f"{entity}_{what}_{days}d": f"{entity}_ID_{what}_{days}DAY_WINDOW".upper()
        for entity, figures in (("customer", ("nb_tx", "avg_amount")), ("terminal", ("nb_tx", "risk")))
        for what in figures
        for days in WINDOW_DAYS
    },
    "fraud": "TX_FRAUD",
    "fraud_scenario": "TX_FRAUD_SCENARIO",
}


class DataError(UserError):
    """The data cannot be used; the message is one line that says why, and what to do."""


def read(
    path: Path,
    since: date | None = None,
    until: date | None = None,
    *,
    labels_needed: bool = True,
    also: Sequence[str] = (),
) -> pl.DataFrame:
    """The transactions of a parquet file, in the project's own columns or in the Handbook's.

    Args:
        path: The file. Times without a zone are UTC; further columns are ignored.
        since: First day (UTC) to keep. None: from the first that the file holds.
        until: Last day (UTC) to keep, itself included. None: to the last.
        labels_needed: Refuse a file without `LABELS`; otherwise the frame does without those too.
        also: Further columns to keep where the file has them, as text, empty where there is no value.

    Returns:
        A frame of `LAYOUT`, at least one row.

    Raises:
        DataError: no such file, not parquet, columns or values missing, a column of the wrong type, or no transaction
            in these days.
    """
    lazy, columns = _scan(path)
    names = _source_names(path, columns, frozenset() if labels_needed else LABELS)
    further = [pl.col(name).cast(pl.String).fill_null("") for name in also if name in columns - LAYOUT.keys()]
    renamed = lazy.select(*(pl.col(source).alias(name) for name, source in names.items()), *further)
    typed = renamed.select(*_typed(names), *further)
    day = pl.col("event_time").dt.date()
    try:
        held = typed.select(day.min().alias("first"), day.max().alias("last")).collect().row(0)
        within = (day >= since if since else pl.lit(True)) & (day <= until if until else pl.lit(True))
        frame = typed.filter(within).sort("event_time", "transaction_id").collect()
    except (pl.exceptions.PolarsError, OSError) as error:
        raise DataError(f"{path} holds values of the wrong type: {_first_line(error)}") from error
    if frame.is_empty():
        raise DataError(_nothing_there(path, since, until, held))
    _refuse_gaps(path, frame)
    return frame


def write(frame: pl.DataFrame, path: Path) -> None:
    """A frame of `LAYOUT` into a parquet file, whole or not at all.

    Raises:
        DataError: the file cannot be written.
    """
    try:
        with replacing(path) as partial:
            frame.write_parquet(partial)
    except OSError as error:
        raise DataError(f"cannot write {path}: {error.strerror or error}") from error


def digest(frame: pl.DataFrame) -> str:
    """The sha256 of a frame's content, in lower-case hexadecimal: the same for the same rows, whatever file held them.

    Column names, their order and every value count; file format, compression and chunks do not.
    """
    sha256 = hashlib.sha256()
    for column in frame.rechunk():
        sha256.update(f"{column.name}:{column.dtype}:{column.len()};".encode())
        if column.dtype == pl.String:
            sha256.update(column.str.len_bytes().to_numpy().tobytes())
            sha256.update("".join(column.to_list()).encode())
        else:
            sha256.update(column.to_physical().to_numpy().tobytes())
    return sha256.hexdigest()


def _scan(path: Path) -> tuple[pl.LazyFrame, set[str]]:
    if not path.is_file():
        raise DataError(f"no data file at {path}: `stream-app simulate {path}` makes one")
    try:
        lazy = pl.scan_parquet(path)
        return lazy, set(lazy.collect_schema())
    except (pl.exceptions.PolarsError, OSError) as error:
        raise DataError(f"{path} is not a readable parquet file: {_first_line(error)}") from error


def _source_names(path: Path, columns: set[str], optional: frozenset[str]) -> dict[str, str]:
    """Which column of the file each column of the layout is: all from the layout that has fewer gaps."""
    own = {name: name for name in LAYOUT}
    names = min((own, HANDBOOK), key=lambda candidate: len(set(candidate.values()) - columns))
    missing = {name: source for name, source in names.items() if source not in columns}
    if missing.keys() - optional:
        raise DataError(f"{path} lacks the columns {', '.join(missing.values())}")
    return {name: source for name, source in names.items() if name not in missing}


def _typed(names: Collection[str]) -> list[pl.Expr]:
    """Each of these columns in its type; what is missing becomes NaN in a feature, and null elsewhere."""
    columns = {name: pl.col(name).cast(LAYOUT[name]) for name in LAYOUT if name in names}
    columns |= {name: columns[name].fill_null(float("nan")) for name in FEATURES}
    columns["amount"] = columns["amount"].fill_nan(None)
    return list(columns.values())


def _refuse_gaps(path: Path, frame: pl.DataFrame) -> None:
    gaps = [column.name for column in frame if column.null_count()]
    if gaps:
        raise DataError(f"{path} has rows without a value in {', '.join(gaps)}: fill them, or leave those rows out")


def _nothing_there(path: Path, since: date | None, until: date | None, held: tuple[date | None, date | None]) -> str:
    first, last = held
    if first is None:
        return f"{path} holds no transactions"
    return f"{path} holds no transactions from {since or first} to {until or last}: it holds {first} to {last}"


def _first_line(error: Exception) -> str:
    return str(error).strip().split("\n", 1)[0]
