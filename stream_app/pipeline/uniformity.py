"""Whether p-values mean what they say: of a stream that is what it was at the calibration, a tenth is at most 0.1.

They are counted by the hour for a day, since a night is stranger than a day, and a day says nothing until it is over.
"""

from collections import deque

import numpy as np

from schemas.rollout import P_VALUE_LEVELS, PValues
from schemas.scoring import ModelRef

HOURS = 24
SECONDS = 3600


class Uniformity:
    """Counts of one worker, for the model in service."""

    def __init__(self) -> None:
        self._model: ModelRef | None = None
        self._since = 0
        self._hours: deque[tuple[int, np.ndarray]] = deque()

    def add(self, at: float, model: ModelRef, p_values: np.ndarray) -> None:
        """Count a commit in.

        Args:
            at: Now, in seconds since the epoch.
            model: Whose p-values these are; with another model the counts begin anew.
            p_values: float64 [n].
        """
        hour = int(at // SECONDS)
        if model != self._model:
            self._model, self._since, self._hours = model, hour, deque()
        below = (p_values[:, None] <= np.array(P_VALUE_LEVELS)).sum(axis=0)
        counts = np.r_[len(p_values), below]
        if self._hours and self._hours[-1][0] == hour:
            counts = counts + self._hours.pop()[1]
        self._hours.append((hour, counts))
        while self._hours[0][0] <= hour - HOURS:
            self._hours.popleft()

    @property
    def of_a_day(self) -> PValues | None:
        """The last day; None until the model has served for one."""
        if not self._hours or self._hours[-1][0] - self._since < HOURS:
            return None
        events, *below = np.sum([counts for _, counts in self._hours], axis=0).tolist()
        return PValues(events, below)
