"""What the windows of a worker hold, and what came late, as metrics."""

from collections.abc import Iterable

from stream_app.metrics import Metrics
from stream_app.pipeline.cuts import Whose
from stream_app.pipeline.enrich import Windows


class WindowFigures:
    """Figures of committed states; counters go on where a state is dropped and built anew."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        self._counted: dict[Whose, tuple[int, ...]] = {}

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
        self._metrics.window_entities.set(sum(figures.entities for figures in found.values()))
        self._metrics.window_bytes.set(sum(figures.bytes for figures in found.values()))
        self._metrics.window_checkpoint_age.set(age_s)
        counters = self._metrics.window_forgotten, self._metrics.window_late, self._metrics.window_lost
        for whose, figures in found.items():
            counts = figures.forgotten, figures.late, figures.lost
            before = self._counted.get(whose, (0,) * len(counts))
            for counter, now, then in zip(counters, counts, before, strict=True):
                counter.inc(max(now - then, 0))
            self._counted[whose] = counts
        self._counted = {whose: self._counted[whose] for whose in found}
