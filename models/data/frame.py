"""Reads data files as a definition says, and writes them: one row is one event, one column each thing that it reads.

Rows are sorted by `event_time`, then `event_id`. A number that is missing is NaN, a text empty; nothing is null. What
the stream would refuse as an event is refused in a file, too. Windows are computed from the rows before.
"""

import hashlib
import logging
from collections.abc import Iterator, Sequence
from datetime import date
from difflib import get_close_matches
from pathlib import Path

import polars as pl

from models.data.columns import unread
from models.data.files import DataError, find, first_line, scan
from models.data.past import warn_of_short, with_windows
from models.data.sources import ENTITY, EVENT_ID, EVENT_TIME, FRAUD, TYPES, ColumnSource, place, sources
from models.definition import cards
from models.replacing import replacing
from models.season import is_night, is_weekend
from schemas.definition import Definition
from schemas.scoring import BLANKS, LONGEST_ID, PLAUSIBLE

ROW = "row of the file"
CLOCKS = {"weekend": is_weekend, "night": is_night}

log = logging.getLogger(__name__)


def read(
    data: Path | Sequence[Path],
    since: date | None = None,
    until: date | None = None,
    *,
    definition: Definition | None = None,
    labels_needed: bool = True,
    published: bool = False,
    also: Sequence[str] = (),
) -> pl.DataFrame:
    """The events of data files.

    Args:
        data: Files, folders of parts, patterns (`models.data.files`). Times without a zone are UTC; further columns are
            ignored, as is the case of names.
        since: First day (UTC) to keep. None: from the first that the files hold.
        until: Last day (UTC) to keep, itself included. None: to the last.
        definition: What is read, by its paths. None: the simulator's.
        labels_needed: Refuse a file without the definition's label; otherwise the frame does without it too.
        published: For events to publish: no input is computed, what windows look at stays in the frame, and a label
            that is not known is null. Otherwise windows are computed, with the days before `since` as their history,
            and a row without a label counts as legitimate.
        also: Paths of further columns to keep where a file has them, as text.

    Returns:
        At least one row: `event_id`, `event_time`, `entity`, the inputs by their names, `fraud`, and as text what is
        shown to people, segmented by, or in `also`.

    Raises:
        DataError: no such file, none that is read, columns or values missing, a value that is not what its column
            holds or that no event may have, an id of two different rows, or no event in these days.
    """
    definition = definition or cards()
    paths = [data] if isinstance(data, Path) else list(data)
    where = ", ".join(map(str, paths))
    of_labels = any(entry.role == "risk" for entry in definition.windows)
    wanted = sources(definition, labels_needed or (of_labels and not published), also)
    files = [_read_file(file, wanted, definition) for file in find(paths)]
    frame = pl.concat(files, how="diagonal").with_columns(pl.col(pl.String).fill_null(""))
    frame = frame.select(source.name for source in wanted if source.name in frame.columns)
    if frame.is_empty():
        raise DataError(f"{where} holds no events")
    _refuse_nothing(where, frame, since, until)
    history_s = 0 if published else definition.reach_s
    kept = frame.filter(_of_days(since, until, history_s)).sort(EVENT_TIME, EVENT_ID)
    kept = _sound(where, kept, wanted, labelled=not published and FRAUD in kept.columns)
    if not published:
        kept = with_windows(with_clock(kept, definition), definition).filter(_of_days(since, until))
        warn_of_short(definition, frame[EVENT_TIME], kept[EVENT_TIME])
    return kept


def _sound(where: str, kept: pl.DataFrame, wanted: Sequence[ColumnSource], *, labelled: bool) -> pl.DataFrame:
    """Each event once, and, if `labelled`, with a label.

    Raises:
        DataError: an event that the stream would refuse, or an id of two of them.
    """
    kept = _once(where, _labelled(where, kept) if labelled else kept)
    for complaint in _complaints(kept, wanted):
        raise DataError(f"{where} {complaint}")
    return kept


def _of_days(since: date | None, until: date | None, history_s: int = 0) -> pl.Expr:
    """Whether a row is of these days, or of so many seconds before them."""
    day = (pl.col(EVENT_TIME) + pl.duration(seconds=history_s)).dt.date()
    from_then = day >= since if since else pl.lit(True)
    return from_then & (pl.col(EVENT_TIME).dt.date() <= until if until else pl.lit(True))


def _refuse_nothing(where: str, frame: pl.DataFrame, since: date | None, until: date | None) -> None:
    day = pl.col(EVENT_TIME).dt.date()
    if frame.filter(_of_days(since, until)).is_empty():
        first, last = frame.select(day.min().alias("first"), day.max().alias("last")).row(0)
        raise DataError(f"{where} holds no events from {since or first} to {until or last}: it holds {first} to {last}")


def with_clock(frame: pl.DataFrame, definition: Definition) -> pl.DataFrame:
    """The frame with the inputs that follow from the time of the event."""
    clocks = {e.name: CLOCKS[e.clock](pl.col(EVENT_TIME)) for e in definition.inputs if e.clock is not None}
    return frame.with_columns(**{name: flag.cast(pl.Float64) for name, flag in clocks.items()})


def write(frame: pl.DataFrame, path: Path, definition: Definition | None = None) -> None:
    """A parquet file as the definition reads it, whole or not at all. None: the simulator's.

    Raises:
        DataError: the file cannot be written.
    """
    definition = definition or cards()
    event, label = definition.event, definition.label
    names = {EVENT_ID: event.id, EVENT_TIME: event.time, ENTITY: event.entity}
    names |= {FRAUD: label.column} if label is not None else {}
    scaled = [pl.col(e.name) / e.scale for e in definition.inputs if e.scale != 1 and e.name in frame.columns]
    names |= {e.name: e.path for e in definition.inputs if e.path and not e.path.endswith(f".{e.name}")}
    store(frame.with_columns(scaled).rename(names, strict=False), path)


def store(frame: pl.DataFrame, path: Path) -> None:
    """A frame as it is into a parquet file, whole or not at all; `restore` reads it.

    Raises:
        DataError: the file cannot be written.
    """
    try:
        with replacing(path) as partial:
            frame.write_parquet(partial)
    except (pl.exceptions.PolarsError, OSError) as error:
        why = getattr(error, "strerror", None) or first_line(error).rpartition("IO error: ")[2]
        raise DataError(f"cannot write {path}: {why}; make room there, or name another place") from error


def restore(path: Path) -> pl.DataFrame:
    """A frame that was stored.

    Raises:
        DataError: it cannot be read.
    """
    try:
        return pl.read_parquet(path)
    except (pl.exceptions.PolarsError, OSError) as error:
        raise DataError(f"{path} cannot be read: {first_line(error)}") from error


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


def _read_file(file: Path, wanted: Sequence[ColumnSource], definition: Definition) -> pl.DataFrame:
    """The columns that one file has of those wanted, each in its type."""
    lazy = scan(file)
    try:
        schema = lazy.collect_schema()
        places = {source.name: found for source in wanted if (found := place(schema, source.paths)) is not None}
        _refuse_missing(file, [*schema], [s for s in wanted if s.needed and s.name not in places], definition)
        read = {s.name: s.read(*places[s.name]).alias(s.name) for s in wanted if s.name in places}
        here = [(s, *places[s.name], read[s.name]) for s in wanted if s.name in places]
        _refuse_unread(
            file, lazy, [entry for entry in here if entry[0].kind == "number" or entry[2] != TYPES[entry[0].kind]]
        )
        return lazy.select(read.values()).with_columns(pl.col(pl.Float64).fill_null(float("nan"))).collect()
    except (pl.exceptions.PolarsError, OSError) as error:
        raise DataError(f"{file} cannot be read: {first_line(error)}") from error


def _refuse_missing(
    file: Path, columns: Sequence[str], missing: Sequence[ColumnSource], definition: Definition
) -> None:
    if not missing:
        return
    lacking = list(dict.fromkeys(source.paths[0] for source in missing))
    near = {path: get_close_matches(path, columns, 1) for path in lacking}
    meant = "".join(f"; is {path} {found[0]}?" for path, found in near.items() if found)
    raise DataError(
        f"{file} lacks the columns {', '.join(lacking)}, which the detector {definition.name} reads{meant}; "
        f"`stream-app define {file} --out detector.toml` proposes a definition"
    )


def _refuse_unread(
    file: Path, lazy: pl.LazyFrame, read: Sequence[tuple[ColumnSource, pl.Expr, pl.DataType, pl.Expr]]
) -> None:
    if not read:
        return
    bad = {source.name: unread(column, dtype, values) for source, column, dtype, values in read}
    counts = lazy.select(expression.sum().alias(name) for name, expression in bad.items()).collect().row(0, named=True)
    first = next((entry for entry in read if counts[entry[0].name]), None)
    if first is None:
        return
    source, column = first[:2]
    found = lazy.with_row_index(ROW).filter(bad[source.name]).select(ROW, column.alias("value")).head(1).collect()
    row, value = found.row(0)
    shown, name = repr(value) if isinstance(value, str) else str(value), first[1].meta.output_name()
    where = f"{counts[source.name]:,} values, the first in row {row + 1:,}"
    raise DataError(f"{file}, column {name}: {shown[:60]} ({where}) is not {source.expected(value)}")


def _labelled(where: str, frame: pl.DataFrame) -> pl.DataFrame:
    """With a label in every row that has none yet."""
    if unknown := frame[FRAUD].null_count():
        log.warning("%s: %s rows have no label, they count as legitimate", where, f"{unknown:,}")
    return frame.with_columns(pl.col(FRAUD).fill_null(value=False))


def _once(where: str, frame: pl.DataFrame) -> pl.DataFrame:
    """Without the rows that stand there once more, as a producer that tries again makes them."""
    if not frame[EVENT_ID].is_duplicated().any():
        return frame
    once = frame.unique(keep="first", maintain_order=True)
    if again := frame.height - once.height:
        log.warning("%s: %s rows stand there more than once, one of each is kept", where, f"{again:,}")
    return once


def _complaints(frame: pl.DataFrame, wanted: Sequence[ColumnSource]) -> Iterator[str]:
    """What keeps the rows from being used, each with what to do."""
    out_of_it = "leave those rows out: the stream refuses such events"
    here = [source for source in wanted if source.name in frame.columns]
    if gaps := [source.paths[0] for source in here if source.filled and _is_empty(frame[source.name]).any()]:
        yield f"has rows without a value in {', '.join(gaps)}: fill them, or leave those rows out"
    if not frame[EVENT_TIME].is_between(*PLAUSIBLE).all():
        span = " to ".join(frame[EVENT_TIME].drop_nulls().dt.to_string("%Y-%m-%d %H:%M:%S").gather([0, -1]))
        yield f"holds times from {span}: seconds, milli-, micro- or nanoseconds were taken for another unit"
    for source in here:
        for bound, beyond, than in ((source.least, pl.Series.lt, "below"), (source.most, pl.Series.gt, "above")):
            if bound is not None and (rows := beyond(frame[source.name], bound).fill_null(value=False)).any():
                one = frame[source.name].filter(rows)[0]
                yield f"has {rows.sum():,} values of {source.paths[0]} {than} {bound:g}, {one!r} is one: {out_of_it}"
    if any((frame[name].str.len_chars() > LONGEST_ID).any() for name in (EVENT_ID, ENTITY)):
        yield f"has ids of more than {LONGEST_ID:,} characters: {out_of_it}"
    if (twice := frame[EVENT_ID].is_duplicated()).any():
        repeated = frame[EVENT_ID].filter(twice)
        shown = f"{repeated.n_unique():,} ({repeated[0]!r} is one)"
        yield f"holds {shown} ids of events in different rows: keep one row of each"


def _is_empty(column: pl.Series) -> pl.Series:
    if column.dtype == pl.String:
        return column.str.strip_chars(BLANKS) == ""
    return column.is_nan() if column.dtype == pl.Float64 else column.is_null()
