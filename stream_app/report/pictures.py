"""The pictures of a report as SVG.

Each picture is drawn twice where it is wide, for a desk and for a telephone: scaled down, its text could not be read.
"""

from collections.abc import Sequence
from datetime import datetime
from math import isnan

from markupsafe import Markup
from matplotlib import dates
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from models.pages.pictures import INK, MOVED, NOW, SOFT, USUAL, svg
from stream_app.report.view import Distribution, Trace, View

WIDE, NARROW = 9.6, 4.4  # inches
ROW = 0.86
FAR = 0.5  # reference sd: a smaller scale would make noise look like drift


def signals(view: View, change: datetime | None, raised: datetime | None, width: float = WIDE) -> Markup:
    """Every trace as a row over one axis of time, with the moments of change and alert through all of them.

    Args:
        view: At least one block.
        change: Where the detectors place it; None: there is none.
        raised: When the alert was raised.
        width: In inches.
    """
    count = len(view.traces)

    def draw(figure: Figure) -> None:
        figure.set_layout_engine("none")
        places = {"left": 0.42 / width, "right": 1 - 0.1 / width, "hspace": 0.75, "top": 0.86, "bottom": 0.08}
        rows = figure.subplots(count, 1, sharex=True, squeeze=False, gridspec_kw=places)[:, 0]
        for axes, trace in zip(rows, view.traces, strict=True):
            _row(axes, view.times, trace, change)
        _mark(list(rows), change, raised)
        locator = dates.AutoDateLocator(minticks=2, maxticks=max(round(width), 6))  # type: ignore[no-untyped-call]
        rows[-1].xaxis.set_major_locator(locator)
        rows[-1].xaxis.set_major_formatter(dates.ConciseDateFormatter(locator))  # type: ignore[no-untyped-call]

    return svg(draw, (width, ROW * count + 0.7))


def distribution(drawn: Distribution, width: float = 3.4) -> Markup:
    """Reference and now, bin by bin: the bins hold about equal shares of the reference, so every step is a change."""
    places = range(len(drawn.reference))

    def draw(figure: Figure) -> None:
        axes = figure.subplots()
        axes.bar(places, drawn.reference, width=1.0, color=USUAL, alpha=0.35, linewidth=0)
        axes.bar(places, drawn.current, width=0.62, color=NOW, linewidth=0)
        axes.spines["left"].set_visible(False)
        axes.tick_params(length=0)
        axes.yaxis.set_major_formatter(lambda share, _: f"{share:.0%}")
        axes.locator_params(axis="y", nbins=3)
        shown = range(0, len(drawn.edges), max(-(-len(drawn.edges) // 5), 1))
        axes.set_xticks([i + 0.5 for i in shown], [f"{drawn.edges[i]:.2g}" for i in shown])
        axes.set_xlim(-0.6, len(places) - 0.4)

    return svg(draw, (width, 1.75))


def _row(axes: Axes, times: Sequence[datetime], trace: Trace, change: datetime | None) -> None:
    moved = [change is not None and time >= change for time in times]
    shares = trace.unit.startswith("share")
    places = dates.date2num(times)  # type: ignore[no-untyped-call]
    axes.axhline(trace.usual, color=USUAL, linewidth=0.8, dashes=(1, 2))
    first = moved.index(True) if any(moved) else len(moved)
    for part, colour in ((slice(0, first + 1), USUAL), (slice(first, None), MOVED)):
        axes.plot(places[part], trace.values[part], color=colour, linewidth=1.5, solid_joinstyle="round")
        axes.fill_between(places[part], trace.values[part], trace.usual, color=colour, alpha=0.16, linewidth=0)
    _scale(axes, trace, shares)
    axes.tick_params(length=0)
    axes.spines["left"].set_visible(False)
    axes.text(0, 1.1, trace.title, transform=axes.transAxes, fontweight="bold")
    axes.text(1, 1.1, trace.note, transform=axes.transAxes, ha="right", color=MOVED if any(moved) else SOFT)


def _scale(axes: Axes, trace: Trace, shares: bool) -> None:
    """Set limits so that the usual level is in sight and noise does not fill the row."""
    values = [value for value in trace.values if not isnan(value)]
    low, high = min([trace.usual, *values]), max([trace.usual, *values])
    least = 0.02 if shares else FAR
    room = max(least - (high - low), 0.0) / 2
    low, high = (max(low - room, 0.0), high + room) if shares else (low - room, high + room)
    margin = (high - low) * 0.06
    axes.set_ylim(low - margin, high + margin)
    axes.yaxis.set_major_formatter(lambda value, _: f"{value:.0%}" if shares else f"{value:g}")
    axes.locator_params(axis="y", nbins=3)


def _mark(rows: Sequence[Axes], change: datetime | None, raised: datetime | None) -> None:
    for at, name, dash in ((change, "change", (4, 0)), (raised, "alert", (3, 2))):
        if at is None:
            continue
        place = dates.date2num(at)  # type: ignore[no-untyped-call]
        left, right = rows[0].get_xlim()
        if not left <= place <= right:
            continue
        for axes in rows:
            axes.axvline(place, color=INK, linewidth=0.9, dashes=dash if dash[1] else (None, None), ymax=1.0)
        side = "right" if name == "change" else "left"
        rows[0].annotate(
            f"{name} {at:%d %b %H:%M}",
            (place, 1.0),
            (-4 if side == "right" else 4, 20),
            xycoords=("data", "axes fraction"),
            textcoords="offset points",
            ha=side,
            color=INK,
        )
