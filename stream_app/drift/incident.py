"""Groups findings into incidents: one for each cause, however many signals show it, for as long as it lasts.

raised        with the first finding, at once
confirmed     once enough events have come since to name the cause
over          all of its statistics are back at the reference, and have stayed there
"""

from collections.abc import Mapping, Sequence

import numpy as np

from schemas.drift import DriftAlert, DriftPhase
from stream_app.drift.detectors import blocks_of

CONFIRM_EVENTS = 2048
LATE_EVENTS = 4096
OVER_EVENTS = 1024


class Incident:
    """One change of the stream.

    Args:
        offset: Of the summary that completed the block it was found in: its identity.
        opened: Number of that block.
        begins: Number of the block in which it began.

    Attributes:
        members: Columns of the statistics that belong to it.
        moved: Columns that have moved since it began, at the last alert.
        confirmed: Whether it has been confirmed.
        calm: For how many blocks every member has been back at the reference.
        last_alert: The last alert raised.
    """

    def __init__(self, offset: int, opened: int, begins: int) -> None:
        self.offset = offset
        self.opened = opened
        self.begins = begins
        self.members: set[int] = set()
        self.moved: set[int] = set()
        self.confirmed = False
        self.calm = 0
        self.last_alert: DriftAlert | None = None


class Incidents:
    """The open incidents of one model.

    Args:
        is_primary: bool [statistics]. While an incident lasts, findings of the others are part of it: a network that is
            fed a broken field reconstructs other fields worse too.
        correlated: bool [statistics, statistics], statistics of inputs that move together in the reference too.
        block_events: Events in a block.
    """

    def __init__(self, is_primary: np.ndarray, correlated: np.ndarray, block_events: int) -> None:
        self._is_primary = is_primary
        self._correlated = correlated
        self._confirm = blocks_of(CONFIRM_EVENTS, block_events)
        self._late = blocks_of(LATE_EVENTS, block_events)
        self._over = blocks_of(OVER_EVENTS, block_events)
        self._current: list[Incident] = []

    def update(
        self, findings: Mapping[int, int], away: np.ndarray, block: int, offset: int
    ) -> list[tuple[Incident, DriftPhase]]:
        """Take the findings of a block.

        Args:
            findings: Columns of statistics that have left their reference, each with the block where that began.
            away: bool [statistics], which are away from it now.
            block: Number of this block.
            offset: Of the summary that completed it.

        Returns:
            Incidents that reach a new phase with this block.
        """
        due = [(incident, DriftPhase.OVER) for incident in self._current if self._is_over(incident, away)]
        for incident, _ in due:
            self._current.remove(incident)
        # Findings belong to the incident that just ended: its sums are reset after this block.
        for finding in () if due else sorted(findings, key=lambda column: (not self._is_primary[column], column)):
            if self._place(finding, findings[finding], block, offset):
                due.append((self._current[-1], DriftPhase.RAISED))
        for incident in self._current:
            if not incident.confirmed and block - incident.opened >= self._confirm:
                incident.confirmed = True
                due.append((incident, DriftPhase.CONFIRMED))
        return due

    @property
    def current(self) -> Sequence[Incident]:
        """Those that are open, in the order in which they were raised."""
        return self._current

    def moved_by_others(self, incident: Incident) -> set[int]:
        """Columns that have moved for another cause."""
        return {column for other in self._current if other is not incident for column in other.moved | other.members}

    def _is_over(self, incident: Incident, away: np.ndarray) -> bool:
        incident.calm = 0 if away[list(incident.members)].any() else incident.calm + 1
        return incident.calm >= self._over

    def _place(self, finding: int, begins: int, block: int, offset: int) -> bool:
        """Give a finding to the incident that it is part of; True if that is a new one."""
        if not any(finding in incident.members for incident in self._current):
            for incident in self._current:
                if self._takes(incident, finding, begins):
                    incident.members.add(finding)
                    return False
            self._current.append(Incident(offset, block, begins))
            self._current[-1].members.add(finding)
            return True
        return False

    def _takes(self, incident: Incident, finding: int, begins: int) -> bool:
        members = list(incident.members)
        return bool(
            not self._is_primary[finding]
            or begins <= incident.opened + self._late
            or not self._is_primary[members].any()
            or self._correlated[finding, members].any()
        )
