"""Figures as pictures, all in one style; SVG follows the reader's colour scheme. Needs the extra `report`."""

import io
import re
from collections.abc import Callable
from pathlib import Path

import matplotlib.style
from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogFormatter

STYLE = Path(__file__).with_name("picture.mplstyle")
PALETTE = Path(__file__).with_name("palette.css").read_text("utf-8")
COLOURS = dict(re.findall(r"(--\w+): (#\w{6})", PALETTE.partition("@media")[0]))
INK, SOFT, USUAL, MOVED, NOW, OTHER = (
    COLOURS[f"--{name}"] for name in ("ink", "soft", "usual", "moved", "now", "other")
)

Draw = Callable[[Figure], None]
Size = tuple[float, float]
"""Width and height in inches."""


def svg(draw: Draw, size: Size) -> Markup:
    """The picture for a page, whose style defines the colours. Matplotlib escapes the text in it."""
    text = io.StringIO()
    silent = dict.fromkeys(("Date", "Creator", "Format", "Type"))
    with matplotlib.style.context(STYLE):
        _drawn(draw, size).savefig(
            text, format="svg", transparent=True, bbox_inches="tight", pad_inches=0.04, metadata=silent
        )
    picture = text.getvalue()[text.getvalue().index("<svg") :]
    for variable, colour in COLOURS.items():
        picture = picture.replace(f": {colour}", f": var({variable})")
    return Markup(picture)  # noqa: S704 - matplotlib's own markup


def save(draw: Draw, size: Size, path: Path) -> None:
    """Write the picture, and its folder where that is missing; its kind is the ending of the path.

    Raises:
        OSError: it cannot be written.
        ValueError: an ending that matplotlib does not know.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".svg":
        path.write_text(standalone(svg(draw, size)), "utf-8")
        return
    with matplotlib.style.context(STYLE):
        _drawn(draw, size).savefig(path)


def standalone(picture: str) -> str:
    """A picture of a page as a file of its own, with the colours and the reader's font."""
    head, defs, rest = picture.partition("<defs>")
    style = f"<style>{PALETTE}text {{ font-family: system-ui, sans-serif !important; }}</style>"
    return f"{head}{style}{defs}{rest}"


def logarithmic(axes: Axes, *names: str) -> None:
    """Make the named axes, `x` or `y`, logarithmic, with tick labels that are no formulas."""
    for name in names:
        axes.set(**{f"{name}scale": "log"})
        axis = axes.xaxis if name == "x" else axes.yaxis
        axis.set_major_formatter(LogFormatter())
        axis.set_minor_formatter(LogFormatter(minor_thresholds=(1, 0.4)))


def _drawn(draw: Draw, size: Size) -> Figure:
    figure = Figure(figsize=size)
    draw(figure)
    return figure
