"""Trains a model on events: a scoring graph and its manifest. Labels leave out rows; nothing is fitted to them.

split        the later part of the window is held out by time
fit          the networks on the earlier part, without known frauds and its strangest rows (`models.fitting`)
calibrate    p-values and threshold on the held-out part
describe     reference distributions, of segments too, golden rows; labels are read for the metrics alone
"""

import subprocess
from collections.abc import Sequence
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import polars as pl
import torch
from msgspec.structs import replace

from models import segments
from models.alignment import align
from models.budget import BudgetKind, parsed, share_of_events
from models.calibration import calibrated
from models.data.frame import digest
from models.data.sources import FRAUD
from models.evaluation import baselines, metrics_of
from models.fitting import Progress, fit
from models.inputs import categories_of, matrix
from models.manifest import Manifest, Quality
from models.protocol import EvaluationError
from models.recipe import TrainingConfig
from models.reference import golden_rows, input_relations, signals
from models.runtime import Runtime, Scored, one_thread, run
from schemas.definition import Definition, Input
from schemas.errors import UserError
from schemas.scoring import ModelRef

FEWEST_ROWS = 2000
LIBRARIES = ("torch", "numpy", "polars", "scikit-learn")
ROOT = Path(__file__).parents[1]


class TrainingError(UserError):
    """No model can be made of this; the message says why."""


def train(
    frame: pl.DataFrame,
    definition: Definition,
    config: TrainingConfig,
    name: str,
    version: str,
    progress: Progress | None = None,
    now: datetime | None = None,
) -> tuple[torch.jit.ScriptModule, Manifest]:
    """Train, calibrate and describe a model.

    Args:
        frame: The training window, as `models.data.frame.read` returns it.
        progress: Called after each epoch with its number, from 1, and its mean loss.
        now: Moment of creation. None: the clock's.

    Returns:
        The scripted graph, and the manifest that goes into the artefact with it (`models.artefact.save`).

    Raises:
        TrainingError: too few rows, or an input without any value.
        DefinitionError, BudgetError: the frame lacks an input, or the rows held out cannot give the budget.
    """
    categories = categories_of(frame, definition.inputs)
    raw = matrix(frame, definition.inputs, categories)
    fitted = int(len(raw) * (1 - config.held_out))
    _check(raw, fitted, definition)
    by = _segmented_by(frame, definition)
    with one_thread():
        usable = _usable(frame[:fitted])
        known = config if usable.all() else replace(config, trim=0.0)
        graph = fit(raw[:fitted][usable], definition, known, progress)
        scored = run(graph, raw)
    manifest = Manifest(
        name=name,
        version=version,
        created_at=now or datetime.now(UTC),
        definition=definition,
        latent_size=config.latent,
        seed=config.seed,
        training=msgspec.to_builtins(config),
        metrics=_metrics(scored.score[fitted:], frame[fitted:], definition.inputs, raw[fitted:]),
        categories=categories,
        calibration=calibrated(scored.score[fitted:], frame[fitted:], config.budget, frame["event_time"]),
        golden=golden_rows(graph, raw),
        constant=_constant(graph, definition),
        **_origin(frame),
        **_reference(frame["event_time"], definition.inputs, raw, scored, by),
    )
    return graph, manifest


def aligned_to(other: Runtime, graph: torch.jit.ScriptModule, manifest: Manifest, frame: pl.DataFrame) -> Manifest:
    """The manifest with a map to another model's latents, fitted on the rows of the training that are no frauds.

    Args:
        other: The model before it.
        graph: What was trained.
        manifest: Of the graph.
        frame: The training window.

    Raises:
        DefinitionError: the frame lacks an input of the other model.
    """
    rows = frame.filter(_usable(frame))
    theirs = other.manifest
    with one_thread():
        ours = run(graph, matrix(rows, manifest.inputs, manifest.categories)).latent
        known = other.score(matrix(rows, theirs.inputs, theirs.categories)).latent
    ref = ModelRef(theirs.name, theirs.version, other.sha256)
    return replace(manifest, alignment=align(ours.astype(np.float64), known.astype(np.float64), ref))


def frauds_above_budget(frame: pl.DataFrame, config: TrainingConfig) -> str:
    """A sentence where the rows that the threshold comes from hold more known frauds than may alert; else empty."""
    rows, budget = frame[int(frame.height * (1 - config.held_out)) :], parsed(config.budget)
    if budget.kind is BudgetKind.FALSE or not rows.height:
        return ""
    allowed = share_of_events(budget, frame["event_time"], np.empty(0), None)
    share = 1 - _usable(rows).mean()
    if share <= allowed:
        return ""
    return (
        f"{share:.2%} of the last {rows.height:,} events are labelled as frauds, and {allowed:.2%} of events may "
        "alert: the threshold lies among frauds, so that some pass, absurd values may pass too, and the robustness "
        f'gate may refuse the model. Allow more alerts (--budget "{_rounded_up(200 * share):g} %"), '
        "or end on days with fewer frauds (--until)"
    )


def _rounded_up(percent: float) -> float:
    """To one significant digit: a budget with room for what is no fraud as well."""
    step = 10.0 ** np.floor(np.log10(percent))
    return float(min(round(np.ceil(percent / step) * step, 6), 50))


def _constant(graph: torch.jit.ScriptModule, definition: Definition) -> list[str]:
    """The inputs that had one value in all of the training."""
    varies = graph.preprocessing.varies[: len(definition.inputs), 0].tolist()
    return [entry.name for entry, varied in zip(definition.inputs, varies, strict=True) if not varied]


def _usable(frame: pl.DataFrame) -> np.ndarray:
    """The rows to fit on, bool [rows]: those that no label calls a fraud."""
    if FRAUD not in frame.columns:
        return np.ones(frame.height, dtype=bool)
    known: np.ndarray = ~frame[FRAUD].fill_null(value=False).to_numpy()
    return known


def _origin(frame: pl.DataFrame) -> dict[str, Any]:
    """The fields of the manifest that say what it was made of."""
    return {
        "trained_from": frame["event_time"][0].isoformat(),
        "trained_until": frame["event_time"][-1].isoformat(),
        "rows": frame.height,
        "data_sha256": digest(frame),
        "code_version": code_version(),
        "libraries": {library: metadata.version(library) for library in LIBRARIES},
    }


def _reference(
    event_times: pl.Series, inputs: Sequence[Input], raw: np.ndarray, scored: Scored, by: pl.Series | None
) -> dict[str, Any]:
    """The fields of the manifest that drift is measured against."""
    latent = scored.latent.astype(np.float64)
    references = signals(inputs, raw, scored, event_times)
    relations = input_relations(inputs, raw, scored, event_times)
    found = None
    if by is not None:
        found = segments.describe(by.name, by, references, relations, raw, scored, event_times)
        if not found.watched:
            raise TrainingError(f"no {by.name} has {segments.FEWEST_ROWS:,} events: train on more, or without")
    return {
        "signals": references,
        "relations": relations,
        "segments": found,
        "latent_mean": latent.mean(axis=0).tolist(),
        "latent_covariance": np.cov(latent, rowvar=False, ddof=0).reshape(latent.shape[1], -1).tolist(),
    }


def _check(raw: np.ndarray, fitted: int, definition: Definition) -> None:
    if len(raw) < FEWEST_ROWS:
        raise TrainingError(f"{len(raw)} events are too few to train on: give at least {FEWEST_ROWS}")
    if np.isinf(raw).any():
        column = int(np.isinf(raw).any(axis=0).argmax())
        raise TrainingError(f"input {definition.inputs[column].name} holds infinite values: leave those rows out")
    if not (np.nanmax(raw[:fitted], axis=0, initial=-np.inf) > np.nanmin(raw[:fitted], axis=0, initial=np.inf)).any():
        raise TrainingError("every event is the same in every input: there is nothing to learn")
    for rows, where in ((raw, "any row"), (raw[:fitted], f"the first {fitted:,} rows, which the model is fitted on")):
        empty = np.isnan(rows).all(axis=0)
        if empty.any():
            name = definition.inputs[int(empty.argmax())].name
            raise TrainingError(f"input {name} has no value in {where}: begin later, or take it out of the inputs")


def _segmented_by(frame: pl.DataFrame, definition: Definition) -> pl.Series | None:
    """The field of each row as text, empty where it has none; None where drift is watched by no field."""
    if definition.segments is None:
        return None
    field = definition.segments.by
    read = definition.at(field)
    own = {definition.event.entity: "entity", definition.event.id: "event_id"}
    if field in own:
        return frame[own[field]].alias(field)
    if field == definition.event.time or (read is not None and read.kind != "category"):
        raise TrainingError(f"drift cannot be watched by {field}: name a field that holds text, a country or a channel")
    column = field if read is None else read.name
    if column not in frame.columns:
        raise TrainingError(f"drift cannot be watched by {field}: the data has no such column")
    return frame[column].alias(field)


def _metrics(scores: np.ndarray, rows: pl.DataFrame, inputs: Sequence[Input], raw: np.ndarray) -> dict[str, Quality]:
    """Figures on the held-out rows beside the baselines; none where the rows have no labels or no frauds."""
    if "fraud" not in rows.columns:
        return {}
    try:
        return {"model": metrics_of(scores, rows), **baselines(rows, inputs, raw)}
    except EvaluationError:
        return {}


def code_version() -> str:
    """The commit this runs from, in a checkout; the package's version elsewhere."""
    if (ROOT / ".git").exists():
        command = ["git", "-C", str(ROOT), "describe", "--always", "--dirty"]
        described = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 - a fixed command
        if described.returncode == 0:
            return described.stdout.strip()
    try:
        return metadata.version("stream-app")
    except metadata.PackageNotFoundError:
        return "unversioned"
