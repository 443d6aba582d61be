"""Findings in, incidents out: one for a cause, however many signals show it, and for as long as it lasts.

collecting    opened by a finding; what else is found meanwhile is a symptom of the same cause
raised        once; its signals are silent, and for a while late symptoms still join
over          every one of its signals is back at the reference, and has stayed there
"""

from collections.abc import Iterable

import numpy as np

COLLECT_BLOCKS = 6
LATE_BLOCKS = 32
OVER_BLOCKS = 4


class Incident:
    """One thing that happened.

    Args:
        offset: Of the summary that completed the block it was found in: its identity.
        block: Number of that block.

    Attributes:
        offset: As given.
        members: Columns of the statistics that belong to it.
        raised: It has been raised.
    """

    def __init__(self, offset: int, block: int) -> None:
        self.offset = offset
        self.members: set[int] = set()
        self.raised = False
        self._opened = block
        self._calm = 0

    def takes(self, finding: int, block: int) -> bool:
        """Whether a finding of this block is a symptom of this incident, whatever it is."""
        return finding in self.members or block - self._opened <= LATE_BLOCKS

    def is_due(self, block: int) -> bool:
        """Whether all symptoms that were waited for have had their time."""
        return not self.raised and block - self._opened >= COLLECT_BLOCKS

    def is_over(self, away: np.ndarray) -> bool:
        """Whether it has ended with this block; to be asked once a block.

        Args:
            away: bool [statistics], which are away from their reference now.
        """
        self._calm = 0 if away[list(self.members)].any() else self._calm + 1
        return self._calm >= OVER_BLOCKS


class Incidents:
    """Those of one model that are not over.

    Args:
        symptoms: Columns of statistics that are no news while an incident lasts: residuals, since a network that is fed
            a broken field reconstructs the others worse too.
    """

    def __init__(self, symptoms: frozenset[int]) -> None:
        self._symptoms = symptoms
        self._current: list[Incident] = []

    def update(self, findings: Iterable[int], away: np.ndarray, block: int, offset: int) -> list[Incident]:
        """Take the findings of a block.

        Args:
            findings: Columns of the statistics that were found to have left their reference.
            away: bool [statistics], which are away from it now.
            block: Number of the block.
            offset: Of the summary that completed it.

        Returns:
            The incidents that are due: to be raised, or to be asked for again with the next block.
        """
        self._current = [incident for incident in self._current if not incident.is_over(away)]
        for finding in findings:
            self._place(finding, block, offset)
        due = [incident for incident in self._current if incident.is_due(block)]
        for incident in due:
            others = {member for other in self._current if other is not incident for member in other.members}
            # Symptoms too slow to be a change of their own
            incident.members |= set(np.flatnonzero(away).tolist()) - others
        return due

    def _place(self, finding: int, block: int, offset: int) -> None:
        for incident in self._current:
            if finding in self._symptoms or incident.takes(finding, block):
                incident.members.add(finding)
                return
        incident = Incident(offset, block)
        incident.members.add(finding)
        self._current.append(incident)
