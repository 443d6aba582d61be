"""Events as rows of inputs, score and latents, by the code that decodes and scores the stream.

Published decisions are not used: all rows of a report are scored by one model, whichever model served at the time.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from itertools import islice
from pathlib import Path
from typing import TypeVar

import numpy as np

from models.runtime import Runtime, Scored
from schemas.topics import TRANSACTIONS
from stream_app.kafka.log import Record, read_to_end
from stream_app.kafka.schema_registry import schema_registry
from stream_app.pipeline.batch import Raw
from stream_app.pipeline.decode import Decoder
from stream_app.pipeline.score import score
from stream_app.report.alerts import ReportError
from stream_app.report.history import SummarySpan
from stream_app.report.window import ReportWindow
from stream_app.settings import Settings

# More rows make Evidently slower and its verdicts no better: in 10,000 a shift of 0.05 sd is already significant.
MOST_ROWS = 10_000
BATCH = 1024

Bounds = Mapping[int, tuple[int, int]]
T = TypeVar("T")
Advance = Callable[[float], None]


@dataclass(frozen=True)
class Rows:
    """Events as one model sees them.

    Attributes:
        names: Columns: the model's inputs in their own units, `score`, then the latents.
        values: float32 [rows, columns], NaN where missing.
        times: Event time of each row.
        source: Their origin, in words.
    """

    names: Sequence[str]
    values: np.ndarray
    times: Sequence[datetime]
    source: str

    def after(self, moment: datetime) -> np.ndarray:
        """Values of the rows from this moment on."""
        later: np.ndarray = self.values[[at >= moment for at in self.times]]
        return later


def of_window(
    settings: Settings, runtime: Runtime, spans: Sequence[SummarySpan], window: ReportWindow, advance: Advance
) -> Rows:
    """The events of a window, from the input topic; every n-th where there are more than `MOST_ROWS`.

    Raises:
        BrokerError: the topic cannot be read.
    """
    found = [span for span in spans if span.first <= window.until and span.last >= window.since]
    step = -(-sum(span.scored for span in found) // MOST_ROWS)
    records = _published(settings, _bounds(found), step, advance)
    rows = _rescored(runtime, _decoder(settings, runtime), _of_records(records), lambda at: at in window)
    which = "every event" if step == 1 else f"one in {step} events"
    return Rows(*rows, f"{which} of the window, from the input topic")


def before_window(
    settings: Settings, runtime: Runtime, spans: Sequence[SummarySpan], window: ReportWindow, advance: Advance
) -> Rows:
    """The first events that the input topic still holds and that are older than the window; may be empty.

    Raises:
        BrokerError: the topic cannot be read.
    """
    first: list[SummarySpan] = []
    for span in (span for span in spans if span.last < window.since):
        first.append(span)
        if sum(entry.scored for entry in first) >= MOST_ROWS:
            break
    records = _published(settings, _bounds(first), 1, advance) if first else iter(())
    batches = _of_records(islice(records, MOST_ROWS))
    rows = _rescored(runtime, _decoder(settings, runtime), batches, lambda at: at < window.since)
    return Rows(*rows, "the first events that the input topic holds before the window")


def of_file(path: Path, runtime: Runtime) -> Rows:
    """Training data: a file's rows in the model's training window.

    Raises:
        DataError: the file cannot be used, or has no row in that window.
    """
    from models.data.frame import read
    from models.inputs import matrix

    manifest = runtime.manifest
    since, until = (date.fromisoformat(day[:10]) for day in (manifest.trained_from, manifest.trained_until))
    frame = read(path, since, until, definition=manifest.definition, labels_needed=False)
    frame = frame.gather_every(-(-len(frame) // MOST_ROWS))
    inputs = matrix(frame, manifest.inputs, manifest.categories)
    values = _columns(inputs, runtime.score(inputs))
    times = frame["event_time"].to_list()
    return Rows(_names(runtime), values, times, f"{path.name}, the model's training window {since} to {until}")


def _bounds(spans: Iterable[SummarySpan]) -> dict[int, tuple[int, int]]:
    bounds: dict[int, tuple[int, int]] = {}
    for span in spans:
        low, high = bounds.get(span.partition, (span.from_offset, span.to_offset))
        bounds[span.partition] = (min(low, span.from_offset), max(high, span.to_offset))
    return bounds


def _published(settings: Settings, bounds: Bounds, step: int, advance: Advance) -> Iterator[Record]:
    for read, message in enumerate(read_to_end(settings, TRANSACTIONS, bounds=bounds)):
        if read % BATCH == 0:
            advance(read)
        if (message.offset() or 0) % step == 0:
            yield message


def _batches(items: Iterable[T]) -> Iterator[list[T]]:
    source = iter(items)
    while batch := list(islice(source, BATCH)):
        yield batch


def _of_records(records: Iterable[Record]) -> Iterator[Raw]:
    return (Raw([record.value() for record in batch], (), (), batch, {}) for batch in _batches(records))


def _decoder(settings: Settings, runtime: Runtime) -> Decoder:
    manifest, ahead_s = runtime.manifest, settings.event_ahead_max_s
    if manifest.definition.windows:
        raise ReportError(
            f"model {manifest.version} sees windows, which records without all those before them do not hold: there is "
            "no report of such a model yet; `stream-app drift` shows what the stream itself has found"
        )
    limit, registry = settings.record_max_bytes, schema_registry(settings)
    return Decoder(manifest.definition, limit, None, ahead_s, manifest.categories, registry)


def _rescored(
    runtime: Runtime, decode: Decoder, batches: Iterable[Raw], wanted: Callable[[datetime], bool]
) -> tuple[list[str], np.ndarray, list[datetime]]:
    names = _names(runtime)
    parts, times = [np.empty((0, len(names)), dtype=np.float32)], list[datetime]()
    for batch in batches:
        decoded, scored = score(runtime, decode(batch))
        kept = [i for i, at in enumerate(decoded.event_times) if wanted(at)]
        parts.append(_columns(decoded.inputs, scored)[kept])
        times += [decoded.event_times[i] for i in kept]
    return names, np.concatenate(parts), times


def _names(runtime: Runtime) -> list[str]:
    manifest = runtime.manifest
    return [*(entry.name for entry in manifest.inputs), "score", *(f"latent {i}" for i in range(manifest.latent_size))]


def _columns(inputs: np.ndarray, scored: Scored) -> np.ndarray:
    return np.column_stack((inputs, scored.score, scored.latent))
