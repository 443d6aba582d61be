"""A what-if in, a picture out: how the scores lie about the threshold, and what the alerts caught and cost."""

from pathlib import Path

import numpy as np

from stream_app.replay.what_if import WhatIf

BINS = 60
BLUE, RED, GREY = "#2b6cb0", "#c53030", "#a0aec0"


def draw(found: WhatIf, path: Path) -> None:
    """Write the picture; its kind is the ending of the path.

    Args:
        found: At least one scored transaction.
        path: `.png`, `.svg` or whatever else matplotlib writes.

    Raises:
        ModuleNotFoundError: matplotlib is not installed.
        OSError: it cannot be written.
        ValueError: an ending that matplotlib does not know.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, 4.5), layout="constrained")
    left, right = figure.subplots(1, 2, width_ratios=[3, 2])
    positive = np.maximum(found.scores, 1e-6)
    bins = np.geomspace(positive.min(), max(positive.max(), found.threshold) * 1.05, BINS)
    left.hist(positive, bins, color=GREY, label=f"all {found.scores.size:,} transactions")
    if found.frauds:
        left.hist(positive[found.fraud == 1], bins, color=RED, label=f"{found.frauds:,} confirmed frauds")
    left.axvline(found.threshold, color=BLUE, label=f"threshold {found.threshold:.4g}")
    left.set(xscale="log", yscale="log", xlabel="score", ylabel="transactions", title="Scores")
    left.legend(frameon=False)

    names = ["alerts", "frauds caught", "false alarms"]
    then = [found.alerts_then, found.caught_then, found.false_then]
    now = [found.alerts_now, found.caught_now, found.false_now]
    places = np.arange(len(names))
    for offset, values, colour, label in ((-0.2, then, GREY, "as decided"), (0.2, now, BLUE, "replayed")):
        right.bar_label(right.bar(places + offset, values, 0.38, color=colour, label=label), fmt="{:,.0f}", padding=2)
    right.set_xticks(places, names)
    right.set(title=f"+{len(found.gained):,} gained, -{len(found.lost):,} lost", ylabel="transactions")
    right.margins(y=0.15)
    right.legend(frameon=False)
    for axes in (left, right):
        axes.spines[["top", "right"]].set_visible(False)
    figure.suptitle(f"{found.model.name} {found.model.version} ({found.model.sha256[:12]}), {found.events:,} records")
    figure.savefig(path, dpi=130)
