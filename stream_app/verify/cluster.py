"""Checks on a live cluster that every committed input offset is accounted for once, and names the offsets that are not.

The ledger is `drift-summaries`: each record lists the offsets that it accounts for and what became of them, and was
written in the transaction that committed them. `stream_app.verify.ledger` has the invariants.
"""

import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import msgspec
from confluent_kafka import Consumer, KafkaException

from schemas import topics
from schemas.scoring import ModelRef, Source
from schemas.topics import Topic
from stream_app.kafka import clients, offsets
from stream_app.kafka.clients import BrokerError
from stream_app.kafka.log import read_to_end
from stream_app.kafka.records import RecordDecoder
from stream_app.kafka.topics import name, present_id
from stream_app.kafka.unread import Gone, gone
from stream_app.pipeline.recall import recall
from stream_app.settings import Settings
from stream_app.verify import ledger
from stream_app.verify.acknowledged import acknowledged
from stream_app.verify.ledger import LedgerBreak, LedgerSpan, Loss
from stream_app.verify.spans import read_spans

if TYPE_CHECKING:
    from stream_app.verify.windows import WindowsCheck

GRACE_S = 15.0  # beyond the time after which the broker aborts a transaction
RETRY_S = 0.05

Place = tuple[str, int]
"""Topic id and partition."""

OUTPUTS = (topics.DRIFT_SUMMARIES, topics.DEAD_LETTERS, topics.ANOMALIES)


@dataclass(frozen=True)
class LedgerVerdict:
    """Whether the account of the input holds.

    Attributes:
        ok: There is no break, and no loss that is not acknowledged.
        committed: Committed input offsets that the ledger accounts for, over all partitions.
        scored: Of these, scored.
        dead_lettered: Of these, refused.
        lost: Of these, never read: deleted by the broker before, or passed over by who set the group's offset forward.
        empty: Of these, without a record: transaction markers, aborted records.
        unverifiable: Empty by the ledger, but deleted from the input by retention before that could be checked.
        anomalies: Anomalies among the scored.
        breaks: Places where the account does not hold.
        losses: What was lost, and who knows of it; what no worker has put on the ledger yet is not in `lost`.
        remarks: What else a person should know: topics of before, offsets of the group that are gone.
        windows: Of each partition, where they were looked at.
    """

    ok: bool
    committed: int
    scored: int
    dead_lettered: int
    empty: int
    unverifiable: int
    anomalies: int
    breaks: list[LedgerBreak]
    lost: int = 0
    losses: list[Loss] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)
    windows: "list[WindowsCheck]" = field(default_factory=list)

    @property
    def unacknowledged(self) -> list[Loss]:
        """The losses of which nothing is on audit."""
        return [loss for loss in self.losses if not loss.acknowledged]


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
    try:
        return _Check(settings, group, reader, on_progress).verdict()
    except KafkaException as exception:
        raise clients.explain(exception, settings, settings.group) from exception
    finally:
        group.close()
        reader.close()


class _Check:
    """One run over the topics; an account is kept for each partition of each topic that had the input's name."""

    def __init__(
        self, settings: Settings, group: Consumer, reader: Consumer, on_progress: Callable[[str], None]
    ) -> None:
        self._settings = settings
        self._group = group
        self._reader = reader
        self._on_progress = on_progress
        self._transactions = name(settings, topics.TRANSACTIONS)
        self._present = present_id(settings)
        self._breaks: list[LedgerBreak] = []
        self._remarks: list[str] = []
        self._forgotten: dict[int, int] = {}

    def verdict(self) -> LedgerVerdict:
        """Read everything, and judge."""
        self._on_progress("committed offsets")
        there = offsets.partitions(self._group, self._settings, self._transactions)
        committed = offsets.committed(self._group, self._transactions, there)
        self._on_progress("open transactions")
        _await_visible(self._settings, self._group, self._reader)
        self._on_progress("summaries")
        chains = self._chains(committed, there)
        lost = self._unrecorded(there)
        passed_over = {partition: found.first for partition, found in lost.items() if found.is_passed_over}
        self._join(chains, committed | passed_over)
        self._on_progress("dead letters")
        self._outputs(chains, topics.DEAD_LETTERS, "dead letter", lambda span: span.dead_lettered)
        self._on_progress("anomalies")
        self._outputs(chains, topics.ANOMALIES, "anomaly", lambda span: span.anomalies)
        self._on_progress("input offsets without an outcome")
        unverifiable = sum(self._empty(place, chain) for place, chain in chains.items())
        losses = [loss for (topic, p), chain in chains.items() for loss in ledger.losses(topic, p, chain)]
        losses += [Loss(self._present, p, found.first, found.end) for p, found in sorted(lost.items())]
        known = acknowledged(self._settings) if losses else {}
        losses = [msgspec.structs.replace(loss, acknowledged=known.get(str(loss), "")) for loss in losses]
        every = [span for chain in chains.values() for span in chain]
        return LedgerVerdict(
            ok=not self._breaks and all(loss.acknowledged for loss in losses),
            committed=sum(span.to_offset - span.from_offset for span in every),
            scored=sum(span.scored for span in every),
            dead_lettered=sum(span.dead_lettered for span in every),
            empty=sum(span.empty for span in every),
            unverifiable=unverifiable,
            anomalies=sum(span.anomalies for span in every),
            breaks=sorted(self._breaks, key=lambda found: (found.partition, found.from_offset)),
            lost=sum(span.lost for span in every),
            losses=losses,
            remarks=self._remarks,
        )

    def _chains(self, committed: dict[int, int], there: Sequence[int]) -> dict[Place, list[LedgerSpan]]:
        """The spans of each place; those of the present topic only as far as they are committed."""
        chains: dict[Place, list[LedgerSpan]] = {}
        former: set[str] = set()
        strange: list[int] = []
        for partition, spans in read_spans(self._settings).items():
            for topic_id, chain in ledger.by_topic(spans, self._present).items():
                chains[topic_id, partition] = chain
                if topic_id != self._present:
                    former.add(topic_id)
                elif partition not in there:
                    del chains[topic_id, partition]
                    strange.append(partition)
                elif partition in committed:
                    chains[topic_id, partition] = ledger.up_to(chain, committed[partition])
                else:
                    self._forgotten[partition] = committed[partition] = chain[-1].to_offset
        for partition in offsets.committed(self._group, self._transactions, [*self._forgotten]):
            del self._forgotten[partition]  # its first commit has come meanwhile
        if strange:
            self._remarks.append(
                f"{name(self._settings, topics.DRIFT_SUMMARIES)} speaks of partition "
                f"{', '.join(map(str, sorted(strange)))}, which {self._transactions} does not have: not looked at"
            )
        if former:
            self._remarks.append(
                f"{self._transactions} was deleted and made again: the ledger also has {', '.join(sorted(former))}, "
                f"the present one is {self._present}"
            )
        if self._forgotten:
            ends = ", ".join(f"{partition} from {end:,}" for partition, end in sorted(self._forgotten.items()))
            self._remarks.append(
                f"the group {self._settings.group} has no committed offset for partitions that the ledger accounts "
                f"for: a worker that starts goes on where the ledger ends (partition {ends})"
            )
        return chains

    def _join(self, chains: dict[Place, list[LedgerSpan]], committed: dict[int, int]) -> None:
        summaries = name(self._settings, topics.DRIFT_SUMMARIES)
        whole, young = offsets.watermarks(self._reader, summaries, 0)[0] == 0, False
        for partition, offset in committed.items():
            low, _ = offsets.watermarks(self._reader, self._transactions, partition)
            here = chains.get((self._present, partition), [])
            young |= whole and low < (here[0].from_offset if here else offset)
            self._breaks += ledger.joins(partition, here, low if whole else None, offset)
        for (topic_id, partition), chain in chains.items():
            if topic_id != self._present:  # its own end is the best that is known of it
                self._breaks += ledger.joins(partition, chain, None, chain[-1].to_offset)
        if young:
            self._made_again(summaries, "what was committed before its first record")

    def _outputs(
        self,
        chains: dict[Place, list[LedgerSpan]],
        topic: Topic,
        what: str,
        promised: Callable[[LedgerSpan], int],
    ) -> None:
        found: dict[Place, list[int]] = defaultdict(list)
        named: dict[Place, list[tuple[int, str]]] = defaultdict(list)
        for _, output in RecordDecoder[_Placed](_Placed).each(read_to_end(self._settings, topic)):
            source = output.source
            place = source.topic_id, source.partition
            found[place].append(source.offset)
            if output.model is not None:
                named[place].append((source.offset, output.model.sha256))
        full = name(self._settings, topic)
        parts = offsets.partitions(self._reader, self._settings, full)
        complete = all(offsets.watermarks(self._reader, full, p)[0] == 0 for p in parts)
        young: list[bool | None] = []
        for (topic_id, partition), chain in chains.items():
            ids = {topic_id, *(span.topic_id for span in chain)}
            here = [offset for i in ids for offset in found[i, partition]]
            authors = [author for i in ids for author in named[i, partition]]
            outputs = [(s, promised(s)) for s in chain]
            self._breaks += ledger.outputs(partition, outputs, here, what, complete)
            young.append(ledger.is_young(outputs, here))
            if topic is topics.ANOMALIES:
                self._breaks += ledger.authors(partition, chain, authors)
        missing = [verdict for verdict in young if verdict is not None]
        if complete and missing and all(missing):
            self._made_again(full, "what was published before its first record")

    def _made_again(self, topic: str, what: str) -> None:
        """The likely cause of breaks that are all older than what a topic of ours holds."""
        self._remarks.append(
            f"{topic} holds nothing of {what}, though nothing has expired there: it was deleted and made again, by "
            "all that can be seen; what it held cannot be proved any more, and what came since stands apart from that"
        )

    def _unrecorded(self, there: Sequence[int]) -> dict[int, Gone]:
        """What is gone while nobody reads: on no ledger before a worker starts."""
        found = gone(
            self._settings, self._group, self._transactions, there, lambda among: recall(self._settings, among)
        )
        for partition, end in self._forgotten.items():  # the ledger alone knows how far these were read
            low, _ = offsets.watermarks(self._reader, self._transactions, partition)
            found |= {partition: Gone(end, low)} if end < low else {}
        if found:
            which = ", ".join(map(str, sorted(found)))
            self._remarks.append(f"the loss of partition {which} is on no ledger yet: the next worker puts it there")
        if passed := [str(partition) for partition, lost in sorted(found.items()) if lost.is_passed_over]:
            self._remarks.append(
                f"somebody who is no worker has set the offset of {self._settings.group} forward on partition "
                f"{', '.join(passed)}"
            )
        return found

    def _empty(self, place: Place, chain: list[LedgerSpan]) -> int:
        """Find offsets without an outcome that do hold a record; returns how many can no longer be looked at."""
        topic_id, partition = place
        doubtful = [span for span in chain if span.empty > 0]
        if topic_id != self._present:
            return sum(span.empty for span in doubtful)
        low, _ = offsets.watermarks(self._reader, self._transactions, partition)
        readable = [span for span in doubtful if span.from_offset + span.lost >= low]
        if readable:
            bounds = {partition: (readable[0].from_offset, max(span.to_offset for span in readable))}
            records = read_to_end(self._settings, topics.TRANSACTIONS, bounds=bounds)
            self._breaks += ledger.emptiness(partition, readable, [message.offset() or 0 for message in records])
        return sum(span.empty for span in doubtful) - sum(span.empty for span in readable)


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
