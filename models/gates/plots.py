"""Plots of a comparison as SVG for its page. Needs the extra `report`."""

from typing import Any

import numpy as np
import polars as pl
from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from models.alignment import rotation
from models.gates import accuracy, shift, stability
from models.gates.comparison import GateComparison, Side
from models.gates.report import GateReport, Measure
from models.pages.pictures import MOVED, NOW, OTHER, SOFT, USUAL, Draw, logarithmic, svg
from models.protocol import DAY

CANDIDATE, CHAMPION, LIMIT = NOW, OTHER, MOVED
SIZE_IN = (4.6, 3.2)
POINTS = 1500
SMALLEST_P_VALUE = 1e-6


def plots(report: GateReport, comparison: GateComparison) -> list[tuple[str, Markup]]:
    """A caption and an SVG for each plot."""
    drawn: list[tuple[str, Draw]] = [
        ("Alerts on each day, each model at its own threshold.", lambda f: _volume(f, comparison)),
        (
            "Every event that either alerts on, by both p-values: what only one of them alerts on lies in the "
            "upper left (gained) or lower right (lost).",
            lambda f: _agreement(f, comparison),
        ),
        (
            "Legitimate events in the two latent spaces, on the champion's first two principal components; the "
            "candidate's space is turned onto it as well as a rotation can. Colour is the place along the first.",
            lambda f: _latents(f, comparison),
        ),
        ("How much of that geometry is kept; the marks are the limits.", lambda f: _stability(f, report)),
        ("Share of the events in each range of p-values.", lambda f: _shift(f, comparison)),
    ]
    if comparison.fraud is not None:
        caption = "What the candidate loses, with its interval; all of it must lie left of the mark."
        drawn.insert(0, (caption, lambda f: _accuracy(f, report)))
    return [(caption, svg(draw, SIZE_IN)) for caption, draw in drawn]


def _accuracy(figure: Figure, report: GateReport) -> None:
    axes = figure.subplots()
    measures = [m for m in _measures(report, accuracy.NAME) if m.interval]
    for place, m in enumerate(reversed(measures)):
        axes.plot(m.interval or (), (place, place), color=CANDIDATE, linewidth=3, solid_capstyle="round")
        axes.plot(m.value or 0.0, place, "o", color=CANDIDATE)
        axes.plot(m.most or 0.0, place, "|", color=LIMIT, markersize=22, markeredgewidth=2)
    axes.axvline(0, color=SOFT, linewidth=0.8)
    axes.set_yticks(range(len(measures)), [m.name.removeprefix("loss of ").replace(" ", "\n") for m in measures[::-1]])
    axes.set(xlabel="loss against the champion", ylim=(-0.6, len(measures) - 0.4))


def _volume(figure: Figure, comparison: GateComparison) -> None:
    axes = figure.subplots()
    daily = (
        comparison.frame.select(DAY.alias("day"))
        .with_columns(candidate=pl.Series(comparison.candidate.alerts), champion=pl.Series(comparison.champion.alerts))
        .group_by("day")
        .agg(pl.col("candidate", "champion").sum())
        .sort("day")
    )
    place = np.arange(daily.height)
    axes.bar(place - 0.2, daily["champion"], 0.4, color=CHAMPION, label="champion")
    axes.bar(place + 0.2, daily["candidate"], 0.4, color=CANDIDATE, label="candidate")
    every = max(1, -(-daily.height // 7))
    axes.set_xticks(place[::every], [f"{day:%d %b}" for day in daily["day"]][::every])
    axes.set_ylabel("alerts a day")
    _legend(axes)


def _agreement(figure: Figure, comparison: GateComparison) -> None:
    axes = figure.subplots()
    candidate, champion = comparison.candidate, comparison.champion
    either = candidate.alerts | champion.alerts
    for kept, colour, label in (
        (candidate.alerts & champion.alerts, USUAL, "both"),
        (candidate.alerts & ~champion.alerts, CANDIDATE, "candidate alone"),
        (champion.alerts & ~candidate.alerts, CHAMPION, "champion alone"),
    ):
        if kept.any():
            x, y = (np.maximum(side.p_values[kept], SMALLEST_P_VALUE) for side in (champion, candidate))
            count = f"{label}: {int(kept.sum()):,}"
            axes.scatter(1 / x, 1 / y, s=9, color=colour, label=count, rasterized=True, linewidths=0)
    if either.any():
        logarithmic(axes, "x", "y")
    axes.set(xlabel="1 in so many, by the champion", ylabel="1 in so many, by the candidate")
    _legend(axes)


def _latents(figure: Figure, comparison: GateComparison) -> None:
    rng = np.random.default_rng(0)
    legitimate = comparison.legitimate
    drawn = rng.choice(legitimate, min(POINTS, len(legitimate)), replace=False)
    panels = figure.subplots(1, 2)
    theirs, ours = (_unit(side, drawn) for side in (comparison.champion, comparison.candidate))
    components = np.linalg.svd(theirs, full_matrices=False)[2][:2]
    colour = (theirs @ components[0]).argsort().argsort()
    turned = ours @ rotation(ours, theirs)
    for axes, latent, title in zip(panels, (theirs, turned), ("champion", "candidate"), strict=True):
        axes.scatter(*_flat(latent @ components.T), s=5, c=colour, cmap="viridis", rasterized=True, linewidths=0)
        axes.set(title=title, xticks=[], yticks=[])


def _unit(side: Side, rows: np.ndarray) -> np.ndarray:
    """Latents centred and of unit size."""
    centred = side.latent[rows] - side.latent[rows].mean(axis=0)
    return np.asarray(centred / max(np.linalg.norm(centred), 1e-12))


def _flat(place: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Two coordinates; the second is 0 for a single latent."""
    return place[:, 0], place[:, 1] if place.shape[1] > 1 else np.zeros(len(place))


def _measures(report: GateReport, name: str) -> list[Measure]:
    return [measure for gate in report.gates if gate.name == name for measure in gate.measures]


def _stability(figure: Figure, report: GateReport) -> None:
    axes = figure.subplots()
    measures = _measures(report, stability.NAME)
    for place, m in enumerate(reversed(measures)):
        axes.barh(place, m.value or 0.0, 0.5, color=CANDIDATE, alpha=0.5)
        axes.plot(m.least or 0.0, place, "|", color=LIMIT, markersize=34, markeredgewidth=2)
    axes.set_yticks(range(len(measures)), [m.name.replace(" of ", "\nof ") for m in measures[::-1]])
    axes.set(xlim=(0, 1), ylim=(-0.6, len(measures) - 0.4), xlabel="kept of the champion's (1: all)")


def _shift(figure: Figure, comparison: GateComparison) -> None:
    axes = figure.subplots()
    edges = np.concatenate([[0.0], shift.EDGES, [1.0]])
    place = np.arange(len(edges) - 1)
    sides: list[tuple[Side, str, str, Any]] = [
        (comparison.champion, CHAMPION, "champion", -0.2),
        (comparison.candidate, CANDIDATE, "candidate", 0.2),
    ]
    for side, colour, label, offset in sides:
        counts, _ = np.histogram(side.p_values, edges)
        axes.bar(place + offset, counts / counts.sum(), 0.4, color=colour, label=label)
    logarithmic(axes, "y")
    axes.set_xticks(place[::3], [f"{edge:g}" for edge in edges[1:]][::3])
    axes.set(xlabel="p-value up to", ylabel="share of the events")
    _legend(axes)


def _legend(axes: Axes) -> None:
    if axes.get_legend_handles_labels()[0]:
        axes.legend(fontsize=8)
