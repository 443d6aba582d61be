import re
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from models.data.frame import FEATURES
from models.features import SpecError, load_spec, matrix
from models.manifest import Input
from schemas.toml import TomlError

AMOUNT = '[[input]]\nname = "amount"\npath = "amount"\nunit = "EUR"\nmissing = "reject"\n'


def spec_file(folder: Path, text: str) -> Path:
    path = folder / "spec.toml"
    path.write_text(text)
    return path


def test_the_projects_own_specification_reads_the_amount_and_every_feature_of_the_frame():
    inputs = load_spec().inputs
    assert [entry.name for entry in inputs] == ["amount", *FEATURES]
    assert [entry.path for entry in inputs] == ["amount", *(f"features.{name}" for name in FEATURES)]
    assert [entry.name for entry in inputs if entry.missing == "reject"] == ["amount"]


@pytest.mark.parametrize(
    ("broken", "complaint"),
    [
        (AMOUNT.replace('unit = "EUR"\n', ""), "input amount: Object missing required field `unit`"),
        (
            AMOUNT.replace('"reject"', '"ignore"'),
            "input amount, field missing: Invalid enum value 'ignore': there are impute, reject",
        ),
        (AMOUNT.replace('"EUR"', "3"), "input amount, field unit: Expected `str`, got `int`"),
        (AMOUNT + 'transfrom = "sqrt"\n', "input amount: transfrom is not known: did you mean transform?"),
        (AMOUNT + 'transform = "ratio"\n', "input amount, field relative_to: goes with transform ratio"),
        (
            AMOUNT + 'transform = "ratio"\nrelative_to = "gone"\n',
            "input amount, field relative_to: gone is not another",
        ),
        (AMOUNT + 'transform = "ratio"\nrelative_to = "amount"\n', "field relative_to: amount is not another input"),
        (AMOUNT + 'usual_of = ["gone"]\n', "input amount, field usual_of: gone is not another input"),
        (AMOUNT + 'count = "gone"\n', "input amount, field count: gone is not another input"),
        (AMOUNT + 'over = "a month"\n', "input amount, field over"),
        (
            AMOUNT + AMOUNT.replace('"amount"', '"n"').replace("EUR", "1/d") + 'usual_of = ["amount"]\n',
            "input n, field usual_of: amount is in EUR, this in 1/d: it must be the same unit",
        ),
        (AMOUNT + AMOUNT, "input amount, field name: amount is declared twice"),
        (AMOUNT.replace("name =", "nome ="), "input number 1"),
        (AMOUNT.replace('path = "amount"', 'path = "a..b"'), "input amount, field path"),
        ("input = []", "declares no inputs"),
        ("[[input]\n", "is not valid TOML"),
        (AMOUNT + "[trainig]\nepochs = 1\n", "[trainig] is not known: did you mean training?"),
    ],
)
def test_a_wrong_specification_is_refused_in_one_line_that_names_entry_and_field(tmp_path, broken, complaint):
    path = spec_file(tmp_path, broken)
    with pytest.raises((SpecError, TomlError), match=re.escape(complaint)) as refusal:
        load_spec(path)
    assert str(path) in str(refusal.value)
    assert "\n" not in str(refusal.value)


def test_a_specification_that_is_not_there_is_refused_in_one_line(tmp_path):
    with pytest.raises(TomlError, match="No such file"):
        load_spec(tmp_path / "gone.toml")


def test_a_file_without_inputs_leaves_the_projects_own(tmp_path):
    assert load_spec(spec_file(tmp_path, "[training]\nepochs = 2\n")) == load_spec()


def test_a_matrix_has_the_columns_of_the_specification_in_its_order_and_nan_where_missing():
    frame = pl.DataFrame({"b": [1.0, None], "a": [3, 4], "c": ["x", "y"]})
    got = matrix(frame, [Input(name, name, "1", "impute") for name in ("a", "b")])
    assert got.dtype == np.float32
    np.testing.assert_array_equal(got, np.array([[3, 1], [4, np.nan]], dtype=np.float32))


def test_a_frame_without_a_column_that_the_model_reads_is_refused():
    with pytest.raises(SpecError, match="no column amount"):
        matrix(pl.DataFrame({"b": [1.0]}), load_spec().inputs[:1])
