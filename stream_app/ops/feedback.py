"""Labels meet the anomalies they belong to, in either order: the precision of the recent anomalies, in bounded memory.

Not a measure of recall: what was never an anomaly and turned out to be fraud is not counted here.
"""

from schemas.scoring import Label

CAPACITY = 50_000


class Feedback:
    """The last anomalies with what became of them.

    Labels come days late, or (in a replay) before the anomaly is committed: those wait, the oldest making room. A label
    that is sent again replaces the one before: case tools correct themselves.

    Args:
        capacity: Anomalies remembered, and labels that wait.
    """

    def __init__(self, capacity: int = CAPACITY) -> None:
        self._capacity = capacity
        self._verdicts: dict[str, bool | None] = {}
        self._early: dict[str, bool] = {}
        self.labelled = 0
        self.frauds = 0

    @property
    def precision(self) -> float | None:
        """Share of frauds among the remembered anomalies whose label is known; None while none is."""
        return self.frauds / self.labelled if self.labelled else None

    def anomaly(self, event_id: str) -> None:
        """Remember an anomaly; one that is known already keeps its verdict."""
        if event_id in self._verdicts:
            return
        self._verdicts[event_id] = None
        self._settle(event_id, self._early.pop(event_id, None))
        if len(self._verdicts) > self._capacity:
            oldest = next(iter(self._verdicts))
            self._settle(oldest, None)
            del self._verdicts[oldest]

    def label(self, label: Label) -> None:
        """Settle the anomaly that this label belongs to, or let the label wait for it."""
        if label.event_id in self._verdicts:
            self._settle(label.event_id, label.fraud)
            return
        self._early.pop(label.event_id, None)
        self._early[label.event_id] = label.fraud
        if len(self._early) > self._capacity:
            del self._early[next(iter(self._early))]

    def verdict(self, event_id: str) -> bool | None:
        """True: confirmed fraud. False: confirmed legitimate. None: not known, or forgotten."""
        return self._verdicts.get(event_id)

    def _settle(self, event_id: str, fraud: bool | None) -> None:
        before = self._verdicts[event_id]
        self._verdicts[event_id] = fraud
        self.labelled += (fraud is not None) - (before is not None)
        self.frauds += (fraud is True) - (before is True)
