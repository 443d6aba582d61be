"""Figures for the README and the docs, as SVG that reads on a light and on a dark page."""

from collections.abc import Mapping, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from models.pages.pictures import INK, NOW, OTHER, USUAL, save

OURS, PEER, BARE = NOW, USUAL, OTHER
FLAMES = ("#f2a65a", "#eebb4d", "#e58f65", "#f0c987", "#dba159", "#e9a178")
NARROWEST = 0.003  # of the whole
CHARACTERS, SHORTEST = 112, 4  # of a label across the whole width; of one that still says something


def throughput(rows: Sequence[tuple[str, dict[str, float], str]], path: Path) -> None:
    """Bars of events/s with their spread.

    Args:
        rows: Title, `median`, `min` and `max`, colour; the first is on top.
        path: Where to.
    """

    def draw(figure: Figure) -> None:
        axes = figure.subplots()
        places = range(len(rows))[::-1]
        middles = [rate["median"] for _, rate, _ in rows]
        low = [rate["median"] - rate["min"] for _, rate, _ in rows]
        high = [rate["max"] - rate["median"] for _, rate, _ in rows]
        axes.barh(places, middles, color=[colour for *_, colour in rows], height=0.62)
        axes.errorbar(middles, places, xerr=(low, high), fmt="none", ecolor=INK, elinewidth=1, capsize=3)
        for place, (_, rate, _) in zip(places, rows, strict=True):
            axes.annotate(
                f"{rate['median']:,.0f}", (rate["max"], place), (8, 0), textcoords="offset points", va="center"
            )
        axes.set_yticks(places, [title for title, *_ in rows])
        axes.tick_params(axis="y", length=0)
        axes.set_xlabel("events per second: median, least and most of the rounds")
        axes.xaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
        axes.margins(x=0.12)

    save(draw, (7.2, 0.4 * len(rows) + 0.8), path)


def latency(report: dict[str, Any], path: Path) -> None:
    """Percentile curves: one panel for each rate, one curve for each way to commit."""
    rates = list(report["rates"])

    def draw(figure: Figure) -> None:
        panels = figure.subplots(1, len(rates), sharey=True, squeeze=False)[0]
        for axes, rate in zip(panels, rates, strict=True):
            _curves(axes, rate, [cell for cell in report["cells"] if cell["rate"] == rate])
        panels[0].set_ylabel("milliseconds, send to read committed")
        handles, labels = panels[0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside upper center", ncols=len(labels))

    save(draw, (2.7 * len(rates), 3.0), path)


def _curves(axes: Axes, rate: int, cells: Sequence[dict[str, Any]]) -> None:
    points = ("p50", "p95", "p99", "p999")
    for cell in cells:
        axes.plot(range(len(points)), [cell[point] for point in points], marker="o", label=cell["title"])
    axes.set_title(f"{rate:,}/s")
    axes.set_yscale("log")
    axes.yaxis.set_major_formatter(lambda value, _: f"{value:g}")
    axes.set_xticks(range(len(points)), ["P50", "P95", "P99", "P99.9"])
    axes.grid(axis="y", which="both")


def delays(kinds: Mapping[str, Sequence[int]], path: Path) -> None:
    """A row of dots for each kind of drift: transactions until it was found, from each start."""

    def draw(figure: Figure) -> None:
        axes = figure.subplots()
        places = list(range(len(kinds)))[::-1]
        for place, found in zip(places, kinds.values(), strict=True):
            axes.scatter(found, [place] * len(found), s=28, color=OURS, alpha=0.45, linewidths=0)
        axes.set_yticks(places, list(kinds))
        axes.tick_params(axis="y", length=0)
        axes.set_xscale("log")
        axes.xaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
        axes.set_xlabel("transactions from the beginning of the drift to the alert, one dot for each start")
        axes.grid(axis="x")

    save(draw, (7.2, 0.26 * len(kinds) + 0.8), path)


def cost(axes: dict[str, list[dict[str, Any]]], path: Path) -> None:
    """One panel for each axis that was measured: events/s against what was varied."""
    varied = {name: rows for name, rows in axes.items() if name not in {"startup", "backlog"}}
    panels_needed = len(varied) + ("backlog" in axes)

    def draw(figure: Figure) -> None:
        places = iter(figure.subplots(2, -(-panels_needed // 2), squeeze=False).flat)
        for rows in varied.values():
            _varied(next(places), rows)
        if "backlog" in axes:
            _backlog(next(places), [row for row in axes["backlog"] if row["axis"] == "backlog"])
        for unused in places:
            unused.set_axis_off()

    save(draw, (8.1, 4.8), path)


def flame(stacks: Mapping[tuple[str, ...], int], path: Path) -> None:
    """A flame graph: width is time, what is called stands on what calls it; narrow frames are left out."""
    total, highest = sum(stacks.values()), 10

    def draw(figure: Figure) -> None:
        axes = figure.subplots()
        spans: list[tuple[int, float, float, str]] = []
        _spans(sorted(stacks.items()), 0, 0.0, total, spans)
        for depth, left, width, frame in spans:
            name, _, place = frame.partition(" (")
            module = place.partition(".py")[0].rpartition("/")[2]
            shade = FLAMES[sum(map(ord, module)) % len(FLAMES)]
            axes.barh(depth, width, left=left, height=0.94, color=shade, edgecolor="white", linewidth=0.4)
            fits = int(width * CHARACTERS)
            label = f"{module}: {name}" if len(module) + len(name) + 2 <= fits else name
            if fits >= SHORTEST:
                text = label if len(label) <= fits else f"{label[: fits - 1]}…"
                axes.text(left + width / 2, depth, text, ha="center", va="center", fontsize=8, color="#1f2328")
        axes.set_xlim(0, 1)
        axes.set_ylim(-0.6, min(max(depth for depth, *_ in spans), highest) + 0.6)
        axes.set_axis_off()

    save(draw, (10, 3.6), path)


def _spans(
    stacks: Sequence[tuple[tuple[str, ...], int]], depth: int, left: float, total: int, spans: list[Any]
) -> None:
    """Adds depth, left end, width and frame of each frame at this depth, and of those above it."""
    for frame, group in groupby((entry for entry in stacks if len(entry[0]) > depth), key=lambda e: e[0][depth]):
        members = list(group)
        width = sum(count for _, count in members) / total
        if width >= NARROWEST:
            spans.append((depth, left, width, frame))
            _spans(members, depth + 1, left, total, spans)
        left += width


def _varied(axes: Axes, rows: Sequence[dict[str, Any]]) -> None:
    rates = [row["events_per_second"] for row in rows]
    middles = [rate["median"] for rate in rates]
    spread = ([r["median"] - r["min"] for r in rates], [r["max"] - r["median"] for r in rates])
    axes.errorbar(range(len(rows)), middles, yerr=spread, marker="o", color=OURS, capsize=3)
    axes.set_xticks(range(len(rows)), [f"{row['value']:,}" for row in rows])
    axes.set_title(f"events/s by {rows[0]['axis']}")
    axes.yaxis.set_major_formatter(lambda value, _: f"{value / 1000:,.0f}k")
    axes.set_ylim(bottom=0)
    axes.grid(axis="y")


def _backlog(axes: Axes, rows: Sequence[dict[str, Any]]) -> None:
    millions = [row["value"] / 1e6 for row in rows]
    axes.plot(millions, [row["rate"] for row in rows], marker="o", color=OURS)
    axes.set_title("a backlog: events/s, and MB resident (dashed)")
    axes.yaxis.set_major_formatter(lambda value, _: f"{value / 1000:,.0f}k")
    axes.set_xlabel("million events done")
    axes.set_ylim(bottom=0)
    axes.grid(axis="y")
    memory = axes.twinx()
    memory.plot(millions, [row["mb"] for row in rows], linestyle="--", color=PEER)
    memory.set_ylim(bottom=0)
    memory.spines["right"].set_visible(True)
