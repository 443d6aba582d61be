"""How far each partition was accounted for, by the ledger: for when the group's own offsets are gone.

Kafka forgets a group's offsets seven days after its last member has left, and clean-up scripts delete groups. The
summaries on `drift-summaries` were written in the transactions that committed those offsets.
"""

import logging
import time
from collections.abc import Iterable
from typing import NamedTuple

import msgspec

from schemas.scoring import Count, PartitionNumber, TopicId
from schemas.topics import DRIFT_SUMMARIES
from stream_app.kafka.log import Record, read_backwards
from stream_app.kafka.records import RecordDecoder
from stream_app.settings import Settings

PATIENCE_S = 20.0  # well below the time after which the group gives the partitions of a silent member away

log = logging.getLogger(__name__)


class Accounted(NamedTuple):
    """Up to which offset of which topic a partition is accounted for."""

    topic_id: str
    offset: int


class _Span(msgspec.Struct):
    partition: PartitionNumber
    to_offset: Count
    topic_id: TopicId = ""


def recall(settings: Settings, partitions: Iterable[int]) -> dict[int, Accounted]:
    """What the newest summary of each partition says, where there is one; others than were asked for may be there too.

    The ledger is read from its end on, and no longer than `PATIENCE_S`: what was not found by then counts as new. Its
    newest part is read in any case.

    Raises:
        BrokerError: the ledger cannot be read.
    """
    wanted, found = set(partitions), dict[int, Accounted]()
    deadline = time.monotonic() + PATIENCE_S
    for stretch in read_backwards(settings, DRIFT_SUMMARIES):
        newest = newest_places(stretch)
        found = newest | found
        wanted -= newest.keys()
        if not wanted:
            break
        if time.monotonic() > deadline:
            log.warning("the ledger has no word of partitions %s in its newest part: they count as new", wanted)
            break
    return found


def newest_places(summaries: Iterable[Record]) -> dict[int, Accounted]:
    """The last word on each partition in a stretch of the ledger; records that are no summaries are passed over."""
    spans = RecordDecoder[_Span](_Span).each(summaries)
    return {span.partition: Accounted(span.topic_id, span.to_offset) for _, span in spans}
