"""The limits of the gates, read from a TOML file over the package's defaults."""

from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta, Struct

from schemas.errors import UserError
from schemas.toml import read_toml, where_and_what

DEFAULTS = Path(__file__).with_name("limits.toml")

Count = Annotated[int, Meta(ge=1)]
Share = Annotated[float, Meta(ge=0, le=1)]
Positive = Annotated[float, Meta(gt=0)]


class LimitsError(UserError):
    """The file of limits is wrong; the message names the file and the field."""

    exit_code = 2


class _Table(Struct, frozen=True, forbid_unknown_fields=True):
    """One table of the file; `limits.toml` says what each field means."""


class Sample(_Table, frozen=True):
    """Size of the samples."""

    rows: Count
    latent_rows: Annotated[int, Meta(ge=100, le=10_000)]
    resamples: Annotated[int, Meta(ge=100)]
    seed: Annotated[int, Meta(ge=0)]


class Accuracy(_Table, frozen=True):
    """Largest loss on labelled rows."""

    without_labels: Literal["refuse", "allow"]
    confidence: Annotated[float, Meta(gt=0, lt=1)]
    average_precision_loss: Share
    card_precision_loss: Share


class Volume(_Table, frozen=True):
    """Smallest and largest ratio of alerts."""

    ratio_least: Share
    ratio_most: Annotated[float, Meta(ge=1)]
    fewest_alerts: Count


class Agreement(_Table, frozen=True):
    """Smallest overlap of the alerts."""

    jaccard_least: Share


class Stability(_Table, frozen=True):
    """How much of the latents' geometry must be kept."""

    cka_least: Share
    neighbours: Annotated[int, Meta(ge=1, le=50)]
    neighbour_overlap_least: Share


class Shift(_Table, frozen=True):
    """How far the p-values may move."""

    psi_most: Positive
    kl_most: Positive


class Robustness(_Table, frozen=True):
    """How steady decisions must be."""

    move: Share
    flips_most: Share
    far_out: Annotated[float, Meta(ge=10)]
    unnoticed_most: Share
    golden_flips_most: Share


class Cost(_Table, frozen=True):
    """How much slower and larger the candidate may be."""

    times_slower_most: Annotated[float, Meta(ge=1)]
    us_per_event_free: Positive
    times_memory_most: Annotated[float, Meta(ge=1)]
    mebibytes_free: Positive


class Limits(_Table, frozen=True):
    """The limits of all gates."""

    sample: Sample
    accuracy: Accuracy
    volume: Volume
    agreement: Agreement
    stability: Stability
    shift: Shift
    robustness: Robustness
    cost: Cost


def load_limits(path: Path | None = None) -> Limits:
    """The limits of a TOML file, which need only hold the fields that differ from the defaults.

    Raises:
        TomlError: the file cannot be read.
        LimitsError: a field is wrong or unknown; the message names it in one line.
    """
    try:
        given = read_toml(path) if path else {}
        return msgspec.convert(_over(read_toml(DEFAULTS), given), Limits)
    except msgspec.ValidationError as error:
        raise LimitsError(f"{path}{where_and_what(error, Limits)}") from error


def _over(defaults: dict[str, Any], given: dict[str, Any]) -> dict[str, Any]:
    """The defaults with the given fields in their place, table by table."""
    merged = dict(defaults)
    for name, table in given.items():
        is_known = isinstance(table, dict) and isinstance(defaults.get(name), dict)
        merged[name] = {**defaults[name], **table} if is_known else table
    return merged
