"""Finds where and how the audit log was tampered with. Pure.

Seals list the digests that the log held, so comparing the two sequences names each record that was removed, changed,
inserted or moved. Records after the last seal are checked by the chains of their writers, as far as a later record of
the same writer exists; the end of each chain cannot be checked.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from difflib import SequenceMatcher
from enum import StrEnum

from schemas.rollout import AuditRecord
from stream_app.audit.chain import digest
from stream_app.audit.sealer import decoded

FARTHEST = 1_000_000  # a forged seal that names an offset beyond the end of the log by more is not believed


class Tampering(StrEnum):
    """What was done to a record."""

    REMOVED = "removed"
    CHANGED = "changed"
    INSERTED = "inserted"
    MOVED = "out of order"


@dataclass(frozen=True, slots=True)
class AuditBreak:
    """One place where the trail does not hold.

    Attributes:
        offset: The present offset of the record; of a removed record, its former offset.
        how: What was done to it.
        what: The same as a sentence.
    """

    offset: int
    how: Tampering
    what: str


@dataclass(frozen=True, slots=True)
class AuditVerdict:
    """The result of the check.

    Attributes:
        ok: There is no break.
        records: Records in the log.
        unchained: Of these, at the beginning, from before records were chained.
        sealed: Of these, covered by a seal.
        head: OFFSET:SHA256 of the last seal, empty without one; kept elsewhere, it proves everything before it.
        breaks: In the order of the log.
    """

    ok: bool
    records: int
    unchained: int
    sealed: int
    head: str
    breaks: list[AuditBreak]


@dataclass(frozen=True, slots=True)
class Standing:
    """A record at its present place in the log."""

    offset: int
    sha256: str
    record: AuditRecord | None


Expected = tuple[int, str | None]
"""An offset and its sealed digest; None where no remaining seal covers it."""


def prove(values: Sequence[tuple[int, bytes]], head: str | None = None) -> AuditVerdict:
    """Check the whole log.

    Args:
        values: Offset and value of each record, in order.
        head: The `head` of an earlier verdict.
    """
    log = [Standing(offset, digest(value), decoded(value)) for offset, value in values]
    expected = _sealed(log)
    breaks, covered = _against_seals(expected, log)
    broken = {found.offset for found in breaks}
    suspects = {found.offset for found in breaks if found.how is not Tampering.REMOVED}
    missed = {sha256 for offset, sha256 in expected if sha256 and offset in broken}
    missed |= {s.sha256 for s in log if s.offset in suspects}
    unchained = next((i for i, s in enumerate(log) if s.record is not None and s.record.sequence), len(log))
    since = covered if breaks else 0  # the chains would only repeat what the seals have found
    innocent = [s for s in log if s.offset not in suspects]
    breaks += _foreign(s for s in log[max(unchained, since) :] if s.offset not in suspects)
    breaks += _against_chains(innocent, {s.offset for s in log[since:]}, missed)
    breaks += _against_head(log, head)
    if not breaks and log and log[0].offset:
        breaks.append(
            AuditBreak(0, Tampering.REMOVED, f"the log begins at offset {log[0].offset}: what stood before is gone")
        )
    return AuditVerdict(
        ok=not breaks,
        records=len(log),
        unchained=unchained,
        sealed=covered,
        head=next((f"{s.offset}:{s.sha256}" for s in reversed(log) if s.record and s.record.seal), ""),
        breaks=sorted(breaks, key=lambda found: found.offset),
    )


def _sealed(log: Sequence[Standing]) -> list[Expected]:
    """The content of the log according to its seals, from offset 0 on.

    Where seals contradict each other the later one wins: the earlier one was changed, and must not accuse records.
    """
    found: dict[int, str] = {}
    digests: set[str] = set()
    farthest = (log[-1].offset if log else 0) + FARTHEST
    for standing in reversed(log):
        seal = standing.record.seal if standing.record is not None else None
        if seal is None or (standing.offset in found and standing.sha256 not in digests):
            continue
        digests.update(seal.records.values())
        for place, sha256 in seal.records.items():
            if place.isdecimal() and int(place) <= farthest:
                found.setdefault(int(place), sha256)
    return [(offset, found.get(offset)) for offset in range(max(found, default=-1) + 1)]


def _against_seals(expected: Sequence[Expected], log: Sequence[Standing]) -> tuple[list[AuditBreak], int]:
    """Differences from the seals, and the number of records that they cover."""
    start = 0
    for (offset, sha256), standing in zip(expected, log, strict=False):
        if standing.offset != offset or sha256 not in (standing.sha256, None):
            break
        start += 1
    if start == len(expected):
        return [], start
    wanted, rest = expected[start:], log[start:]
    left = [sha256 or f"unknown {offset}" for offset, sha256 in wanted]
    steps = SequenceMatcher(None, left, [s.sha256 for s in rest], autojunk=False).get_opcodes()
    if steps[-1][0] == "insert":  # what follows the last sealed record is not sealed yet
        steps = steps[:-1]
    breaks: list[AuditBreak] = []
    covered = 0
    for step, i, j, k, m in steps:
        covered = min(m, k + j - i, _last_seal(rest)) if step == "replace" and j == len(wanted) else m
        breaks += [] if step == "equal" else _block(wanted[i:j], rest[k:covered])
    return _moved(breaks, dict(expected), log), start + covered


def _last_seal(log: Sequence[Standing]) -> int:
    """The row of the last seal: everything that it covers is before it."""
    return max((row for row, s in enumerate(log) if s.record is not None and s.record.seal is not None), default=0)


def _block(wanted: Sequence[Expected], standing: Sequence[Standing]) -> list[AuditBreak]:
    """The breaks of a stretch in which no digest agrees."""
    if len(wanted) == len(standing):
        pairs = zip(wanted, standing, strict=True)
        return [_break(s.offset, Tampering.CHANGED) for (_, sha256), s in pairs if sha256 is not None]
    known = [offset for offset, sha256 in wanted if sha256 is not None]
    unknown = [offset for offset, sha256 in wanted if sha256 is None]
    spare = len(standing) - len(unknown)
    return [
        *(_break(offset, Tampering.REMOVED) for offset in known),
        *(_break(offset, Tampering.REMOVED) for offset in (unknown[spare:] if spare < 0 else [])),
        *(_break(s.offset, Tampering.INSERTED) for s in (standing[-spare:] if spare > 0 else [])),
    ]


def _break(offset: int, how: Tampering) -> AuditBreak:
    sentences = {
        Tampering.REMOVED: f"the record that stood at offset {offset} is gone",
        Tampering.CHANGED: f"the record at offset {offset} is not the one that was sealed",
        Tampering.INSERTED: f"the record at offset {offset} was not there when the log was sealed",
    }
    return AuditBreak(offset, how, sentences[how])


def _moved(breaks: list[AuditBreak], expected: dict[int, str | None], log: Sequence[Standing]) -> list[AuditBreak]:
    """Turn a removal and an insertion of the same digest into one move."""
    at = {s.offset: s.sha256 for s in log}
    gone = {expected[b.offset]: b for b in breaks if b.how is Tampering.REMOVED and expected[b.offset]}
    found: list[AuditBreak] = []
    for b in breaks:
        origin = gone.get(at[b.offset]) if b.how is Tampering.INSERTED else None
        if origin is not None:
            found.append(
                AuditBreak(
                    b.offset, Tampering.MOVED, f"the record at offset {b.offset} stood at offset {origin.offset}"
                )
            )
            breaks = [other for other in breaks if other is not origin and other is not b]
    return [*breaks, *found]


def _foreign(log: Iterable[Standing]) -> Iterator[AuditBreak]:
    """Records without a chain, after the first record that has one."""
    for s in log:
        if s.record is None:
            yield AuditBreak(s.offset, Tampering.INSERTED, f"the record at offset {s.offset} is no audit record")
        elif not s.record.sequence:
            yield AuditBreak(s.offset, Tampering.INSERTED, f"the record at offset {s.offset} is in nobody's chain")


@dataclass(slots=True)
class _Writer:
    """One writer's chain so far: offsets by digest, and the record with the highest number."""

    at: dict[str, int] = field(default_factory=dict)
    number: int = 0
    sha256: str = ""


def _against_chains(log: Sequence[Standing], judged: set[int], missed: set[str]) -> Iterator[AuditBreak]:
    """Contradictions to the writers' own chains at these offsets, without the ones that are known already."""
    writers: dict[str, _Writer] = defaultdict(_Writer)
    for standing in log:
        record = standing.record
        if record is None or not record.sequence:
            continue
        writer = writers[record.writer]
        found = _link(writer, standing, record)
        if found is not None and standing.offset in judged and record.previous not in missed:
            yield found
        if record.sequence > writer.number:
            writer.number, writer.sha256 = record.sequence, standing.sha256
        writer.at[standing.sha256] = standing.offset


def _link(writer: _Writer, standing: Standing, record: AuditRecord) -> AuditBreak | None:
    """The break between a record and its predecessor in the chain, if there is one."""
    offset, number, known = standing.offset, record.sequence, writer.number
    who = f"{record.actor} (writer {record.writer[:8]})"
    if standing.sha256 in writer.at:
        first = writer.at[standing.sha256]
        return AuditBreak(offset, Tampering.INSERTED, f"the record at offset {offset} repeats the one at {first}")
    if number <= known:
        return AuditBreak(
            offset, Tampering.MOVED, f"the record at offset {offset} is number {number} of {who}, after {known}"
        )
    if number > known + 1:
        gone = f"record {known + 1}" if number == known + 2 else f"records {known + 1} to {number - 1}"
        return AuditBreak(offset, Tampering.REMOVED, f"before offset {offset}, {gone} of {who}: gone")
    if writer.sha256 != record.previous:
        at = writer.at.get(writer.sha256, offset)
        return AuditBreak(
            at, Tampering.CHANGED, f"the record at offset {at} is not the one that {who} wrote before {offset}"
        )
    return None


def _against_head(log: Sequence[Standing], head: str | None) -> Iterator[AuditBreak]:
    """Whether the last seal of an earlier check is still in its place."""
    if not head:
        return
    place, _, sha256 = head.partition(":")
    if not any(str(s.offset) == place and s.sha256 == sha256 for s in log):
        offset = int(place)
        yield AuditBreak(
            offset, Tampering.REMOVED, f"the seal that was the head, at offset {offset}, is gone or is another"
        )
