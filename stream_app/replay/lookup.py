"""One event or one entity on the topics, found by its id: the newest records first, and at most so many of them."""

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TypeVar

from schemas.definition import Definition
from schemas.scoring import Anomaly, DeadLetter, Label, Source
from schemas.topics import ANOMALIES, DEAD_LETTERS, LABELS, TRANSACTIONS, Topic
from stream_app.kafka.log import Record, read_backwards, read_to_end
from stream_app.kafka.ranges import committed_range
from stream_app.kafka.records import EARLIEST, RecordDecoder, Unreadable, moment_of
from stream_app.kafka.schema_registry import schema_registry
from stream_app.kafka.topics import name, present_id
from stream_app.replay.event import Event, EventReader
from stream_app.settings import Settings

REPORT_EVERY = 5_000
PLAIN = re.compile(r"[\w.:-]+", re.ASCII)  # written in one way only, whoever encodes it

R = TypeVar("R")
Tell = Callable[[str], None]
"""Called with what is being done."""


@dataclass(frozen=True, slots=True)
class CaseFile:
    """An event, and what is known of it.

    Attributes:
        source: Where it stands on the input.
        event: None where the input no longer holds it, or holds no event there.
        anomaly: None if it is none.
        refused: Its dead letter; None if it was not refused.
        scored: Whether the workers have committed it.
        label: The newest; None where there is none.
    """

    source: Source
    event: Event | None
    anomaly: Anomaly | None
    refused: DeadLetter | None
    scored: bool
    label: Label | None

    @property
    def decision(self) -> str:
        """In a word or two."""
        if self.anomaly is not None:
            return f"anomaly, {self.anomaly.severity}"
        if self.refused is not None:
            return f"refused: {self.refused.reason}"
        return "no anomaly" if self.scored else "not scored yet"

    @property
    def entity(self) -> str | None:
        """Whose event it is."""
        known = self.event or self.anomaly
        return None if known is None else known.entity

    @property
    def event_id(self) -> str | None:
        """Its own id."""
        known = self.event or self.anomaly
        return None if known is None else known.event_id


class Lookup:
    """Searches the topics.

    Args:
        settings: Where they are.
        definition: How events are read.
        limit: Offsets of each partition that a search goes back at most.
        tell: Called with how far a search has come.
    """

    def __init__(self, settings: Settings, definition: Definition, limit: int, tell: Tell = lambda _: None) -> None:
        self._settings = settings
        self._read = EventReader(definition, schema_registry(settings))
        self._limit = limit
        self._tell = tell

    def event(self, text: str) -> CaseFile | None:
        """The event with this id or at this place; of several the newest anomaly or event."""
        for _, a in self._newest(ANOMALIES, Anomaly, text, lambda a: text in (a.anomaly_id, a.event_id)):
            event = self._at(a.source)
            same = event is not None and event.event_id == a.event_id
            return self._known([(a.source, event if same else None)], a)[0]
        source = place(text)
        if source is not None:
            return self._known([(source, self._at(source))])[0]
        found = next(self._events(text, lambda e: e.event_id == text), None)
        return None if found is None else self._known([found])[0]

    def latest(self, entity: str, count: int, partition: int | None = None) -> list[CaseFile]:
        """The newest events of an entity, newest first.

        Args:
            entity: Its id.
            count: At most so many.
            partition: Where its events stand, if that is known.
        """
        found = []
        for place_and_event in self._events(entity, lambda e: e.entity == entity, partition):
            found.append(place_and_event)
            if len(found) == count:
                break
        return self._known(found)

    def _known(self, events: Sequence[tuple[Source, Event | None]], anomaly: Anomaly | None = None) -> list[CaseFile]:
        """What the other topics hold of these; where the anomaly of the only one is known, it is not searched for."""
        if not events:
            return []
        at = {(source.partition, source.offset): event for source, event in events}
        whose = {event.entity for event in at.values() if event is not None}

        def is_of_one(a: Anomaly) -> bool:
            """The id is compared too: of a topic that was made again, offsets begin anew."""
            here = (a.source.partition, a.source.offset)
            known = at.get(here)
            return here in at and (known is None or known.event_id == a.event_id)

        anomalies: dict[tuple[int, int], Anomaly] = {}
        mark = whose.pop() if len(whose) == 1 else None
        published = self._newest(ANOMALIES, Anomaly, mark, is_of_one)
        for a in [anomaly] if anomaly else (found for _, found in published):
            anomalies.setdefault((a.source.partition, a.source.offset), a)
        gone = {here for here, event in at.items() if event is None} - anomalies.keys()
        refused = self._refused(gone) if gone else {}
        labels = self._labels({e.event_id for e in (*at.values(), *anomalies.values()) if e is not None})
        done = committed_range(self._settings, TRANSACTIONS, None, None)
        found = []
        for source, event in events:
            here = (source.partition, source.offset)
            known = anomalies.get(here)
            event_id = event.event_id if event else known.event_id if known else ""
            scored = source.offset < done.get(source.partition, (0, 0))[1]
            found.append(CaseFile(source, event, known, refused.get(here), scored, labels.get(event_id)))
        return found

    def _refused(self, places: set[tuple[int, int]]) -> dict[tuple[int, int], DeadLetter]:
        """The dead letters of these places of the input."""
        found: dict[tuple[int, int], DeadLetter] = {}
        for _, letter in self._newest(DEAD_LETTERS, DeadLetter, None, lambda _: True):
            here = (letter.source.partition, letter.source.offset)
            if here in places:
                found.setdefault(here, letter)
        return found

    def _labels(self, ids: set[str]) -> dict[str, Label]:
        """The last label of each of these events: case tools correct themselves."""
        found: dict[str, Label] = {}
        text = next(iter(ids)) if len(ids) == 1 else None
        for _, label in self._newest(LABELS, Label, text, lambda label: label.event_id in ids):
            found.setdefault(label.event_id, label)
        return found

    def _at(self, source: Source) -> Event | None:
        """The event at a place; None where there is none any more."""
        bounds = {source.partition: (source.offset, source.offset + 1)}
        if source.topic != name(self._settings, TRANSACTIONS):
            return None
        if source.topic_id and source.topic_id != present_id(self._settings):
            return None
        return next((self._read(m) for m in read_to_end(self._settings, TRANSACTIONS, bounds=bounds)), None)

    def _events(
        self, text: str, wanted: Callable[[Event], bool], partition: int | None = None
    ) -> Iterator[tuple[Source, Event]]:
        """The events that are wanted, newest first, with their places."""
        inside = None if self._read.is_beside_the_value else text
        return self._search(TRANSACTIONS, self._read, inside, wanted, partition)

    def _newest(
        self, topic: Topic, kind: type[R], text: str | None, wanted: Callable[[R], bool]
    ) -> Iterator[tuple[Source, R]]:
        """The records of an own topic that are wanted, newest first, with their places."""
        decode = RecordDecoder[R](kind).decoded

        def read(message: Record) -> R | None:
            """None where it is none: what was refused stands on the topic for good, and needs no line each time."""
            found = decode(message.value())
            return None if isinstance(found, Unreadable) else found

        return self._search(topic, read, text, wanted)

    def _search(
        self,
        topic: Topic,
        read: Callable[[Record], R | None],
        text: str | None,
        wanted: Callable[[R], bool],
        partition: int | None = None,
    ) -> Iterator[tuple[Source, R]]:
        """Only records whose value holds the text are read."""
        full, seen = name(self._settings, topic), 0
        needle = text.encode() if text is not None and PLAIN.fullmatch(text) else b""
        for stretch in read_backwards(self._settings, topic, self._limit, partition):
            found: list[tuple[tuple[datetime, int], Source, R]] = []
            for message in stretch:
                seen += 1
                if seen % REPORT_EVERY == 0:
                    self._tell(f"searching {full}: {seen:,} records")
                record = read(message) if needle in (message.value() or b"") else None
                if record is not None and wanted(record):
                    source = Source(full, message.partition() or 0, message.offset() or 0)
                    found.append(((moment_of(message) or EARLIEST, source.offset), source, record))
            for _, source, record in sorted(found, key=lambda entry: entry[0], reverse=True):
                yield source, record


def place(text: str) -> Source | None:
    """`TOPIC:PARTITION:OFFSET`, with or without the topic's id after its name; or nothing."""
    parts = text.rsplit(":", 2)
    if len(parts) < 3 or not (text.isascii() and parts[1].isdigit() and parts[2].isdigit()):
        return None
    topic, _, topic_id = parts[0].partition(":")
    return Source(topic, int(parts[1]), int(parts[2]), topic_id)
