"""The artefact as an MLflow model, so that MLflow's own tools can score with it.

    mlflow.pyfunc.load_model("models:/card-fraud@champion").predict(rows)

Rows have one column for each input of the model, by its name and with finished values (flags are 0 and 1, categories
text): windows are what the stream computes, and MLflow knows no stream. The code that scores travels with the model,
and its libraries are pinned to those that logged it, so that `mlflow models serve` and `mlflow models build-docker`
need nothing of this project.
"""

from collections.abc import Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from models import artefact
from models.inputs import matrix
from models.manifest import Manifest
from models.registry.registry import ARTEFACT
from models.runtime import Runtime, one_thread
from models.signing import SUFFIX
from schemas.definition import Input

LIBRARIES = ("mlflow", "msgspec", "numpy", "pandas", "polars", "pyarrow", "threadpoolctl", "torch")
PACKAGES = ("models", "schemas")  # what scoring imports of this project
EXAMPLES = 3


class Model:
    """What `mlflow.pyfunc.load_model` wraps."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime

    def predict(self, rows: Any, params: dict[str, Any] | None = None) -> Any:
        """Score rows as the stream scores events.

        Args:
            rows: A pandas frame [n] with the model's inputs as columns, null where missing.
            params: There are none.

        Returns:
            A pandas frame [n]: `score` in nats, its `p_value`, whether it is an `alert`, the input that weighs most
            (`reason`).

        Raises:
            DefinitionError: a column is missing.
        """
        import pandas as pd

        manifest = self._runtime.manifest
        with one_thread():
            scored = self._runtime.score(matrix(pl.from_pandas(rows), manifest.inputs, manifest.categories))
        names = np.array([entry.name for entry in manifest.inputs])
        return pd.DataFrame(
            {
                "score": scored.score,
                "p_value": manifest.calibration.p_values(scored.score),
                "alert": scored.score >= manifest.calibration.threshold,
                "reason": names[scored.contributions.argmax(axis=1)],
            }
        )


def _load_pyfunc(path: str) -> Model:
    """What MLflow calls by this name, with the artefact's path."""
    return Model(artefact.load(Path(path)))


def save(path: Path, manifest: Manifest, rows: pl.DataFrame, folder: Path) -> None:
    """Write an MLflow model around an artefact.

    Args:
        path: The artefact; its signature beside it goes along.
        manifest: Its manifest.
        rows: Events as `models.data.frame.read` returns them, of which the first few are the example.
        folder: Where the MLflow model goes; must not exist.
    """
    import mlflow.pyfunc

    file = folder.with_name(Path(ARTEFACT).name)
    file.write_bytes(path.read_bytes())
    try:
        mlflow.pyfunc.save_model(
            str(folder),
            loader_module=__name__,
            data_path=str(file),
            code_paths=[str(Path(__file__).parents[2] / package) for package in PACKAGES],
            signature=_signature(manifest.inputs),
            input_example=_columns(rows[:EXAMPLES], manifest.inputs).to_pandas(),
            pip_requirements=[f"{library}=={metadata.version(library).split('+')[0]}" for library in LIBRARIES],
        )
    finally:
        file.unlink()
    signature = path.with_name(path.name + SUFFIX)
    if signature.is_file():
        (folder / (ARTEFACT + SUFFIX)).write_bytes(signature.read_bytes())


def _signature(inputs: Sequence[Input]) -> Any:
    from mlflow.models import ModelSignature
    from mlflow.types import ColSpec, Schema

    outputs = {"score": "float", "p_value": "double", "alert": "boolean", "reason": "string"}
    return ModelSignature(
        inputs=Schema([ColSpec("string" if entry.kind == "category" else "double", entry.name) for entry in inputs]),
        outputs=Schema([ColSpec(kind, name) for name, kind in outputs.items()]),
    )


def _columns(rows: pl.DataFrame, inputs: Sequence[Input]) -> pl.DataFrame:
    """The inputs alone, float64 or text."""
    types = (pl.String if entry.kind == "category" else pl.Float64 for entry in inputs)
    return rows.select(pl.col(entry.name).cast(kind) for entry, kind in zip(inputs, types, strict=True))
