"""Reference rows and current rows in, Evidently's verdict on every column and its own page out."""

import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np
from msgspec import Struct

from stream_app.report.rows import Rows

FEWEST_ROWS = 100
# Evidently's tests say how far (a distance) or how surprising (a p-value) a difference is.
P_VALUES = "p_value"


class Column(Struct, frozen=True):
    """Evidently's verdict on one column."""

    name: str
    method: str
    value: float
    threshold: float
    drifted: bool


@dataclass(frozen=True)
class Comparison:
    """What Evidently says.

    Attributes:
        columns: Its verdicts, in the order of the rows' columns.
        html: Its page, with everything that it needs inside.
    """

    columns: list[Column]
    html: str


def compare(reference: Rows, current: Rows) -> Comparison:
    """Evidently's data-drift preset over inputs, score and latents.

    Columns that hold one value in both are left out: there is nothing to compare, and no test is defined on them.
    """
    import pandas as pd

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of what its imports use of others
        from evidently import DataDefinition, Dataset, Report
        from evidently.presets import DataDriftPreset

    both = np.concatenate((reference.values, current.values))
    varying = [i for i in range(both.shape[1]) if _varies(both[:, i])]
    names = [current.names[i] for i in varying]
    definition = DataDefinition(numerical_columns=names)
    datasets = [
        Dataset.from_pandas(pd.DataFrame(rows.values[:, varying], columns=names), data_definition=definition)
        for rows in (current, reference)
    ]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of scipy and numpy on constant halves
        snapshot = Report([DataDriftPreset()]).run(*datasets)
        html = snapshot.get_html_str(as_iframe=False)
    return Comparison([_column(metric) for metric in snapshot.dict()["metrics"] if "column" in metric["config"]], html)


def _varies(values: np.ndarray) -> bool:
    seen = values[~np.isnan(values)]
    return len(seen) > 0 and bool((seen != seen[0]).any())


def _column(metric: dict[str, Any]) -> Column:
    method, threshold = metric["config"]["method"], float(metric["config"]["threshold"])
    value = float(metric["value"])
    drifted = value < threshold if P_VALUES in method else value >= threshold
    return Column(metric["config"]["column"], method, value, threshold, drifted)
