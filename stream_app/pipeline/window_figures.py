"""What the windows of a worker hold, and what came late, as metrics."""

from collections import Counter
from collections.abc import Iterable
from typing import TYPE_CHECKING

from stream_app.metrics import Metrics
from stream_app.pipeline.cuts import Whose
from stream_app.pipeline.enrich import Windows

if TYPE_CHECKING:
    from models.windows.entities import HeldFigures
    from stream_app.pipeline.other_entities import OtherEntities

OTHERS = -1  # in the place of a partition
INCOMPLETE = "incomplete"


class WindowFigures:
    """Figures of committed states; counters do not count what is counted again from the log."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        self._counted: dict[Whose, tuple[int, int, int]] = {}
        self._of_others: dict[bytes, Counter[str]] = {}

    def begin(self, windows: Windows, partition: int) -> None:
        """The state of a partition has been built."""
        self._counted[windows.fingerprint, partition] = _counts(windows.states[partition].figures)

    def observe(self, used: Iterable[Windows], age_s: float) -> None:
        """After a commit.

        Args:
            used: The windows in use.
            age_s: Of the oldest checkpoint.
        """
        found = {
            (windows.fingerprint, partition): state.figures
            for windows in used
            for partition, state in windows.states.items()
        }
        unknown = 0
        for windows in used:
            if windows.others is not None:
                labels = windows.others.labels
                unknown += 0 if labels is None else labels.unknown
                found[windows.fingerprint, OTHERS] = windows.others.figures
                self._observe_others(windows.fingerprint, windows.others)
        self._metrics.window_labels_unknown.set(unknown)
        self._metrics.window_entities.set(sum(figures.entities for figures in found.values()))
        self._metrics.window_bytes.set(sum(figures.bytes for figures in found.values()))
        self._metrics.window_checkpoint_age.set(age_s)
        counters = self._metrics.window_forgotten, self._metrics.window_late, self._metrics.window_lost
        for whose, figures in found.items():
            counts = _counts(figures)
            for counter, now, then in zip(counters, counts, self._counted.get(whose, counts), strict=True):
                counter.inc(now - then)
            self._counted[whose] = counts
        self._counted = {whose: self._counted[whose] for whose in found}

    def _observe_others(self, fingerprint: bytes, others: "OtherEntities") -> None:
        labels = Counter[str]() if others.labels is None else others.labels.left_out
        now = Counter({INCOMPLETE: others.incomplete, **labels})
        for what, count in (now - self._of_others.get(fingerprint, labels)).items():
            if what == INCOMPLETE:
                self._metrics.window_incomplete.inc(count)
            else:
                self._metrics.window_labels_left_out[what].inc(count)
        self._of_others[fingerprint] = now


def _counts(figures: "HeldFigures") -> tuple[int, int, int]:
    return figures.forgotten, figures.late, figures.lost
