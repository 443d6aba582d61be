"""Counts events by segment, to find segments that none is in: data files and events may write a value differently."""

from collections import Counter

from models.manifest import Segments
from schemas.drift import DriftSummary

FEWEST_EXPECTED = 50  # of a segment, by its share of the reference: with fewer, none may be chance


class SegmentCounts:
    """Of one model, over the summaries taken so far."""

    def __init__(self, segments: Segments) -> None:
        self._share = {segments.label(segment): segment.share for segment in segments.watched}
        self._seen: Counter[str] = Counter()
        self.scored = 0

    def add(self, summary: DriftSummary) -> None:
        """Take a summary of that model."""
        self.scored += summary.scored
        self._seen.update({label: part.scored for label, part in summary.by_segment.items()})

    @property
    def undecided(self) -> bool:
        """Whether a segment without events may yet be chance."""
        return any(not self._seen[label] for label in self._share.keys() - set(self.unmatched))

    @property
    def unmatched(self) -> tuple[str, ...]:
        """Labels of the segments that should have had events by now, and have had none."""
        return tuple(
            label
            for label, share in self._share.items()
            if not self._seen[label] and share * self.scored >= FEWEST_EXPECTED
        )
