"""Reference rows and current rows compared by Evidently: its verdict on every column, and its own page."""

import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np
from msgspec import Struct

from stream_app.report.rows import Rows

FEWEST_ROWS = 100
P_VALUES = "p_value"  # in the name of a test that gives a p-value; the others give a distance
# Evidently writes column names into a script of its page as they are: `</script>` in one would end it.
NO_MARKUP = str.maketrans("<>&", "‹›+")


class Column(Struct, frozen=True):
    """Evidently's verdict on one column."""

    name: str
    method: str
    value: float
    threshold: float
    drifted: bool


@dataclass(frozen=True)
class ReferenceComparison:
    """Evidently's findings.

    Attributes:
        columns: Verdicts in the order of the rows' columns.
        html: Evidently's page, with everything that it needs inside.
    """

    columns: list[Column]
    html: str


def compare(reference: Rows, current: Rows) -> ReferenceComparison:
    """Evidently's data-drift preset over inputs, score and latents.

    Columns that hold one value in both are left out: there is nothing to compare, and no test is defined on them.
    """
    import pandas as pd

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about what its imports use of other packages
        from evidently import DataDefinition, Dataset, Report
        from evidently.presets import DataDriftPreset

    both = np.concatenate((reference.values, current.values))
    varying = [i for i in range(both.shape[1]) if _varies(both[:, i])]
    named = {current.names[i].translate(NO_MARKUP): current.names[i] for i in varying}
    names = list(named)
    definition = DataDefinition(numerical_columns=names)
    datasets = [
        Dataset.from_pandas(pd.DataFrame(rows.values[:, varying], columns=names), data_definition=definition)
        for rows in (current, reference)
    ]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # by scipy and numpy about constant halves
        snapshot = Report([DataDriftPreset()]).run(*datasets)
        html = snapshot.get_html_str(as_iframe=False)
    found = [metric for metric in snapshot.dict()["metrics"] if "column" in metric["config"]]
    return ReferenceComparison([_column(metric, named[metric["config"]["column"]]) for metric in found], html)


def _varies(values: np.ndarray) -> bool:
    seen = values[~np.isnan(values)]
    return len(seen) > 0 and bool((seen != seen[0]).any())


def _column(metric: dict[str, Any], name: str) -> Column:
    method, threshold = metric["config"]["method"], float(metric["config"]["threshold"])
    value = float(metric["value"])
    drifted = value < threshold if P_VALUES in method else value >= threshold
    return Column(name, method, value, threshold, drifted)
