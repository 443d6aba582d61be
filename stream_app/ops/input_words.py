"""What is wrong with the input, in sentences for page and `status`: losses, records about to expire, what holds it up.

Pure functions of the workers' figures; an empty sentence means that there is nothing to say.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta

from schemas.rollout import PartitionProgress, WorkerVitals

LOSS_IS_NEWS = timedelta(days=1)
NOTICE_IS_NEWS = timedelta(minutes=30)
HELD_UP_S = 5.0  # a transaction of a producer that is well is shorter
EXPIRES_SOON_S = 6 * 3600.0


def input_lines(workers: Sequence[WorkerVitals], at: datetime) -> list[str]:
    """Everything that there is to say, the worst first."""
    return [line for line in (lost(workers, at), expiring(workers), held_up(workers), changed(workers, at)) if line]


def lost(workers: Sequence[WorkerVitals], at: datetime) -> str:
    """Records that the broker deleted before they were read: the newest such notice of the last day."""
    return _newest(workers, at - LOSS_IS_NEWS, losses=True)


def changed(workers: Sequence[WorkerVitals], at: datetime) -> str:
    """Where a worker could not simply go on: a topic made again, offsets of the group that were gone."""
    return _newest(workers, at - NOTICE_IS_NEWS, losses=False)


def expiring(workers: Sequence[WorkerVitals]) -> str:
    """The partition whose oldest unread record goes first, if that is soon."""
    left = [(p.expires_in_s, p) for p in _partitions(workers) if p.expires_in_s is not None]
    if not left or (first := min(left, key=lambda entry: entry[0]))[0] > EXPIRES_SOON_S:
        return ""
    seconds, place = first
    return (
        f"The broker deletes the oldest of {place.lag:,} unread records of partition {place.partition} in "
        f"{span(max(seconds, 0.0))}: raise retention.ms of the input, or add workers."
    )


def held_up(workers: Sequence[WorkerVitals]) -> str:
    """What waits behind open transactions of upstream producers, where it has waited for long."""
    places = [p for p in _partitions(workers) if p.behind_open_transaction and p.open_transaction_s >= HELD_UP_S]
    if not places:
        return ""
    waiting, since = sum(p.behind_open_transaction for p in places), max(p.open_transaction_s for p in places)
    which = ", ".join(str(p.partition) for p in places)
    return (
        f"{waiting:,} records have waited for {span(since)} behind an open transaction of an upstream producer on "
        f"partition {which}: `kafka-transactions.sh find-hanging` names it."
    )


def span(seconds: float) -> str:
    """A duration in the unit that suits it."""
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.0f} h"


def _partitions(workers: Sequence[WorkerVitals]) -> list[PartitionProgress]:
    return sorted((p for worker in workers for p in worker.partitions), key=lambda p: p.partition)


def _newest(workers: Sequence[WorkerVitals], since: datetime, losses: bool) -> str:
    fresh = [n for worker in workers for n in worker.notices if n.is_loss == losses and n.at >= since]
    if not fresh:
        return ""
    newest = max(fresh, key=lambda notice: notice.at)
    sentence = f"{newest.sentence[0].upper()}{newest.sentence[1:]}."
    return sentence if len(fresh) == 1 else f"{sentence} {len(fresh) - 1} more such: see the worker's log."
