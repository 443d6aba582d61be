"""What waits on partitions of the input that no worker reads, and what of it is gone or goes soon: by the broker alone.

A worker that lives puts a loss on the ledger itself, and says when one is near. While none does, nobody would.
"""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import NamedTuple

from confluent_kafka import Consumer, KafkaException, TopicPartition
from msgspec import Struct

from schemas.topics import TRANSACTIONS
from stream_app.kafka import clients, offsets
from stream_app.kafka.log import read_to_end
from stream_app.kafka.retention import SPENT, Retention, retention_of
from stream_app.kafka.topics import name, present_id
from stream_app.settings import Settings

ANSWER_S = 10.0
WEIGHED = 100
RATE_OVER = timedelta(hours=1)

Ledger = Callable[[Iterable[int]], Mapping[int, tuple[str, int]]]
"""Topic id and offset up to which partitions are accounted for; `stream_app.pipeline.recall` reads them."""


class Gone(NamedTuple):
    """Offsets that nobody will read: the first, and the one after the last.

    Attributes:
        is_passed_over: Somebody has set the group's offset behind them; else the broker has deleted them.
    """

    first: int
    end: int
    is_passed_over: bool = False


class Unread(Struct, frozen=True):
    """What waits on one partition.

    Attributes:
        lag: Records behind the group's committed offset.
        gone: Offsets before these that nobody will read; None: none.
        goes_soon: The broker deletes the oldest of what waits soon.
    """

    lag: int = 0
    gone: Gone | None = None
    goes_soon: bool = False


def unread(settings: Settings, held: Collection[int], soon: timedelta, ledger: Ledger) -> dict[int, Unread]:
    """Each partition of the input that is not `held`.

    Args:
        settings: Where the cluster is.
        held: Partitions that a worker reads.
        soon: What the broker deletes within this time goes soon.
        ledger: Asked where the group's offset was not committed by a worker.

    Raises:
        BrokerError: the cluster does not answer, or refuses.
    """
    topic, group = name(settings, TRANSACTIONS), clients.group_observer(settings)
    try:
        left = [partition for partition in offsets.partitions(group, settings, topic) if partition not in held]
        done = offsets.committed(group, topic, left)
        ends = {partition: offsets.watermarks(group, topic, partition) for partition in left}
        lags = {p: max(high - max(done.get(p, low), low), 0) for p, (low, high) in ends.items()}
        lost = gone(settings, group, topic, left, ledger)
        waiting = {partition: ends[partition] for partition, lag in lags.items() if lag}
        kept = retention_of(settings, topic) if waiting else Retention()
        going = {
            p
            for p, (low, high) in waiting.items()
            if _goes_by_age(group, topic, p, high - lags[p], high, kept, soon)
            or _goes_by_size(settings, group, p, lags[p], (low, high), kept, soon)
        }
    except KafkaException as exception:
        raise clients.explain(exception, settings, topic) from exception
    finally:
        group.close()
    return {partition: Unread(lags[partition], lost.get(partition), partition in going) for partition in left}


def gone(settings: Settings, group: Consumer, topic: str, among: Sequence[int], ledger: Ledger) -> dict[int, Gone]:
    """Partition -> offsets between what was scored and what can or will be read, where there are any.

    A committed offset of a topic of before, whose id is another, counts for nothing; one without an id was not
    committed by a worker.

    Raises:
        BrokerError, KafkaException: the cluster does not answer.
    """
    found = group.committed([TopicPartition(topic, partition) for partition in among], timeout=ANSWER_S)
    places = {place.partition: place for place in found if place.offset >= 0}
    starts = {p: max(place.offset, offsets.watermarks(group, topic, p)[0]) for p, place in places.items()}
    behind = {p for p, place in places.items() if place.offset < starts[p]}
    unmarked = {p for p, place in places.items() if not place.metadata}
    present = present_id(settings) if behind or unmarked else ""
    here = (None, "", present)
    lost = {p: Gone(places[p].offset, starts[p]) for p in behind if places[p].metadata in here}
    for p, (topic_id, end) in (ledger(unmarked) if unmarked else {}).items():
        if p in unmarked and topic_id == present and end < places[p].offset:
            lost[p] = Gone(end, starts[p], is_passed_over=True)
    return lost


def _goes_by_age(
    group: Consumer, topic: str, partition: int, start: int, high: int, kept: Retention, soon: timedelta
) -> bool:
    """Whether the record at `start` reaches the age at which it is deleted."""
    if kept.age_s is None:
        return False
    within = min(soon, timedelta(seconds=kept.age_s * SPENT))
    before = datetime.now(UTC) - timedelta(seconds=kept.age_s) + within
    return offsets.offset_at(group, topic, partition, before, high) > start


def _goes_by_size(
    settings: Settings,
    group: Consumer,
    partition: int,
    lag: int,
    ends: tuple[int, int],
    kept: Retention,
    soon: timedelta,
) -> bool:
    """Whether what arrives, as fast as in the last hour, takes the room of the oldest that waits."""
    if kept.partition_bytes is None:
        return False
    low, high = ends
    start = high - lag
    sample = read_to_end(settings, TRANSACTIONS, bounds={partition: (start, min(start + WEIGHED, high))})
    sizes = [len(record.value() or b"") for record in islice(sample, WEIGHED)]
    room = kept.room(high - low, sum(sizes) / len(sizes) if sizes else 0.0)
    if room is None or lag < room * SPENT:
        return False
    recent = offsets.offset_at(group, name(settings, TRANSACTIONS), partition, datetime.now(UTC) - RATE_OVER, high)
    return room - lag < (high - recent) * (soon / RATE_OVER)
