"""What is wrong with the input, in words; None where nothing is."""

from datetime import datetime, timedelta

from models.words import quantity
from schemas.rollout import PartitionProgress
from stream_app.ops.facts import Facts, Found, span
from stream_app.pipeline.progress import HELD_BACK

LOSS_IS_NEWS = timedelta(days=1)
NOTICE_IS_NEWS = timedelta(minutes=30)
HELD_UP_S = 5.0  # a transaction of a producer that is well is shorter
EXPIRES_SOON = timedelta(hours=6)
REFUSED_SHARE, REFUSED_LEAST_PER_S = 0.01, 1.0
WORKER = "start a worker, `stream-app worker`"
LOOK_INSIDE = "`stream-app consume dead-letters --from-beginning --max 20`"


def held_back(facts: Facts) -> Found | None:
    """By an open breaker."""
    held = next((row for row in facts.live if row.vitals.state.startswith(HELD_BACK)), None)
    if held is None:
        return None
    why = held.vitals.state.removeprefix(HELD_BACK).partition(", see ")[0]
    return f"{held.id} holds the input back{why}", LOOK_INSIDE


def refusals(facts: Facts) -> Found | None:
    """Many records that nothing can read."""
    refused = sum(v.refused_per_second for v in facts.figures)
    share = refused / max(sum(v.events_per_second for v in facts.figures), refused, 1e-9)
    if refused < REFUSED_LEAST_PER_S or share < REFUSED_SHARE:
        return None
    return f"{quantity(share, 'share')} of the records are refused, {refused:,.0f} a second", LOOK_INSIDE


def lost(facts: Facts) -> Found | None:
    """Records that nobody will read: since nobody reads now, or by a notice of the last day."""
    gone = {partition: found.gone for partition, found in facts.unread.items() if found.gone is not None}
    if gone:
        passed = {partition: found for partition, found in gone.items() if found.is_passed_over}
        deleted = "The broker has deleted before anybody read them"
        what = "Somebody has set the group's offset forward, and these were never read" if passed else deleted
        each = (
            f"{end - first:,} offsets of partition {p}, from {first:,} on"
            for p, (first, end, _) in (passed or gone).items()
        )
        return f"{what}: {'; '.join(each)}", f"{WORKER}, which puts it on record"
    return _newest(facts, facts.at - LOSS_IS_NEWS, losses=True)


def changed(facts: Facts) -> Found | None:
    """Where a worker could not simply go on: a topic made again, offsets of the group that were gone."""
    return _newest(facts, facts.at - NOTICE_IS_NEWS, losses=False)


def expiring(facts: Facts) -> Found | None:
    """The partition whose oldest unread record goes first, if that is soon."""
    unread = [str(partition) for partition, found in facts.unread.items() if found.goes_soon]
    if unread:
        which, within = ", ".join(unread), span(EXPIRES_SOON.total_seconds())
        return f"The broker deletes records of partition {which} within {within}, and nobody reads them", WORKER
    left = [(p.expires_in_s, p) for p in _partitions(facts) if p.expires_in_s is not None]
    if not left or (first := min(left, key=lambda entry: entry[0]))[0] > EXPIRES_SOON.total_seconds():
        return None
    seconds, place = first
    what = (
        f"The broker deletes the oldest of {place.lag:,} unread records of partition {place.partition} in "
        f"{span(max(seconds, 0.0))}"
    )
    return what, "raise retention of the input, or add workers"


def held_up(facts: Facts) -> Found | None:
    """What waits behind open transactions of upstream producers, where it has waited for long."""
    places = [p for p in _partitions(facts) if p.behind_open_transaction and p.open_transaction_s >= HELD_UP_S]
    if not places:
        return None
    waiting, since = sum(p.behind_open_transaction for p in places), max(p.open_transaction_s for p in places)
    which = ", ".join(str(p.partition) for p in places)
    what = (
        f"{waiting:,} records have waited for {span(since)} behind an open transaction of an upstream producer on "
        f"partition {which}"
    )
    return what, "`kafka-transactions.sh find-hanging` names it"


def _partitions(facts: Facts) -> list[PartitionProgress]:
    return sorted((p for vitals in facts.figures for p in vitals.partitions), key=lambda p: p.partition)


def _newest(facts: Facts, since: datetime, losses: bool) -> Found | None:
    fresh = [n for vitals in facts.figures for n in vitals.notices if n.is_loss == losses and n.at >= since]
    if not fresh:
        return None
    newest = max(fresh, key=lambda notice: notice.at).sentence
    more = "" if len(fresh) == 1 else f", and {len(fresh) - 1} more such notices"
    what, is_command, remedy = newest.partition(": `")
    return f"{newest[0].upper()}{what[1:]}{more}", f"`{remedy}" if is_command else ""
