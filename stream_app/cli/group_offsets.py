"""What `doctor` says of the group's committed offsets: brokers forget those of a group without members."""

from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta

from confluent_kafka import ConsumerGroupState, KafkaException

from schemas.topics import DRIFT_SUMMARIES, TRANSACTIONS
from stream_app.cli.diagnosis import Diagnosis
from stream_app.kafka import clients, limits, offsets, topics
from stream_app.kafka.log import read_backwards
from stream_app.kafka.records import posted_at
from stream_app.pipeline.recall import recall
from stream_app.settings import Settings

ANSWER_S = 10.0
SOON = timedelta(days=1)
ADVICE = "start a worker: it goes on where the last one stopped, and commits anew"


def group_offsets(settings: Settings, soon: timedelta = SOON) -> Iterator[Diagnosis]:
    """Offsets that are gone, or will be soon because no worker runs, as far as the brokers tell."""
    full = topics.name(settings, TRANSACTIONS)
    with closing(clients.group_observer(settings)) as group:
        there = offsets.partitions(group, settings, full)
        committed = offsets.committed(group, full, there)
    here, unknown = topics.present_id(settings), set(there) - committed.keys()
    known = recall(settings, unknown) if unknown else {}
    gone = sorted(partition for partition in unknown & known.keys() if known[partition].topic_id in ("", here))
    left = _left(settings) if committed else None
    if gone:
        which = ", ".join(map(str, gone))
        says = f"the brokers have forgotten what {settings.group} committed of partition {which}; the ledger knows"
        yield Diagnosis("offsets", False, says, ADVICE)
    elif left is not None and left < soon:
        hours = max(left / timedelta(hours=1), 0.0)
        says = f"no worker runs, and the brokers forget what {settings.group} has committed in about {hours:.0f} h"
        yield Diagnosis("offsets", False, says, ADVICE)
    else:
        yield Diagnosis("offsets", True, f"{settings.group} has committed {len(committed)} of {len(there)} partitions")


def _left(settings: Settings) -> timedelta | None:
    """Until the brokers may forget the group's offsets; None while it has members, or where they do not tell."""
    kept = limits.properties(settings).get("offsets.retention.minutes")
    client = clients.admin(settings)  # the answer comes only while it is held
    try:
        asked = client.describe_consumer_groups([settings.group], request_timeout=ANSWER_S)
        is_empty = asked[settings.group].result(ANSWER_S).state == ConsumerGroupState.EMPTY
    except (KafkaException, TimeoutError):  # not everybody may see it
        return None
    if not is_empty or kept is None:
        return None
    for stretch in read_backwards(settings, DRIFT_SUMMARIES):  # one stands in the transaction of each commit
        committed_at = max(map(posted_at, stretch), default=None)
        if committed_at is not None:
            return committed_at + timedelta(minutes=int(kept)) - datetime.now(UTC)
    return None
