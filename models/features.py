"""The specification of a model's inputs, declared once in a TOML file, and frames as matrices in its order."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
import numpy as np
import polars as pl
from msgspec import Meta, Struct

from models.manifest import Input, InputRole, Missing
from models.words import is_rate
from schemas.errors import UserError
from schemas.toml import among, read_toml, where_and_what

TABLES = {"input", "training"}
DEFAULT_SPEC = Path(__file__).with_name("features.toml")

Transform = Literal["none", "sqrt", "ratio"]
NonEmpty = Annotated[str, Meta(min_length=1)]


class SpecError(UserError):
    """A specification or configuration file is wrong; the message names the file, the entry and the field."""


class Feature(Struct, frozen=True, forbid_unknown_fields=True):
    """One entry of the specification; the file's head says what each field means."""

    name: Annotated[str, Meta(pattern=r"^[A-Za-z_]\w*$")]
    path: Annotated[str, Meta(pattern=r"^[A-Za-z_]\w*(\.[A-Za-z_]\w*)?$")]
    unit: NonEmpty
    missing: Missing
    transform: Transform = "none"
    relative_to: str | None = None
    role: InputRole = "own"
    usual_of: tuple[str, ...] = ()
    over: Annotated[str, Meta(pattern=r"^(\d+[dhm])?$")] = ""
    count: str = ""


class FeatureSpec(Struct, frozen=True):
    """The inputs of a model, in the order of its columns."""

    features: tuple[Feature, ...]

    @property
    def inputs(self) -> list[Input]:
        """As the manifest lists them: the transforms stay inside the graph."""
        shared = Input.__struct_fields__
        return [Input(*(getattr(entry, field) for field in shared)) for entry in self.features]

    def column(self, name: str) -> int:
        """Which column an input is."""
        return [entry.name for entry in self.features].index(name)


def load_spec(path: Path | None = None) -> FeatureSpec:
    """Read a feature specification.

    Args:
        path: A TOML file with `[[input]]` entries. None, or a file without any: the project's own.

    Raises:
        TomlError: it cannot be read.
        SpecError: an entry is wrong; one line that names the entry and the field.
    """
    path = path or DEFAULT_SPEC
    entries = read_tables(path).get("input")
    if entries is None and path != DEFAULT_SPEC:
        return load_spec()
    if not isinstance(entries, list) or not entries:
        raise SpecError(f"{path} declares no inputs: write one [[input]] entry for each")
    features = tuple(_feature(path, number, entry) for number, entry in enumerate(entries, start=1))
    _check_together(path, features)
    return FeatureSpec(features)


def read_tables(path: Path) -> dict[str, Any]:
    """The tables of a file that declares inputs, or how to train.

    Raises:
        TomlError: it cannot be read, or is not TOML.
        SpecError: another table is in it.
    """
    tables = read_toml(path)
    unknown = [f"[{name}] is not known: {among(name, TABLES)}" for name in sorted(tables.keys() - TABLES)]
    if unknown:
        raise SpecError(f"{path}: {'; '.join(unknown)}")
    return tables


def matrix(frame: pl.DataFrame, inputs: Sequence[Input]) -> np.ndarray:
    """The raw inputs of a frame, as the stream would read them from the events.

    Args:
        frame: Transactions with one column for each input's name.
        inputs: Which, in which order.

    Returns:
        float32 [rows, inputs], NaN where missing.

    Raises:
        SpecError: the frame lacks a column.
    """
    lacking = [entry.name for entry in inputs if entry.name not in frame.columns]
    if lacking:
        raise SpecError(f"the data has no column {', '.join(lacking)}: the model reads it")
    columns = [frame[entry.name].cast(pl.Float32).fill_null(float("nan")).to_numpy() for entry in inputs]
    return np.stack(columns, axis=1)


def _feature(path: Path, number: int, entry: Any) -> Feature:
    label = entry.get("name", f"number {number}") if isinstance(entry, dict) else f"number {number}"
    try:
        feature = msgspec.convert(entry, Feature)
    except msgspec.ValidationError as error:
        raise SpecError(f"{path}: input {label}{where_and_what(error, Feature)}") from error
    if (feature.transform == "ratio") != (feature.relative_to is not None):
        raise SpecError(f"{path}: input {label}, field relative_to: goes with transform ratio, and with no other")
    return feature


def _check_together(path: Path, features: Sequence[Feature]) -> None:
    """What no entry can know alone: names and paths are unique, and what points at an input meets one."""
    for field in ("name", "path"):
        values = [getattr(entry, field) for entry in features]
        for entry, value in zip(features, values, strict=True):
            if values.count(value) > 1:
                raise SpecError(f"{path}: input {entry.name}, field {field}: {value} is declared twice")
    units = {entry.name: entry.unit for entry in features}
    for entry in features:
        pointed = {"relative_to": (entry.relative_to or "",), "count": (entry.count,), "usual_of": entry.usual_of}
        for field, names in pointed.items():
            for name in names:
                if name and (name == entry.name or name not in units):
                    raise SpecError(f"{path}: input {entry.name}, field {field}: {name} is not another input")
        for name in entry.usual_of:
            if units[name] != entry.unit and not (is_rate(units[name]) and is_rate(entry.unit)):
                other = f"{name} is in {units[name]}, this in {entry.unit}"
                raise SpecError(f"{path}: input {entry.name}, field usual_of: {other}: it must be the same unit")
