"""Plots of a training's held-out rows as PNG files. Needs matplotlib, which comes with MLflow."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from sklearn.metrics import precision_recall_curve, roc_curve

from models.manifest import Calibration
from models.pages.pictures import INK, MOVED, SOFT, USUAL, logarithmic, save
from models.registry.facts import HeldOut

SIZE_IN = (5.6, 4.0)
POINTS = 3000
BINS = 60
LEGITIMATE, FRAUD = USUAL, MOVED


def draw(rows: HeldOut, calibration: Calibration, folder: Path) -> list[Path]:
    """Write every plot that these rows allow: ROC and precision-recall need both frauds and legitimate transactions.

    The folder must be there.
    """
    labelled = "fraud" in rows.frame.columns
    fraud = rows.frame["fraud"].to_numpy() if labelled else np.zeros(rows.frame.height, dtype=bool)
    score = rows.scored.score
    drawn: dict[str, Callable[[Axes], None]] = {
        "score_distribution": lambda axes: _scores(axes, score, fraud, calibration.threshold),
        "latent_projection": lambda axes: _latents(axes, rows.scored.latent, fraud),
        "calibration": lambda axes: _calibration(axes, rows.p_values),
    }
    if fraud.any() and not fraud.all():
        drawn["roc"] = lambda axes: _roc(axes, score, fraud)
        drawn["precision_recall"] = lambda axes: _precision_recall(axes, score, fraud)
    return [_save(folder / f"{name}.png", plot) for name, plot in drawn.items()]


def _save(path: Path, plot: Callable[[Axes], None]) -> Path:
    save(lambda figure: plot(figure.subplots()), SIZE_IN, path)
    return path


def _scores(axes: Axes, score: np.ndarray, fraud: np.ndarray, threshold: float) -> None:
    floor = max(float(score.min()), 1e-6)
    edges = np.geomspace(floor, max(float(score.max()), floor * 10), BINS)
    for kept, colour, label in ((~fraud, LEGITIMATE, "legitimate"), (fraud, FRAUD, "fraud")):
        axes.hist(
            np.maximum(score[kept], floor), edges.tolist(), color=colour, alpha=0.6, label=f"{label}: {kept.sum():,}"
        )
    axes.axvline(threshold, color=INK, linewidth=1, label=f"threshold {threshold:.3g}")
    logarithmic(axes, "x", "y")
    axes.set(xlabel="score", ylabel="transactions", title="Scores of the held-out rows")
    axes.legend()


def _latents(axes: Axes, latent: np.ndarray, fraud: np.ndarray) -> None:
    """Onto the first two principal components; with one latent, along a line."""
    centred = latent - latent.mean(axis=0)
    components = np.linalg.svd(centred, full_matrices=False)[2][:2]
    rng = np.random.default_rng(0)
    for kept, colour, label in ((~fraud, LEGITIMATE, "legitimate"), (fraud, FRAUD, "fraud")):
        place = centred[kept] @ components.T
        place = place[rng.permutation(len(place))[:POINTS]]
        across = place[:, 1] if place.shape[1] > 1 else np.zeros(len(place))
        axes.scatter(place[:, 0], across, s=5, color=colour, alpha=0.5, linewidths=0, label=f"{label}: {len(place):,}")
    axes.set(xlabel="first component", ylabel="second component", title="Latents of the held-out rows")
    axes.legend()


def _calibration(axes: Axes, p_values: np.ndarray) -> None:
    """Of a p-value p, a share of p of the rows should be at or below it."""
    ascending = np.sort(p_values)
    axes.plot(ascending, np.arange(1, len(ascending) + 1) / len(ascending), color=LEGITIMATE)
    ends = (ascending[0], 1.0)
    axes.plot(ends, ends, color=SOFT, linewidth=0.8)
    logarithmic(axes, "x", "y")
    axes.set(xlabel="p-value", ylabel="share of rows at or below", title="Calibration")


def _roc(axes: Axes, score: np.ndarray, fraud: np.ndarray) -> None:
    false_alarms, found, _ = roc_curve(fraud, score)
    axes.plot(false_alarms, found, color=FRAUD)
    axes.plot((0, 1), (0, 1), color=SOFT, linewidth=0.8)
    axes.set(xlabel="share of legitimate transactions", ylabel="share of frauds", title="ROC")


def _precision_recall(axes: Axes, score: np.ndarray, fraud: np.ndarray) -> None:
    precision, recall, _ = precision_recall_curve(fraud, score)
    axes.plot(recall, precision, color=FRAUD)
    axes.axhline(fraud.mean(), color=SOFT, linewidth=0.8)
    axes.set(xlabel="recall", ylabel="precision", title="Precision and recall", ylim=(0, 1.02))
