"""A live cluster in, a verdict out: every committed input offset is accounted for once, or it is named.

The ledger is `drift-summaries`: each record says which offsets it accounts for and what became of them, and was written
in the transaction that committed them. What must hold is in `stream_app.verify.ledger`.
"""

import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import msgspec
from confluent_kafka import OFFSET_INVALID, Consumer, KafkaError, KafkaException, TopicPartition

from schemas import topics
from schemas.drift import DriftSummary
from schemas.topics import Topic
from schemas.transactions import ModelRef, Source
from stream_app.kafka import clients
from stream_app.kafka.clients import BrokerError
from stream_app.kafka.log import read_to_end
from stream_app.kafka.topics import name
from stream_app.settings import Settings
from stream_app.verify import ledger
from stream_app.verify.ledger import LedgerBreak, LedgerSpan

TIMEOUT_S = 15.0
RETRY_S = 0.05
READ_BATCH = 10_000
READ_WAIT_S = 0.05  # a call returns when the batch is full or this is over, whatever came

OUTPUTS = (topics.DRIFT_SUMMARIES, topics.DEAD_LETTERS, topics.ANOMALIES)


@dataclass(frozen=True)
class LedgerVerdict:
    """What was found.

    Attributes:
        ok: No break.
        committed: Committed input offsets that the ledger accounts for, over all partitions.
        scored: Of these, scored.
        dead_lettered: Of these, refused.
        empty: Of these, without a record: transaction markers, aborted records.
        unverifiable: Of these, deleted from the input by retention before it could be checked whether they are empty.
        anomalies: Anomalies among the scored.
        breaks: Where it does not hold.
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
    """Check a cluster, which may be busy: what is committed meanwhile is left for the next time.

    Args:
        settings: Which cluster, which group.
        on_progress: Called with what is being read.

    Raises:
        BrokerError: it cannot be read.
    """
    group = clients.onlooker(settings)
    reader = clients.consumer(settings, None, **{"enable.partition.eof": True})
    try:
        on_progress("committed offsets")
        committed = _committed(settings, group)
        on_progress("open transactions")
        _await_visible(settings, group, reader)
        on_progress("summaries")
        spans = {p: ledger.up_to(s, committed.get(p, 0)) for p, s in _spans(settings).items()}
        whole = _watermarks(settings, reader, topics.DRIFT_SUMMARIES, 0)[0] == 0
        breaks: list[LedgerBreak] = []
        for partition, offset in committed.items():
            low, _ = _watermarks(settings, reader, topics.TRANSACTIONS, partition)
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
        raise clients.explain(exception, settings, settings.app_id) from exception
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


def _committed(settings: Settings, group: Consumer) -> dict[int, int]:
    """Input partition to committed offset, where there is one."""
    topic = name(settings, topics.TRANSACTIONS)
    partitions = _partitions(settings, group, topics.TRANSACTIONS)
    places = group.committed([TopicPartition(topic, partition) for partition in partitions], timeout=TIMEOUT_S)
    return {place.partition: place.offset for place in places if place.offset != OFFSET_INVALID}


def _await_visible(settings: Settings, onlooker: Consumer, reader: Consumer) -> None:
    """Return once readers are shown all that is in the outputs now: an open transaction hides what others commit.

    Raises:
        BrokerError: one is open for longer than a worker's may be.
    """
    places = [(topic, partition) for topic in OUTPUTS for partition in _partitions(settings, reader, topic)]
    ends = [_watermarks(settings, onlooker, topic, partition)[1] for topic, partition in places]
    deadline = time.monotonic() + settings.transaction_timeout_ms / 1000 + TIMEOUT_S
    for (topic, partition), end in zip(places, ends, strict=True):
        while _watermarks(settings, reader, topic, partition)[1] < end:
            if time.monotonic() > deadline:
                raise BrokerError(
                    f"a transaction on {name(settings, topic)} stays open, and hides what was committed after it: "
                    "look for a worker with a longer transaction_timeout_ms that stands still, and try again"
                )
            time.sleep(RETRY_S)


def _partitions(settings: Settings, reader: Consumer, topic: Topic) -> list[int]:
    full = name(settings, topic)
    found = reader.list_topics(full, timeout=TIMEOUT_S).topics[full]
    if found.error is not None:
        raise clients.explain(KafkaException(found.error), settings, full)
    return sorted(found.partitions)


def _watermarks(settings: Settings, reader: Consumer, topic: Topic, partition: int) -> tuple[int, int]:
    low, high = reader.get_watermark_offsets(TopicPartition(name(settings, topic), partition), timeout=TIMEOUT_S)
    return low, high


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
    complete = all(_watermarks(settings, reader, topic, p)[0] == 0 for p in _partitions(settings, reader, topic))
    for partition, chain in spans.items():
        yield from ledger.outputs(partition, [(s, promised(s)) for s in chain], found[partition], what, complete)
        if topic is topics.ANOMALIES:
            yield from ledger.authors(partition, chain, named[partition])


def _emptiness(
    settings: Settings, reader: Consumer, partition: int, chain: list[LedgerSpan]
) -> tuple[Iterator[LedgerBreak], int]:
    """Where offsets without an outcome hold a record, and how many of them retention has taken from the input."""
    low, _ = _watermarks(settings, reader, topics.TRANSACTIONS, partition)
    doubtful = [span for span in chain if span.empty > 0]
    readable = [span for span in doubtful if span.from_offset >= low]
    unread = sum(span.empty for span in doubtful) - sum(span.empty for span in readable)
    return ledger.emptiness(partition, readable, _held(settings, reader, partition, readable)), unread


def _held(settings: Settings, reader: Consumer, partition: int, spans: list[LedgerSpan]) -> list[int]:
    """Offsets of the records that the input holds from the first of these spans to the end of the last, ascending."""
    if not spans:
        return []
    end = max(span.to_offset for span in spans)
    reader.assign([TopicPartition(name(settings, topics.TRANSACTIONS), partition, spans[0].from_offset)])
    held: list[int] = []
    heard = time.monotonic()
    while True:
        messages: list[Any] = reader.consume(READ_BATCH, READ_WAIT_S)
        heard = time.monotonic() if messages else heard
        if time.monotonic() - heard > TIMEOUT_S:
            raise KafkaException(KafkaError(KafkaError._TIMED_OUT))
        for message in messages:
            error = message.error()
            if error is not None and error.code() != KafkaError._PARTITION_EOF:
                raise KafkaException(error)
            if error is not None or message.offset() >= end:
                reader.unassign()
                return held
            held.append(message.offset())
