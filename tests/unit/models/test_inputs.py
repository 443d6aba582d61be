"""Frames become matrices as the stream reads events; a category is how rare its value was in training."""

import numpy as np
import polars as pl
import pytest

from models.definition import DefinitionError, cards
from models.inputs import LONGEST_VALUE, categories_of, matrix
from schemas.definition import Input


def test_a_matrix_has_the_columns_of_the_inputs_in_their_order_and_nan_where_missing() -> None:
    frame = pl.DataFrame({"b": [1.0, None], "a": [3, 4], "c": ["x", "y"]})
    got = matrix(frame, [Input(name, name, "1") for name in ("a", "b")])
    assert got.dtype == np.float32
    np.testing.assert_array_equal(got, np.array([[3, 1], [4, np.nan]], dtype=np.float32))


def test_a_frame_without_a_column_that_the_model_reads_is_refused() -> None:
    with pytest.raises(DefinitionError, match="no column amount"):
        matrix(pl.DataFrame({"b": [1.0]}), cards().inputs[:1])


def test_a_category_is_the_share_of_its_value_and_an_unknown_one_is_rare() -> None:
    inputs = [Input("country", "country", kind="category")]
    seen = pl.DataFrame({"country": ["DE"] * 7 + ["FR"] * 2 + ["RO", ""]})
    categories = categories_of(seen, inputs)
    assert categories["country"].shares == {"DE": 0.7, "FR": 0.2, "RO": 0.1}
    later = pl.DataFrame({"country": ["DE", "RO", "XX", "", "x" * (LONGEST_VALUE + 1)]})
    got = matrix(later, inputs, categories)[:, 0]
    np.testing.assert_allclose(got, [0.7, 0.1, 1 / 11, np.nan, 1 / 11], rtol=1e-6)
