"""How a model is trained: everything that decides it but the rows, readable without torch."""

from pathlib import Path
from typing import Annotated

import msgspec
from msgspec import Meta, Struct

from models.features import SpecError, read_tables
from schemas.toml import where_and_what

Positive = Annotated[int, Meta(ge=1)]
Share = Annotated[float, Meta(gt=0, lt=1)]


class TrainingConfig(Struct, frozen=True, forbid_unknown_fields=True):
    """How to train.

    Attributes:
        seed: Same seed, data and configuration: same model.
        epochs: Passes over the training rows.
        batch: Rows of one step.
        hidden: Units of each hidden layer.
        latent: Units of the bottleneck.
        learning_rate: Peak of the one-cycle schedule (Smith and Topin 2018).
        mask: Share of the inputs hidden from the network in each step (Vincent et al. 2010, masking noise).
        noise: Standard deviation of the noise added to the others, in standard deviations of the input.
        trim: Share of rows of the largest error that each epoch leaves out, so that what is strange is not learnt.
        held_out: Share of the window, its end, kept for calibration and metrics.
        budget: Share of transactions that may alert; sets the threshold.
        segment_by: A text field of the event, by whose values drift is watched too. Empty: in the whole alone.
    """

    seed: Annotated[int, Meta(ge=0)] = 0
    epochs: Positive = 20
    batch: Positive = 512
    hidden: Positive = 64
    latent: Positive = 8
    learning_rate: Annotated[float, Meta(gt=0)] = 5e-3
    mask: Annotated[float, Meta(ge=0, lt=1)] = 0.4
    noise: Annotated[float, Meta(ge=0)] = 0.1
    trim: Annotated[float, Meta(ge=0, lt=1)] = 0.02
    held_out: Share = 0.15
    budget: Share = 0.01
    segment_by: Annotated[str, Meta(pattern=r"^([A-Za-z_]\w*)?$")] = ""


def load_config(path: Path | None = None, seed: int | None = None, segment_by: str | None = None) -> TrainingConfig:
    """The configuration of a TOML file's table `[training]`.

    Args:
        path: The file; it may hold the `[[input]]` entries of a feature specification too. None: the defaults.
        seed: Taken in place of the file's, when given.
        segment_by: The same.

    Raises:
        TomlError: it cannot be read.
        SpecError: it is wrong; one line that names the field.
    """
    table = {} if path is None else read_tables(path).get("training", {})
    given = {name: value for name, value in (("seed", seed), ("segment_by", segment_by)) if value is not None}
    try:
        config = msgspec.convert(table, TrainingConfig)
    except msgspec.ValidationError as error:
        raise SpecError(f"{path}: [training]{where_and_what(error, TrainingConfig)}") from error
    return msgspec.structs.replace(config, **given)
