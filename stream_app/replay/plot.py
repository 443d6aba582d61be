"""A what-if as a picture: how the scores lie about the threshold, and what the alerts caught and cost."""

from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from models.pages.pictures import INK, MOVED, NOW, USUAL, logarithmic, save
from stream_app.replay.what_if import WhatIf

SIZE_IN = (11, 4.5)
BINS = 60


def draw(found: WhatIf, path: Path) -> None:
    """Write the picture of at least one scored event; its kind is the ending of the path.

    Raises:
        OSError: it cannot be written.
        ValueError: an ending that matplotlib does not know.
    """
    save(lambda figure: _draw(figure, found), SIZE_IN, path)


def _draw(figure: Figure, found: WhatIf) -> None:
    left, right = figure.subplots(1, 2, width_ratios=[3, 2])
    positive = np.maximum(found.scores, 1e-6)
    bins = np.geomspace(positive.min(), max(positive.max(), found.threshold) * 1.05, BINS)
    left.hist(positive, bins, color=USUAL, label=f"all {found.scores.size:,} events")
    if found.frauds:
        left.hist(positive[found.fraud == 1], bins, color=MOVED, label=f"{found.frauds:,} confirmed frauds")
    left.axvline(found.threshold, color=INK, label=f"threshold {found.threshold:.4g}")
    logarithmic(left, "x", "y")
    left.set(xlabel="score", ylabel="events", title="Scores")
    left.legend()

    names = ["alerts", "frauds caught", "false alarms"]
    then = [found.alerts_then, found.caught_then, found.false_then]
    now = [found.alerts_now, found.caught_now, found.false_now]
    places = np.arange(len(names))
    for offset, values, colour, label in ((-0.2, then, USUAL, "as decided"), (0.2, now, NOW, "replayed")):
        right.bar_label(right.bar(places + offset, values, 0.38, color=colour, label=label), fmt="{:,.0f}", padding=2)
    right.set_xticks(places, names)
    right.set(title=f"+{len(found.gained):,} gained, -{len(found.lost):,} lost", ylabel="events")
    right.margins(y=0.15)
    right.legend()
    figure.suptitle(f"{found.model}, {found.events:,} records")
