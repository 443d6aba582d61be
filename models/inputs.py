"""Frames as matrices in the order of a model's inputs, and how rare the values of its categories are."""

from collections.abc import Mapping, Sequence
from types import MappingProxyType

import numpy as np
import polars as pl

from models.definition import DefinitionError
from models.manifest import Category
from schemas.definition import Input

NOTHING: Mapping[str, Category] = MappingProxyType({})
MOST_VALUES = 2000  # of a category, that the manifest keeps
LONGEST_VALUE = 256  # a longer one is no value that training has seen


def matrix(frame: pl.DataFrame, inputs: Sequence[Input], categories: Mapping[str, Category] = NOTHING) -> np.ndarray:
    """The raw inputs of a frame, as the stream would read them from the events.

    Args:
        frame: Events with one column for each input's name.
        inputs: Which, in which order.
        categories: What training has seen of those that are categories.

    Returns:
        float32 [rows, inputs], NaN where missing; of a category the share of its value in training.

    Raises:
        DefinitionError: the frame lacks a column.
    """
    lacking = [entry.name for entry in inputs if entry.name not in frame.columns]
    if lacking:
        raise DefinitionError(f"the data has no column {', '.join(lacking)}: the model reads it")
    columns = [_numbers(frame[entry.name], categories.get(entry.name)) for entry in inputs]
    return np.stack(columns, axis=1)


def categories_of(frame: pl.DataFrame, inputs: Sequence[Input]) -> dict[str, Category]:
    """The categories among the inputs, as their values are in these rows."""
    return {
        entry.name: _category(frame[entry.name])
        for entry in inputs
        if entry.kind == "category" and entry.name in frame.columns
    }


def _numbers(column: pl.Series, category: Category | None) -> np.ndarray:
    if category is not None:
        column = pl.select(
            pl.when(column != "").then(
                column.replace_strict(category.shares, default=category.other, return_dtype=pl.Float64)
            )
        ).to_series()
    return column.cast(pl.Float32).fill_null(float("nan")).to_numpy()


def _category(column: pl.Series) -> Category:
    """Shares of the most frequent values; any other counts as rare as one of those left out, or as one seen once."""
    values = column.filter((column != "") & (column.str.len_chars() <= LONGEST_VALUE))
    counts = values.value_counts(name="rows").sort("rows", values.name, descending=[True, False])
    kept, left = counts[:MOST_VALUES], counts[MOST_VALUES:]
    rows = max(len(values), 1)
    shares = {value: count / rows for value, count in kept.iter_rows()}
    return Category(shares, max(float(left["rows"].mean() or 0), 1.0) / (rows + 1))  # type: ignore[arg-type]
