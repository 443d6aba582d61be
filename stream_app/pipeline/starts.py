"""Where each partition starts: at its committed offset, where the ledger ends if that is gone, else at its beginning.

A committed offset counts only for the topic of its id. One without an id was set by a person or a tool, and no worker:
the ledger tells what was passed over, or will be scored again.
"""

from collections.abc import Callable, Collection, Iterable
from typing import NamedTuple

from confluent_kafka import Consumer, KafkaException, TopicPartition

from stream_app.pipeline.input_topic import InputTopic
from stream_app.pipeline.recall import Accounted

METADATA_TIMEOUT_S = 10.0

Bounds = tuple[int, int]


class Gap(NamedTuple):
    """Offsets that are never read: `start` (included) to `end` (not).

    Attributes:
        is_passed_over: Somebody has set the group's offset behind them; else the broker has deleted them.
    """

    start: int
    end: int
    is_passed_over: bool = False


class Starts:
    """Finds the starts of partitions that the group assigns.

    Args:
        topic: The input topic.
        recall: Up to where the ledger accounts for partitions.
        on_notice: Called with a sentence about a partition that could not simply go on.
    """

    def __init__(
        self,
        topic: InputTopic,
        recall: Callable[[Iterable[int]], dict[int, Accounted]],
        on_notice: Callable[[str], None],
    ) -> None:
        self._topic = topic
        self._recall = recall
        self._on_notice = on_notice

    def find(self, consumer: Consumer, partitions: Collection[int]) -> tuple[dict[int, int], dict[int, Gap]]:
        """Partition to its first offset, and to what of it is never read.

        An empty gap is a place that the group has not committed: the next commit does.

        Raises:
            KafkaException, BrokerError: the cluster, or the ledger, cannot be read.
        """
        bounds, accounted = self._committed(consumer, partitions)
        unknown = bounds.keys() - accounted.keys()
        unmarked = {p for p, place in accounted.items() if not place.topic_id and self._topic.id}
        # An empty partition has nothing that could be repeated: for that alone, the ledger is not searched
        searched = [p for p in unknown if bounds[p][0] < bounds[p][1]]
        recalled = self._recall([*searched, *unmarked]) if unknown or unmarked else {}
        gaps = {p: gap for p in unmarked & recalled.keys() if (gap := self._moved(p, accounted[p], recalled[p]))}
        for partition in unknown & recalled.keys():
            found = accounted[partition] = recalled[partition]
            if self._is_here(found, bounds[partition]):
                self._on_notice(
                    f"partition {partition}: the group's committed offset is gone; going on from {found.offset}, "
                    "where the ledger ends"
                )
                gaps[partition] = Gap(found.offset, found.offset)
        starts = {p: self._start(p, accounted.get(p), bounds[p]) for p in bounds}
        for partition, start in starts.items():
            if partition not in accounted:  # its place is committed at once: what is deleted later is missed
                gaps[partition] = Gap(start, start)
            elif partition in gaps:
                gaps[partition] = gaps[partition]._replace(end=start)
            elif self._is_here(accounted[partition], bounds[partition]) and accounted[partition].offset < start:
                gaps[partition] = Gap(accounted[partition].offset, start)
        return starts, gaps

    def _committed(
        self, consumer: Consumer, partitions: Collection[int]
    ) -> tuple[dict[int, Bounds], dict[int, Accounted]]:
        """The ends of each partition, and what the group has committed, where it has."""
        bounds, accounted = dict[int, Bounds](), dict[int, Accounted]()
        places = [TopicPartition(self._topic.name, partition) for partition in partitions]
        for place in consumer.committed(places, timeout=METADATA_TIMEOUT_S):
            if place.error is not None:
                raise KafkaException(place.error)
            bounds[place.partition] = consumer.get_watermark_offsets(place, timeout=METADATA_TIMEOUT_S)
            if place.offset >= 0:
                accounted[place.partition] = Accounted(place.metadata or "", place.offset)
        return bounds, accounted

    def _is_here(self, place: Accounted, bounds: Bounds) -> bool:
        """Whether a place is on this topic. One without an id, of an older version, is where the offset can be."""
        return place.topic_id == self._topic.id or (not place.topic_id and place.offset <= bounds[1])

    def _moved(self, partition: int, committed: Accounted, ledger: Accounted) -> Gap | None:
        """What somebody has passed over who set the group's offset, and a notice where that is not the ledger's."""
        if ledger.topic_id != self._topic.id or ledger.offset == committed.offset:
            return None
        is_forward = committed.offset > ledger.offset
        what = "what stands between is never read" if is_forward else "what stands between is scored once more"
        self._on_notice(
            f"partition {partition}: somebody who is no worker has set the group's offset from {ledger.offset} "
            f"{'forward' if is_forward else 'back'} to {committed.offset}; {what}"
        )
        return Gap(ledger.offset, committed.offset, True) if is_forward else None

    def _start(self, partition: int, place: Accounted | None, bounds: Bounds) -> int:
        """Where to start a partition that was accounted for up to a place, and a notice where that is not the place."""
        low, end = bounds
        if place is None:
            return low
        if not self._is_here(place, bounds):
            self._on_notice(
                f"partition {partition}: {self._topic.name} was deleted and made again; its account begins anew at "
                f"{low}, after {place.offset} offsets of the topic before"
            )
            return low
        if place.offset > end:
            self._on_notice(
                f"partition {partition}: the brokers have lost offsets {end} to {place.offset}, which were scored: "
                "see whether a broker came up without its data"
            )
            return end
        return max(place.offset, low)
