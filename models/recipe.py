"""How a model is trained: everything that decides it but the rows, readable without torch."""

from pathlib import Path
from typing import Annotated

from msgspec import Meta, Struct
from msgspec.structs import replace

from models.budget import parsed
from models.definition import DefinitionError
from schemas.toml import converted, read_toml

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
        noise: Standard deviation of the noise that the autoencoder is to take away, in standard deviations.
        trim: Share of rows of the largest error that each epoch leaves out where no label says which rows are strange.
        held_out: Share of the window, its end, kept for calibration and metrics.
        budget: How many events may alert, which sets the threshold: a share of them, or words (`models.budget`).
    """

    seed: Annotated[int, Meta(ge=0)] = 0
    epochs: Positive = 20
    batch: Positive = 512
    hidden: Positive = 64
    latent: Positive = 8
    learning_rate: Annotated[float, Meta(gt=0)] = 5e-3
    noise: Annotated[float, Meta(ge=0)] = 0.3
    trim: Annotated[float, Meta(ge=0, lt=1)] = 0.02
    held_out: Share = 0.15
    budget: Share | str = 0.01


def load_config(path: Path | None = None, seed: int | None = None, budget: str | None = None) -> TrainingConfig:
    """The configuration of a TOML file with a table `[training]`.

    Args:
        path: The file. None: the defaults.
        seed: Taken in place of the file's, when given.
        budget: Likewise.

    Raises:
        TomlError: it cannot be read.
        DefinitionError: it is wrong; one line that names every field that is.
        BudgetError: its budget is none.
    """
    tables = {} if path is None else read_toml(path)
    wrong = [f"{name} is not known here: there is [training]" for name in tables if name != "training"]
    config, found = converted(tables.get("training", {}), TrainingConfig)
    wrong += [f"[training]{what}" for what in found]
    if config is None or wrong:
        raise DefinitionError(f"{path}: {'; '.join(wrong)}")
    given = {"seed": seed, "budget": budget}
    config = replace(config, **{name: value for name, value in given.items() if value is not None})
    parsed(config.budget)
    return config
