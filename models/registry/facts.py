"""The figures that a training's record holds, computed from the model and the rows it was trained on."""

from dataclasses import dataclass

import numpy as np
import polars as pl
from msgspec import Struct

from models.distances import distances
from models.evaluation import us_per_event
from models.inputs import matrix
from models.runtime import Runtime, Scored, one_thread


class LatentFacts(Struct, frozen=True):
    """One latent on the held-out rows.

    Attributes:
        mean: Of the held-out rows.
        std: Of the held-out rows.
        reference_mean: Of all rows, as in the manifest.
        reference_std: Of all rows.
        kl: Kullback-Leibler divergence of the held-out rows from the reference's bins, nats.
    """

    mean: float
    std: float
    reference_mean: float
    reference_std: float
    kl: float


@dataclass(frozen=True, slots=True)
class HeldOut:
    """The end of the training window, which the network was not fitted to.

    Attributes:
        frame: Its rows.
        scored: The model's outputs on them.
        p_values: float64 [rows], by the model's calibration.
        us_per_event: Scoring time of one event in a batch on one thread, microseconds.
    """

    frame: pl.DataFrame
    scored: Scored
    p_values: np.ndarray
    us_per_event: float


def held_out(runtime: Runtime, frame: pl.DataFrame, share: float) -> HeldOut:
    """Score the held-out rows.

    Args:
        runtime: The model.
        frame: The whole training window.
        share: Of it that was held out.
    """
    rows = frame[int(frame.height * (1 - share)) :]
    raw = matrix(rows, runtime.manifest.inputs, runtime.manifest.categories)
    with one_thread():
        scored = runtime.score(raw)
    return HeldOut(rows, scored, runtime.manifest.calibration.p_values(scored.score), us_per_event(runtime, raw))


def latents(runtime: Runtime, rows: HeldOut) -> list[LatentFacts]:
    """Every latent of the held-out rows beside the reference that is in the manifest."""
    references = [signal for signal in runtime.manifest.signals if signal.name.startswith("latent:")]
    facts = []
    for reference, values in zip(references, rows.scored.latent.T, strict=True):
        bins = np.searchsorted(reference.edges, values)
        counts = np.bincount(bins, minlength=len(reference.shares))
        facts.append(
            LatentFacts(
                mean=float(values.mean(dtype=np.float64)),
                std=float(values.std(dtype=np.float64)),
                reference_mean=reference.mean,
                reference_std=reference.std,
                kl=distances(counts, np.array(reference.shares)).kl,
            )
        )
    return facts


def metrics(runtime: Runtime, rows: HeldOut) -> dict[str, float]:
    """The figures of a run, by the names under which MLflow compares them.

    `reconstruction_loss` is the mean squared residual of an input, in the inputs' standard deviations; `latent_kl_*`
    are over the latents; quality and that of the baselines as in `models.evaluation`, where the rows have labels.
    """
    divergences = [latent.kl for latent in latents(runtime, rows)]
    alerts = rows.scored.score >= runtime.manifest.calibration.threshold
    found = {
        "reconstruction_loss": float(np.square(rows.scored.residual, dtype=np.float64).mean()),
        "latent_kl_mean": float(np.mean(divergences)),
        "latent_kl_max": float(np.max(divergences)),
        "threshold": runtime.manifest.calibration.threshold,
        "alert_rate": float(alerts.mean()),
        "us_per_event": rows.us_per_event,
    }
    for who, quality in runtime.manifest.metrics.items():
        before = "" if who == "model" else f"{who}_"
        found[f"{before}auc_roc"] = quality.auc_roc
        found[f"{before}average_precision"] = quality.average_precision
        found[f"{before}card_precision_at_100"] = quality.card_precision_at_100
    return found
