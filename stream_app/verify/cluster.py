"""Checks on a live cluster that every committed input offset is accounted for once, and names the offsets that are not.

The ledger is `drift-summaries`: each record lists the offsets that it accounts for and what became of them, and was
written in the transaction that committed them. `stream_app.verify.ledger` has the invariants.
"""

import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import msgspec
from confluent_kafka import Consumer, KafkaException

from schemas import topics
from schemas.drift import DriftSummary
from schemas.topics import Topic
from schemas.transactions import ModelRef, Source
from stream_app.kafka import clients, offsets
from stream_app.kafka.clients import BrokerError
from stream_app.kafka.log import read_to_end
from stream_app.kafka.topics import name
from stream_app.settings import Settings
from stream_app.verify import ledger
from stream_app.verify.ledger import LedgerBreak, LedgerSpan

GRACE_S = 15.0  # beyond the time after which the broker aborts a transaction
RETRY_S = 0.05

OUTPUTS = (topics.DRIFT_SUMMARIES, topics.DEAD_LETTERS, topics.ANOMALIES)


@dataclass(frozen=True)
class LedgerVerdict:
    """Whether the account of the input holds.

    Attributes:
        ok: There is no break.
        committed: Committed input offsets that the ledger accounts for, over all partitions.
        scored: Of these, scored.
        dead_lettered: Of these, refused.
        empty: Of these, without a record: transaction markers, aborted records.
        unverifiable: Empty by the ledger, but deleted from the input by retention before that could be checked.
        anomalies: Anomalies among the scored.
        breaks: Places where the account does not hold.
    """

    ok: bool
    committed: int
    scored: int
    dead_lettered: int
    empty: int
    unverifiable: int
    anomalies: int
    breaks: list[LedgerBreak]


class _Placed(msgspec.Struct):
    """The fields of an output that are needed here; only an anomaly has a model."""

    source: Source
    model: ModelRef | None = None


def verify(settings: Settings, on_progress: Callable[[str], None] = lambda _: None) -> LedgerVerdict:
    """Check a cluster, which may be busy: offsets that are committed meanwhile are left for the next time.

    Args:
        settings: The cluster and the group.
        on_progress: Called with what is being read.

    Raises:
        BrokerError: the cluster cannot be read.
    """
    group = clients.group_observer(settings)
    reader = clients.consumer(settings, None)
    transactions = name(settings, topics.TRANSACTIONS)
    try:
        on_progress("committed offsets")
        committed = offsets.committed(group, transactions, offsets.partitions(group, settings, transactions))
        on_progress("open transactions")
        _await_visible(settings, group, reader)
        on_progress("summaries")
        spans = {p: ledger.up_to(s, committed.get(p, 0)) for p, s in _spans(settings).items()}
        whole = offsets.watermarks(reader, name(settings, topics.DRIFT_SUMMARIES), 0)[0] == 0
        breaks: list[LedgerBreak] = []
        for partition, offset in committed.items():
            low, _ = offsets.watermarks(reader, transactions, partition)
            breaks += ledger.joins(partition, spans.get(partition, []), low if whole else None, offset)
        on_progress("dead letters")
        breaks += _outputs(settings, reader, spans, topics.DEAD_LETTERS, "dead letter", lambda span: span.dead_lettered)
        on_progress("anomalies")
        breaks += _outputs(settings, reader, spans, topics.ANOMALIES, "anomaly", lambda span: span.anomalies)
        on_progress("input offsets without an outcome")
        unverifiable = 0
        for partition, chain in spans.items():
            found, unread = _emptiness(settings, reader, partition, chain)
            breaks += found
            unverifiable += unread
    except KafkaException as exception:
        raise clients.explain(exception, settings, settings.group) from exception
    finally:
        group.close()
        reader.close()
    every = [span for chain in spans.values() for span in chain]
    return LedgerVerdict(
        ok=not breaks,
        committed=sum(span.to_offset - span.from_offset for span in every),
        scored=sum(span.scored for span in every),
        dead_lettered=sum(span.dead_lettered for span in every),
        empty=sum(span.empty for span in every),
        unverifiable=unverifiable,
        anomalies=sum(span.anomalies for span in every),
        breaks=sorted(breaks, key=lambda found: (found.partition, found.from_offset)),
    )


def _await_visible(settings: Settings, group: Consumer, reader: Consumer) -> None:
    """Return once readers see all that the outputs hold now: an open transaction hides what was committed after it.

    Raises:
        BrokerError: one stays open for longer than a worker's may.
    """
    places = [
        (topic, partition)
        for topic in (name(settings, output) for output in OUTPUTS)
        for partition in offsets.partitions(reader, settings, topic)
    ]
    ends = [offsets.watermarks(group, *place)[1] for place in places]
    deadline = time.monotonic() + settings.transaction_timeout_ms / 1000 + GRACE_S
    for place, end in zip(places, ends, strict=True):
        while offsets.watermarks(reader, *place)[1] < end:
            if time.monotonic() > deadline:
                raise BrokerError(
                    f"a transaction on {place[0]} stays open, and hides what was committed after it: "
                    "look for a worker with a longer transaction_timeout_ms that stands still, and try again"
                )
            time.sleep(RETRY_S)


def _spans(settings: Settings) -> dict[int, list[LedgerSpan]]:
    """Input partition to its spans, in the order of the log."""
    decode = msgspec.json.Decoder(DriftSummary).decode
    spans = defaultdict(list)
    for message in read_to_end(settings, topics.DRIFT_SUMMARIES):
        s = decode(message.value() or b"")
        spans[s.partition].append(
            LedgerSpan(
                s.from_offset,
                s.to_offset,
                s.scored,
                s.dead_lettered,
                s.anomalies,
                s.model_sha256,
                s.candidate_sha256,
                s.candidate_anomalies,
            )
        )
    return spans


def _outputs(
    settings: Settings,
    reader: Consumer,
    spans: dict[int, list[LedgerSpan]],
    topic: Topic,
    what: str,
    promised: Callable[[LedgerSpan], int],
) -> Iterator[LedgerBreak]:
    decode = msgspec.json.Decoder(_Placed).decode
    found: dict[int, list[int]] = defaultdict(list)
    named: dict[int, list[tuple[int, str]]] = defaultdict(list)
    for message in read_to_end(settings, topic):
        output = decode(message.value() or b"")
        source = output.source
        found[source.partition].append(source.offset)
        if output.model is not None:
            named[source.partition].append((source.offset, output.model.sha256))
    full = name(settings, topic)
    complete = all(offsets.watermarks(reader, full, p)[0] == 0 for p in offsets.partitions(reader, settings, full))
    for partition, chain in spans.items():
        yield from ledger.outputs(partition, [(s, promised(s)) for s in chain], found[partition], what, complete)
        if topic is topics.ANOMALIES:
            yield from ledger.authors(partition, chain, named[partition])


def _emptiness(
    settings: Settings, reader: Consumer, partition: int, chain: list[LedgerSpan]
) -> tuple[Iterator[LedgerBreak], int]:
    """Offsets without an outcome that do hold a record, and the number that retention has deleted from the input."""
    low, _ = offsets.watermarks(reader, name(settings, topics.TRANSACTIONS), partition)
    doubtful = [span for span in chain if span.empty > 0]
    readable = [span for span in doubtful if span.from_offset >= low]
    deleted = sum(span.empty for span in doubtful) - sum(span.empty for span in readable)
    if not readable:
        return iter(()), deleted
    bounds = {partition: (readable[0].from_offset, max(span.to_offset for span in readable))}
    held = [message.offset() or 0 for message in read_to_end(settings, topics.TRANSACTIONS, bounds=bounds)]
    return ledger.emptiness(partition, readable, held), deleted
