"""The log of drift summaries, folded into blocks of each model and segment as it is read.

Memory grows with the number of blocks, not of commits.
"""

from collections.abc import Iterable, Sequence
from datetime import datetime
from functools import reduce
from operator import add
from typing import NamedTuple

from schemas.drift import DriftSummary
from stream_app.drift.blocks import Block, Blocks
from stream_app.drift.correlator import WHOLE
from stream_app.drift.merge import Sums
from stream_app.drift.segmented import summary_of
from stream_app.kafka.records import is_plausible


class SummarySpan(NamedTuple):
    """The input offsets of one summary, the event times in them, and the model that scored."""

    partition: int
    from_offset: int
    to_offset: int
    scored: int
    first: datetime
    last: datetime
    model_sha256: str = ""


class History:
    """All summaries of the topic, in the order of the log.

    Args:
        block_events: Scored events that fill a block.

    Attributes:
        spans: One for each summary with scored events.
        latest_model: Digest of the model of the newest span; None before the first.
    """

    def __init__(self, block_events: int) -> None:
        self.spans: list[SummarySpan] = []
        self.latest_model: str | None = None
        self._block_events = block_events
        self._open: dict[tuple[str, str], Blocks] = {}
        self._blocks: dict[tuple[str, str], list[Block]] = {}

    def add(self, summary: DriftSummary) -> None:
        """Add the next summary."""
        first, last = summary.event_time_min, summary.event_time_max
        if first is None or last is None or not is_plausible(first) or not is_plausible(last):
            return
        self.latest_model = summary.model_sha256
        self.spans.append(
            SummarySpan(
                summary.partition,
                summary.from_offset,
                summary.to_offset,
                summary.scored,
                first,
                last,
                summary.model_sha256,
            )
        )
        self._fold(summary, WHOLE)
        for label, part in summary.by_segment.items():
            self._fold(summary_of(part, summary), label)

    def blocks(
        self, model_sha256: str, since: datetime, until: datetime, at_most: int, segment: str = WHOLE
    ) -> list[Block]:
        """Blocks of one model that overlap a span of event time, joined to `at_most` many."""
        of_all = self._blocks.get((model_sha256, segment), [])
        found = [b for b in of_all if b.begins <= until and b.ends >= since]
        together = -(-len(found) // at_most) or 1
        return [_joined(found[i : i + together]) for i in range(0, len(found), together)]

    def _fold(self, summary: DriftSummary, segment: str) -> None:
        key = summary.model_sha256, segment
        block = self._open.setdefault(key, Blocks(self._block_events)).add(summary)
        if block is not None:
            self._blocks.setdefault(key, []).append(block)


def total(blocks: Iterable[Block]) -> Sums:
    """The sums of at least one block."""
    return reduce(add, (block.sums for block in blocks))


def _joined(blocks: Sequence[Block]) -> Block:
    return Block(total(blocks), blocks[0].begins, max(block.ends for block in blocks), blocks[0].offsets)
