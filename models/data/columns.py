"""One column of a data file as text, number, truth value or time, whatever type its writer gave it.

What cannot be read becomes null here; `unread` finds it, so that a refusal can show it.
"""

from collections.abc import Iterable

import polars as pl

from schemas.definition import MICROSECONDS
from schemas.scoring import PLAUSIBLE

# For numbers, truth values and times; as text they may be a name, a country code.
NOTHING = ["", "null", "none", "nan", "na", "n/a", "nat"]
TRUE, FALSE = ["true", "t", "yes", "y", "1", "1.0"], ["false", "f", "no", "n", "0", "0.0"]
LARGEST = 3.4028235e38  # of a 32-bit float, which the model computes in: the stream refuses what is larger
EXACT = 2**53  # integers beyond have lost digits as floating point
ISO = r"^(\d{4}-\d{2}-\d{2})(?:[T ](\d{2}:\d{2})(:\d{2}(?:\.\d+)?)?)?\s*(?:Z|UTC|([+-]\d{2}):?(\d{2})?)?$"


def as_text(column: pl.Expr, dtype: pl.DataType) -> pl.Expr:
    """As the stream has it: an integer that a gap in its column made floating point is an integer."""
    if dtype.is_float() or dtype.is_decimal():
        number = column.cast(pl.Float64)
        whole = (number == number.round()) & (number.abs() < EXACT)
        written = pl.when(whole).then(number.cast(pl.Int64, strict=False).cast(pl.String))
        return written.when(number.is_nan()).then(None).when(number.abs() < EXACT).then(number.cast(pl.String))
    return pl.lit(None, pl.String) if dtype.is_nested() else column.cast(pl.String, strict=False)


def as_number(column: pl.Expr, dtype: pl.DataType) -> pl.Expr:
    """Float64."""
    if dtype.is_numeric() or dtype in (pl.Boolean, pl.Null):
        return column.cast(pl.Float64)
    if dtype.is_temporal() or dtype.is_nested():
        return pl.lit(None, pl.Float64)
    return _written(column).cast(pl.Float64, strict=False)


def as_truth(column: pl.Expr, dtype: pl.DataType) -> pl.Expr:
    """Boolean; of numbers 0 and 1."""
    if dtype == pl.Boolean:
        return column
    text = _written(as_text(column, dtype))
    return pl.when(text.is_in(TRUE)).then(True).when(text.is_in(FALSE)).then(False)


def as_time(column: pl.Expr, dtype: pl.DataType, unit: str | None = None) -> pl.Expr:
    """Microseconds in UTC. A time without a zone is UTC; without a unit, that of a number follows from its size."""
    if dtype.is_temporal():
        return column.cast(pl.Datetime("us", "UTC"), strict=False)
    number = as_number(column, dtype)
    units = MICROSECONDS if unit is None else (unit,)
    if dtype.is_numeric() or dtype.is_nested():
        return _epoch(number, units)
    return pl.coalesce(_iso(column.cast(pl.String, strict=False).str.strip_chars()), _epoch(number, units))


def unread(column: pl.Expr, dtype: pl.DataType, read: pl.Expr) -> pl.Expr:
    """Which values were not read, though they are something."""
    if dtype.is_nested():
        return column.is_not_null() & read.is_null()
    if dtype.is_float():
        return column.is_not_nan() & read.is_null()
    text = column.cast(pl.String, strict=False).str.strip_chars().str.to_lowercase()
    return column.is_not_null() & read.is_null() & text.is_in(NOTHING).not_().fill_null(value=True)


def _written(column: pl.Expr) -> pl.Expr:
    """Text without what surrounds it, in lower case; null where it stands for nothing."""
    text = column.cast(pl.String, strict=False).str.strip_chars().str.to_lowercase()
    return pl.when(text.is_in(NOTHING).not_()).then(text)


def _epoch(number: pl.Expr, units: Iterable[str]) -> pl.Expr:
    """Times since 1970. In each unit the plausible ones are other numbers, three powers of ten apart."""
    low, high = (moment.timestamp() * 1e6 for moment in PLAUSIBLE)
    scaled = [number * MICROSECONDS[unit] for unit in units]
    candidates = [pl.when(time.is_between(low, high)).then(time) for time in scaled]
    return pl.coalesce(candidates).round().cast(pl.Int64, strict=False).cast(pl.Datetime("us", "UTC"))


def _iso(text: pl.Expr) -> pl.Expr:
    """Of RFC 3339, and what is near: a blank for the T, no seconds, no time, no zone."""
    day, minute, second, hours, minutes = (text.str.extract(ISO, group) for group in range(1, 6))
    written = pl.concat_str(day, pl.lit(" "), minute.fill_null("00:00"), second.fill_null(":00"))
    local = written.str.to_datetime("%Y-%m-%d %H:%M:%S%.f", time_unit="us", strict=False)
    sign = pl.when(hours.str.starts_with("-")).then(-1).otherwise(1)
    east = hours.cast(pl.Int64).fill_null(0) * 60 + sign * minutes.cast(pl.Int64).fill_null(0)
    return (local - pl.duration(minutes=east)).dt.replace_time_zone("UTC")
