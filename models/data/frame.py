"""Reads and writes transactions, in one layout for the simulator's files and the Fraud Detection Handbook's.

One row is one transaction. Rows are sorted by `event_time`, then `transaction_id`. A feature that is missing is NaN;
nothing is null but labels that are asked for as they are. What the stream would refuse as an event is refused in a
file, too.
"""

import hashlib
import logging
from collections.abc import Callable, Iterator, Sequence
from datetime import date
from pathlib import Path

import polars as pl

from models.data.columns import as_number, as_text, as_time, as_truth, unread
from models.data.files import DataError, find, first_line, scan
from models.replacing import replacing
from schemas.transactions import LONGEST_ID, PLAUSIBLE

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


READERS: dict[pl.DataType, tuple[Callable[[pl.Expr, pl.DataType], pl.Expr], str]] = {
    pl.String(): (as_text, "an id or a name: write it as text"),
    pl.Datetime("us", "UTC"): (as_time, "a time from 1990 to 2100: write 2018-04-26T10:00:00Z, or seconds since 1970"),
    pl.Float64(): (as_number, "a number: write 1234.5"),
    pl.Boolean(): (as_truth, "yes or no: write true or false, or 1 or 0"),
    pl.Int8(): (lambda column, dtype: as_number(column, dtype).cast(pl.Int8, strict=False), "a number up to 127"),
}
"""Type of a column to what reads it, and what its values have to be."""

log = logging.getLogger(__name__)


def read(
    data: Path | Sequence[Path],
    since: date | None = None,
    until: date | None = None,
    *,
    labels_needed: bool = True,
    labels_guessed: bool = True,
    also: Sequence[str] = (),
) -> pl.DataFrame:
    """The transactions of data files, in the project's own columns or in the Handbook's.

    Args:
        data: Files, folders of parts, patterns (`models.data.files`). Times without a zone are UTC; further columns are
            ignored, as is the case of names.
        since: First day (UTC) to keep. None: from the first that the files hold.
        until: Last day (UTC) to keep, itself included. None: to the last.
        labels_needed: Refuse a file without `LABELS`; otherwise the frame does without those too.
        labels_guessed: Count a row whose label is not known as legitimate; otherwise its label is null.
        also: Further columns to keep where a file has them, as text, empty where there is no value.

    Returns:
        A frame of `LAYOUT`, at least one row.

    Raises:
        DataError: no such file, none that is read, columns or values missing, a value that is not what its column
            holds or that no event may have, an id that stands twice, or no transaction in these days.
    """
    paths = [data] if isinstance(data, Path) else list(data)
    where = ", ".join(map(str, paths))
    files = [_read_file(file, labels_needed, also) for file in find(paths)]
    frame = pl.concat(files, how="diagonal").with_columns(pl.col(pl.String).fill_null(""))
    frame = frame.select(name for name in dict.fromkeys((*LAYOUT, *also)) if name in frame.columns)
    if frame.is_empty():
        raise DataError(f"{where} holds no transactions")
    day = pl.col("event_time").dt.date()
    within = (day >= since if since else pl.lit(True)) & (day <= until if until else pl.lit(True))
    kept = frame.filter(within).sort("event_time", "transaction_id")
    if kept.is_empty():
        first, last = frame.select(day.min().alias("first"), day.max().alias("last")).row(0)
        raise DataError(
            f"{where} holds no transactions from {since or first} to {until or last}: it holds {first} to {last}"
        )
    if labels_guessed and "fraud" in kept.columns:
        kept = _labelled(where, kept)
    for complaint in _complaints(kept):
        raise DataError(f"{where} {complaint}")
    return kept


def write(frame: pl.DataFrame, path: Path) -> None:
    """A frame of `LAYOUT` into a parquet file, whole or not at all.

    Raises:
        DataError: the file cannot be written.
    """
    try:
        with replacing(path) as partial:
            frame.write_parquet(partial)
    except (pl.exceptions.PolarsError, OSError) as error:
        why = getattr(error, "strerror", None) or first_line(error).rpartition("IO error: ")[2]
        raise DataError(f"cannot write {path}: {why}; make room there, or name another place") from error


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


def _read_file(file: Path, labels_needed: bool, also: Sequence[str]) -> pl.DataFrame:
    """The columns of the layout that one file has, each in its type, and those asked for, as text."""
    lazy = scan(file)
    try:
        schema = lazy.collect_schema()
        if isinstance(features := schema.get("features"), pl.Struct):  # events as they are on the stream
            inside = [field.name for field in features.fields if field.name not in schema]
            lazy = lazy.with_columns(pl.col("features").struct.field(*inside)).drop("features")
            schema = lazy.collect_schema()
        names = _source_names(file, set(schema), frozenset() if labels_needed else LABELS)
        names |= {name: name for name in also if name in schema and name not in LAYOUT}
        layout = {name: LAYOUT.get(name, pl.String()) for name in names}
        columns = {
            name: READERS[dtype][0](pl.col(names[name]), schema[names[name]]).alias(name)
            for name, dtype in layout.items()
        }
        _refuse_unread(file, lazy, {name: (names[name], columns[name]) for name in layout})
        return lazy.select(columns.values()).with_columns(pl.col(pl.Float64).fill_null(float("nan"))).collect()
    except (pl.exceptions.PolarsError, OSError) as error:
        raise DataError(f"{file} cannot be read: {first_line(error)}") from error


def _source_names(file: Path, columns: set[str], optional: frozenset[str]) -> dict[str, str]:
    """Which column of the file each column of the layout is: all from the layout that has fewer gaps."""
    known = {column.lower(): column for column in columns} | {column: column for column in columns}
    own = {name: name for name in LAYOUT}
    handbook = {name: source if source in columns else source.lower() for name, source in HANDBOOK.items()}
    names = min((own, handbook), key=lambda candidate: len(set(candidate.values()) - known.keys()))
    missing = {name: source for name, source in names.items() if source not in known}
    if missing.keys() - optional:
        lacking = missing.values() if names is own else (HANDBOOK[name] for name in missing)
        raise DataError(f"{file} lacks the columns {', '.join(lacking)}")
    return {name: known[source] for name, source in names.items() if name not in missing}


def _refuse_unread(file: Path, lazy: pl.LazyFrame, columns: dict[str, tuple[str, pl.Expr]]) -> None:
    schema = lazy.collect_schema()
    read = {n: (source, expression) for n, (source, expression) in columns.items() if schema[source] != LAYOUT.get(n)}
    if not read:
        return
    bad = {n: unread(pl.col(source), schema[source], expression) for n, (source, expression) in read.items()}
    counts = lazy.select(expression.sum().alias(name) for name, expression in bad.items()).collect().row(0, named=True)
    name = next((name for name, count in counts.items() if count), None)
    if name is None:
        return
    source = read[name][0]
    value = lazy.filter(bad[name]).select(source).head(1).collect().item()
    shown = repr(value) if isinstance(value, str) else str(value)
    needed = READERS[LAYOUT.get(name, pl.String())][1]
    raise DataError(f"{file}, column {source}: {shown[:60]} ({counts[name]:,} values) is not {needed}")


def _labelled(where: str, frame: pl.DataFrame) -> pl.DataFrame:
    """With a label in every row that has none yet."""
    if unknown := frame["fraud"].null_count():
        log.warning("%s: %s rows have no label, they count as legitimate", where, f"{unknown:,}")
    return frame.with_columns(pl.col("fraud").fill_null(value=False), pl.col("^fraud_scenario$").fill_null(0))


def _complaints(frame: pl.DataFrame) -> Iterator[str]:
    """What keeps the rows from being used, each with what to do."""
    out_of_it = "leave those rows out: the stream refuses such events"
    empty = {name: frame[name] == "" for name in ("transaction_id", "customer_id")}
    empty |= {"event_time": frame["event_time"].is_null(), "amount": frame["amount"].is_nan()}
    if gaps := [name for name, rows in empty.items() if rows.any()]:
        yield f"has rows without a value in {', '.join(gaps)}: fill them, or leave those rows out"
    if not frame["event_time"].is_between(*PLAUSIBLE).all():
        span = " to ".join(frame["event_time"].drop_nulls().dt.to_string("%Y-%m-%d %H:%M:%S").gather([0, -1]))
        yield f"holds times from {span}: seconds, milli-, micro- or nanoseconds were taken for another unit"
    if (negative := frame["amount"] < 0).any():
        yield f"has {negative.sum():,} negative amounts, {frame['amount'].min()!r} is one: {out_of_it}"
    if infinite := [column.name for column in frame.select(pl.col(pl.Float64)) if column.is_infinite().any()]:
        yield f"has infinite values in {', '.join(infinite)}: {out_of_it}"
    if any((frame[name].str.len_chars() > LONGEST_ID).any() for name in ("transaction_id", "customer_id")):
        yield f"has ids of more than {LONGEST_ID:,} characters: {out_of_it}"
    if (twice := frame["transaction_id"].is_duplicated()).any():
        repeated = frame["transaction_id"].filter(twice)
        shown = f"{repeated.n_unique():,} ({repeated[0]!r} is one)"
        yield f"holds {shown} transaction ids more than once: keep one row of each"
