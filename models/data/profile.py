"""What the columns of a data file look like: of which type, how many values, how much is missing."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import polars as pl

from models.data.columns import as_number, as_text, as_time, as_truth, unread
from models.data.files import DataError, find, first_line, scan
from schemas.definition import MICROSECONDS, is_path

SAMPLE_ROWS = 50_000
NEARLY_ALL = 0.995
HUNDREDTHS_WORDS = ("cents", "cent", "minor")


@dataclass(frozen=True)
class SampleColumn:
    """One column of a sample, or one field of its structs.

    Attributes:
        path: As a definition names it.
        dtype: As the file has it.
        values: As text, null where missing.
        is_text: It is written as text in a file that has types. The stream reads neither numbers nor flags in text.
        numbers: Float64, null where there is none. Of CSV, which has no types, what can be read as a number.
        times: Microseconds since 1970, null where it is no time.
        truths: Boolean, null where it is neither.
    """

    path: str
    dtype: pl.DataType
    is_text: bool
    values: pl.Series
    numbers: pl.Series
    times: pl.Series
    truths: pl.Series

    @cached_property
    def missing(self) -> float:
        """Share of the rows without a value."""
        return self.values.null_count() / max(len(self.values), 1)

    @cached_property
    def distinct(self) -> int:
        """How many values there are."""
        return self.values.drop_nulls().n_unique()

    @property
    def is_number(self) -> bool:
        """Whether nearly all values are numbers."""
        return self.dtype != pl.Boolean and self._nearly_all(self.numbers)

    @property
    def is_whole(self) -> bool:
        """Whether these are whole numbers."""
        return self.is_number and bool((self.numbers.drop_nulls() % 1 == 0).all())

    @cached_property
    def words(self) -> list[str]:
        """The words of its name, in lower case."""
        return re.findall(r"[a-z]+", re.sub(r"([a-z])([A-Z])", r"\1 \2", self.path).lower())

    @property
    def is_hundredths(self) -> bool:
        """Whether its name says that it counts cents."""
        return self.is_whole and not self.is_truth and not set(HUNDREDTHS_WORDS).isdisjoint(self.words)

    @property
    def title(self) -> str:
        """What its values are called once hundredths are whole: `amount` of `amount_minor`, and of `cents` alone."""
        if not self.is_hundredths:
            return self.path
        *groups, last = self.path.split(".")
        kept = re.sub(rf"_?({'|'.join(HUNDREDTHS_WORDS)})(?![a-z])", "", last, flags=re.IGNORECASE).strip("_")
        return ".".join((*groups, kept or "amount"))

    @property
    def is_truth(self) -> bool:
        """Whether there are two values, and they are yes and no."""
        return self.distinct == 2 and self._nearly_all(self.truths)

    @property
    def is_time(self) -> bool:
        """Whether nearly all values are times."""
        return not self.is_truth and self._nearly_all(self.times)

    @property
    def unit(self) -> str | None:
        """Of a time that is a number: the unit in which all are plausible; None of any other."""
        if self.dtype.is_temporal() or not self.is_number:
            return None
        first = self.numbers.drop_nulls().to_frame("n").lazy()
        for unit in MICROSECONDS:
            if first.select(as_time(pl.col("n"), pl.Float64(), unit).is_not_null().all()).collect().item():
                return unit
        return None

    def _nearly_all(self, read: pl.Series) -> bool:
        known = len(self.values) - self.values.null_count()
        return known > 0 and len(read) - read.null_count() >= NEARLY_ALL * known


def profile(file: Path) -> list[SampleColumn]:
    """The columns of a sample: the first rows of the first file, each row once.

    Raises:
        DataError: it cannot be read, or holds nothing.
    """
    lazy = scan(find([file])[0]).head(SAMPLE_ROWS)
    try:
        schema = lazy.collect_schema()
        leaves = [(path, column, dtype) for name in schema for path, column, dtype in _leaves(name, schema[name])]
        readable = [leaf for leaf in leaves if is_path(leaf[0]) and not leaf[2].is_nested()]
        frame = lazy.select(column.alias(path) for path, column, _ in readable).unique(maintain_order=True).collect()
    except pl.exceptions.PolarsError as error:
        raise DataError(f"{file} cannot be read: {first_line(error)}") from error
    if frame.is_empty():
        raise DataError(f"{file} holds no rows to look at")
    has_types = any(dtype != pl.String for _, _, dtype in readable)
    return [_column(frame[path], dtype, has_types and dtype == pl.String) for path, _, dtype in readable]


def _leaves(path: str, dtype: pl.DataType, column: pl.Expr | None = None) -> Iterator[tuple[str, pl.Expr, pl.DataType]]:
    column = pl.col(path) if column is None else column
    if not isinstance(dtype, pl.Struct):
        yield path, column, dtype
        return
    for field in dtype.fields:
        inner = field.dtype if isinstance(field.dtype, pl.DataType) else field.dtype()
        yield from _leaves(f"{path}.{field.name}", inner, column.struct.field(field.name))


def _column(series: pl.Series, dtype: pl.DataType, is_text: bool) -> SampleColumn:
    column = pl.col(series.name)
    nothing = column.is_null() | ~unread(column, dtype, pl.lit(None)) if dtype == pl.String else column.is_null()
    text = pl.when(~nothing).then(as_text(column, dtype))
    number, time = as_number(column, dtype), as_time(column, dtype)
    if is_text:
        number, time = pl.lit(None, pl.Float64), pl.when(number.is_null()).then(time)
    read = series.to_frame().select(
        values=text if not dtype.is_temporal() else column.cast(pl.String),
        numbers=number,
        times=time.dt.epoch("us"),
        truths=as_truth(column, dtype),
    )
    return SampleColumn(series.name, dtype, is_text, *read.get_columns())
