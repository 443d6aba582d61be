"""A topic as DATA: `topic:transactions` stands for the events that it holds, with their labels from `labels`.

They are read with the pipeline's own decoder and written to a file that lives as long as the command, so that memory
does not grow with the topic. What the stream would refuse is left out, and told.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, BinaryIO

import msgspec

from models.manifest import Category
from schemas.definition import Definition
from schemas.scoring import Label
from schemas.topics import LABELS, TRANSACTIONS
from stream_app.cli.terminal import say
from stream_app.kafka.clients import TopicMissing
from stream_app.kafka.log import Record, read_to_end
from stream_app.kafka.records import RecordDecoder
from stream_app.kafka.schema_registry import schema_registry
from stream_app.settings import Settings

if TYPE_CHECKING:
    from stream_app.pipeline.batch import Decoded

PREFIX = "topic:"
CHUNK = 1000
SAMPLE = 100_000  # records from which a definition is proposed
Tell = Callable[[str], object]
Write = Callable[[Settings, str, BinaryIO], None]


def of_topics(definition: Definition, tell: Tell = lambda _: None) -> Write:
    """Writes the events of a topic as the definition reads them, a line each.

    Args:
        definition: How they are read.
        tell: Called with how far it has come.
    """

    def write(settings: Settings, topic: str, file: BinaryIO) -> None:
        _write_events(settings, definition, topic, file, tell)

    return write


def as_they_are(settings: Settings, topic: str, file: BinaryIO) -> None:
    """Writes the first records of a topic that are objects in JSON, whatever is in them."""
    decoder = RecordDecoder[dict[str, Any]](dict[str, Any])
    records = islice(read_to_end(settings, replace(TRANSACTIONS, name=topic)), SAMPLE)
    for _, value in decoder.each(records):
        file.write(msgspec.json.encode(value) + b"\n")


@contextmanager
def on_disk(data: Sequence[Path], settings: Settings, write: Write) -> Iterator[list[Path]]:
    """The files of DATA, those of topics among them for the length of the block.

    Raises:
        BrokerError: a topic cannot be read.
    """
    with TemporaryDirectory(prefix="stream-app-") as folder:
        found = []
        for path in data:
            topic = str(path).removeprefix(PREFIX)
            if topic == str(path):
                found.append(path)
                continue
            found.append(Path(folder) / f"{topic}.jsonl")
            with found[-1].open("wb") as file:
                write(settings, topic, file)
        yield found


def _write_events(settings: Settings, definition: Definition, topic: str, file: BinaryIO, tell: Tell) -> None:
    from stream_app.pipeline.batch import Raw  # with torch, which no file waits for
    from stream_app.pipeline.decode import Decoder
    from stream_app.pipeline.formats.readers import values_of

    registry = schema_registry(settings)
    categories = {entry.name: Category({}, 0.0) for entry in definition.inputs if entry.kind == "category"}
    limits = settings.record_max_bytes, None, settings.event_ahead_max_s
    decode = Decoder(definition, *limits, categories, registry)
    lines = _Lines(definition, values_of(definition.event, _further(definition), registry), _labels(settings))
    refused, examples, read = Counter[str](), dict[str, str](), 0
    for records in _chunks(read_to_end(settings, replace(TRANSACTIONS, name=topic))):
        decoded = decode(Raw([record.value() for record in records], (), (), records, {}))
        file.writelines(lines(decoded, records))
        for refusal in decoded.refused:
            refused[refusal.code] += 1
            examples.setdefault(refusal.code, refusal.sentence)
        read += len(records)
        tell(f"reading {PREFIX}{topic}, {read:,} records")
    for code, count in refused.most_common():
        say(f"{count:,} of {read:,} records of {topic} are left out as {code}: {examples[code]}")


class _Lines:
    """Events as lines of a data file: what the stream makes of them, numbers as they were written."""

    def __init__(
        self, definition: Definition, read: Callable[[Record], dict[str, Any]], labels: Mapping[str, bool]
    ) -> None:
        self._event = definition.event
        self._label = None if definition.label is None else definition.label.column
        self._read = read
        self._labels = labels
        self._texts = {column: entry.path for column, entry in enumerate(definition.inputs) if entry.kind == "category"}
        read_as = definition.past
        numbers = {entry.path for entry in definition.inputs if entry.path and entry.kind != "category"}
        self._numbers = numbers | {path for path, is_identity in read_as.items() if not is_identity}

    def __call__(self, decoded: "Decoded", records: Sequence[Record]) -> Iterator[bytes]:
        """A line for each event that is not refused."""
        for place, row in enumerate(decoded.rows.tolist()):
            line: dict[str, Any] = {path: self._value(path, value) for path, value in self._read(records[row]).items()}
            line |= {path: text for column, path in self._texts.items() if (text := decoded.texts[column][place])}
            line[self._event.id] = decoded.event_ids[place]
            line[self._event.entity] = decoded.entities[place]
            line[self._event.time] = decoded.event_times[place]
            if self._label is not None and (known := self._labels.get(decoded.event_ids[place])) is not None:
                line[self._label] = known
            yield msgspec.json.encode({path: value for path, value in line.items() if value is not None}) + b"\n"

    def _value(self, path: str, value: Any) -> float | str | None:
        if path in self._numbers:
            return float(value) if isinstance(value, int | float) else None
        return value if isinstance(value, str) else str(value).lower() if isinstance(value, bool | int) else None


def _further(definition: Definition) -> tuple[str, ...]:
    """The paths of which the decoder does not keep what was written."""
    event, segments = definition.event, definition.segments
    numbers = [entry.path for entry in definition.inputs if entry.path and entry.kind != "category"]
    wanted = dict.fromkeys([*numbers, *definition.past, *event.show, *([segments.by] if segments else [])])
    return tuple(path for path in wanted if path not in (event.id, event.time, event.entity))


def _labels(settings: Settings) -> dict[str, bool]:
    """What has arrived of what became of events; of several for one event, the last."""
    try:
        records = read_to_end(settings, LABELS)
        return {label.event_id: label.fraud for _, label in RecordDecoder[Label](Label).each(records)}
    except TopicMissing:
        return {}


def _chunks(records: Iterable[Record]) -> Iterator[list[Record]]:
    source = iter(records)
    while chunk := list(islice(source, CHUNK)):
        yield chunk
