"""Plots of two latent spaces as SVG for their page. Needs the extra `report`."""

import numpy as np
from markupsafe import Markup
from matplotlib.figure import Figure

from models.gates.comparison import GateComparison
from models.latents.report import ENOUGH, LatentsReport, distances, through_the_map
from models.pages.pictures import MOVED, NOW, OTHER, USUAL, Draw, svg

SIZE_IN, WIDE_IN = (4.6, 3.2), (9.2, 3.2)
POINTS = 1500


def spaces(comparison: GateComparison) -> Markup:
    """The same events in the old space, in the new one as it is, and through the map."""
    return svg(lambda figure: _spaces(figure, comparison), WIDE_IN)


def plots(report: LatentsReport, comparison: GateComparison) -> list[tuple[str, Markup]]:
    """A caption and an SVG for each of the smaller plots."""
    drawn: list[tuple[str, Draw]] = [
        ("Share of the old space's variance that the new one gives; the mark is enough.", lambda f: _shares(f, report)),
        ("How far events moved, after the linear map.", lambda f: _distances(f, comparison)),
    ]
    return [(caption, svg(draw, SIZE_IN)) for caption, draw in drawn]


def _spaces(figure: Figure, comparison: GateComparison) -> None:
    legitimate = comparison.legitimate
    drawn = np.random.default_rng(0).choice(legitimate, min(POINTS, len(legitimate)), replace=False)
    frauds = np.flatnonzero(comparison.fraud)[:POINTS] if comparison.fraud is not None else legitimate[:0]
    old, new = comparison.champion.latent, comparison.candidate.latent
    centre = old[drawn].mean(axis=0)
    components = np.linalg.svd(old[drawn] - centre, full_matrices=False)[2][:2]
    colour = ((old[drawn] - centre) @ components[0]).argsort().argsort()
    shown = [("old", old), ("new, through the map", through_the_map(comparison))]
    if new.shape == old.shape:
        shown.insert(1, ("new, as it is", new))
    for axes, (title, space) in zip(figure.subplots(1, len(shown)), shown, strict=True):
        place = (space - centre) @ components.T
        axes.scatter(*_flat(place[drawn]), s=5, c=colour, cmap="viridis", rasterized=True, linewidths=0)
        axes.scatter(*_flat(place[frauds]), s=14, color=MOVED, marker="x", linewidths=0.8, rasterized=True)
        axes.set(title=title, xticks=[], yticks=[])


def _flat(place: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Two coordinates; the second is 0 for a single latent."""
    return place[:, 0], place[:, 1] if place.shape[1] > 1 else np.zeros(len(place))


def _shares(figure: Figure, report: LatentsReport) -> None:
    axes = figure.subplots()
    shares = {"as it is": report.as_it_is, "rotated": report.rotated, "linear map": report.linear}
    if report.stored is not None:
        shares["the map in\nits manifest"] = report.stored
    known = {name: share for name, share in shares.items() if share is not None}
    for place, share in enumerate(reversed(known.values())):
        axes.barh(place, max(share, 0.0), 0.5, color=NOW, alpha=0.5)
        axes.plot(ENOUGH, place, "|", color=MOVED, markersize=34, markeredgewidth=2)
    axes.set_yticks(range(len(known)), list(reversed(known)))
    axes.set(xlim=(0, 1), ylim=(-0.6, len(known) - 0.4), xlabel="share of the variance (1: all)")


def _distances(figure: Figure, comparison: GateComparison) -> None:
    axes = figure.subplots()
    legitimate = comparison.legitimate
    distance = distances(comparison, through_the_map(comparison))
    edges = np.linspace(0, float(np.quantile(distance, 0.999)) or 1.0, 41)
    groups = [(legitimate, USUAL, "legitimate")]
    if comparison.fraud is not None:
        groups.append((np.flatnonzero(comparison.fraud), OTHER, "fraud"))
    for rows, colour, label in groups:
        counts = np.histogram(distance[rows], edges)[0] / len(rows)
        axes.stairs(counts, edges, color=colour, fill=True, alpha=0.5, label=f"{label}: {len(rows):,}")
    axes.set(xlabel="spreads of the old space", ylabel="share of the events")
    axes.legend(fontsize=8)
