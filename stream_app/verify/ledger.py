"""The invariants of the account of the input: pure arithmetic over spans, so that it can be tested without a cluster.

A span is the account of one partition in one commit. For each partition:

    1. the spans join: no offset is left out, none is counted twice, and one ends at the committed offset
    2. each span adds up: offsets = scored + dead-lettered + lost + offsets that hold no record
    3. the output topics hold exactly the number of outputs that each span promises, each once
    4. each anomaly names a model that decided in its span, and the number that names a canary is the span's

What the broker deleted before it was read, or somebody passed over who set the group's offset forward, is accounted
for as lost: the account holds, and a person must know.
A topic that was deleted and made again has a ledger of its own (`by_topic`).
"""

from bisect import bisect_left
from collections import Counter
from collections.abc import Iterator, Sequence

from msgspec import Struct


class LedgerSpan(Struct, frozen=True):
    """Offsets `from_offset` (included) to `to_offset` (not) of a partition, and what became of them."""

    from_offset: int
    to_offset: int
    scored: int
    dead_lettered: int
    anomalies: int
    model_sha256: str = ""
    candidate_sha256: str = ""
    candidate_anomalies: int = 0
    topic_id: str = ""
    lost: int = 0

    @property
    def empty(self) -> int:
        """Offsets that must hold no record: transaction markers and aborted records."""
        return self.to_offset - self.from_offset - self.scored - self.dead_lettered - self.lost


class LedgerBreak(Struct, frozen=True):
    """One place where the account does not hold: offsets `from_offset` (included) to `to_offset` (not)."""

    partition: int
    from_offset: int
    to_offset: int
    what: str


class Loss(Struct, frozen=True):
    """Offsets that were never read: `from_offset` (included) to `to_offset` (not).

    Attributes:
        topic_id: Of the topic that held them.
        partition: Where.
        from_offset: The first.
        to_offset: The one after the last.
        acknowledged: Why, by whoever put on audit that they know; empty: a person must look.
    """

    topic_id: str
    partition: int
    from_offset: int
    to_offset: int
    acknowledged: str = ""

    def __str__(self) -> str:
        of = f" of topic {self.topic_id}" if self.topic_id else ""
        return f"partition {self.partition}, offsets {self.from_offset} to {self.to_offset}{of}"


def by_topic(spans: Sequence[LedgerSpan], present: str) -> dict[str, list[LedgerSpan]]:
    """The spans of one partition by the id of their topic, each in the order of the log.

    Spans without an id, by an older version, are of the topic of the span after them, the last ones of the present one.
    """
    ledgers: dict[str, list[LedgerSpan]] = {}
    following = present
    for span in reversed(spans):
        following = span.topic_id or following
        ledgers.setdefault(following, []).append(span)
    return {topic_id: chain[::-1] for topic_id, chain in ledgers.items()}


def losses(topic_id: str, partition: int, spans: Sequence[LedgerSpan]) -> list[Loss]:
    """What the spans have on record as lost."""
    return [Loss(topic_id, partition, s.from_offset, s.from_offset + s.lost) for s in spans if s.lost]


def up_to(spans: Sequence[LedgerSpan], committed: int) -> list[LedgerSpan]:
    """The spans that end at or before the committed offset; the next check sees what a busy cluster adds meanwhile."""
    return [span for span in spans if span.to_offset <= committed]


def joins(partition: int, spans: Sequence[LedgerSpan], start: int | None, committed: int) -> Iterator[LedgerBreak]:
    """Whether spans, in the order of the log, account for every offset from `start` to `committed` once.

    Args:
        partition: For the breaks.
        spans: In the order of the log.
        start: First offset that the input still holds: what is gone from before the first span is not missed. None
            where retention has deleted spans: the account then begins with the first that is left.
        committed: The group's committed offset.
    """
    first = spans[0].from_offset if spans else committed
    reached = first if start is None else min(start, first)
    for span in spans:
        if span.from_offset > reached:
            yield LedgerBreak(
                partition, reached, span.from_offset, "not accounted for: neither scored nor dead-lettered"
            )
        elif span.from_offset < reached:
            twice = min(span.to_offset, reached)
            yield LedgerBreak(partition, span.from_offset, twice, "accounted for twice")
        if span.empty < 0:
            yield LedgerBreak(partition, span.from_offset, span.to_offset, f"{-span.empty} more outcomes than offsets")
        reached = max(reached, span.to_offset)
    if reached < committed:
        yield LedgerBreak(partition, reached, committed, "committed, but neither scored nor dead-lettered")


def outputs(
    partition: int, promised: Sequence[tuple[LedgerSpan, int]], found: Sequence[int], what: str, complete: bool
) -> Iterator[LedgerBreak]:
    """Whether an output topic holds what the spans promise, each once.

    Args:
        partition: For the breaks.
        promised: Each span and how many outputs it promises.
        found: Source offsets of the outputs that the topic holds, in any order.
        what: `anomaly`, `dead letter`.
        complete: False when retention has deleted records of the topic; then too few outputs are no break.
    """
    ordered = sorted(found)
    for offset, count in Counter(ordered).items():
        if count > 1:
            yield LedgerBreak(partition, offset, offset + 1, f"{count} records of one {what}")
    distinct = sorted(set(ordered))
    for span, expected in promised:
        here = bisect_left(distinct, span.to_offset) - bisect_left(distinct, span.from_offset)
        if here > expected or (here < expected and complete):
            yield LedgerBreak(partition, span.from_offset, span.to_offset, f"{expected} promised, {here} found: {what}")


def is_young(promised: Sequence[tuple[LedgerSpan, int]], found: Sequence[int]) -> bool | None:
    """Whether outputs are missing of the oldest spans alone, as on a topic that was made again; None: none is missing.

    Args:
        promised: As of `outputs`.
        found: As there.
    """
    distinct = sorted(set(found))
    counts = (
        (span, expected, bisect_left(distinct, span.to_offset) - bisect_left(distinct, span.from_offset))
        for span, expected in promised
    )
    lacking = [span for span, expected, here in counts if here < expected]
    return all(not distinct or span.to_offset <= distinct[0] for span in lacking) if lacking else None


def authors(partition: int, spans: Sequence[LedgerSpan], found: Sequence[tuple[int, str]]) -> Iterator[LedgerBreak]:
    """Whether each anomaly names a model that decided in its span.

    Args:
        partition: For the breaks.
        spans: As written, ascending.
        found: Source offset and model of each anomaly that the topic holds, in any order.
    """
    ordered = sorted(set(found))
    offsets = [offset for offset, _ in ordered]
    for span in spans:
        here = [
            sha256
            for _, sha256 in ordered[bisect_left(offsets, span.from_offset) : bisect_left(offsets, span.to_offset)]
        ]
        named = Counter(here)
        by_candidate = named.pop(span.candidate_sha256, 0) if span.candidate_anomalies else 0
        strangers = len(here) - by_candidate - named.get(span.model_sha256, 0)
        if strangers:
            what = f"{strangers} anomalies name a model that did not decide here"
            yield LedgerBreak(partition, span.from_offset, span.to_offset, what)
        if by_candidate > span.candidate_anomalies or (
            by_candidate < span.candidate_anomalies and len(here) == span.anomalies
        ):
            what = f"{span.candidate_anomalies} anomalies of the canary promised, {by_candidate} found"
            yield LedgerBreak(partition, span.from_offset, span.to_offset, what)


def emptiness(partition: int, spans: Sequence[LedgerSpan], held: Sequence[int]) -> Iterator[LedgerBreak]:
    """Whether the offsets that are empty by the spans hold no record.

    Args:
        partition: For the breaks.
        spans: The spans to check.
        held: Offsets of the committed records that the input holds there, ascending.
    """
    for span in spans:
        records = bisect_left(held, span.to_offset) - bisect_left(held, span.from_offset)
        if records != span.scored + span.dead_lettered:
            outcomes = span.scored + span.dead_lettered
            yield LedgerBreak(partition, span.from_offset, span.to_offset, f"{records} records, {outcomes} outcomes")
