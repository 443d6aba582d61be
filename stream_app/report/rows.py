"""Events as rows of inputs, score and latents, by the code that decodes and scores the stream.

Published decisions are not used: all rows of a report are scored by one model, whichever model served at the time.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from itertools import islice
from pathlib import Path

import numpy as np

from models.runtime import Runtime, Scored
from schemas.topics import TRANSACTIONS
from stream_app.kafka.log import Record, read_to_end
from stream_app.pipeline.score import score
from stream_app.replay.log_decoder import LogDecoder
from stream_app.report.history import SummarySpan
from stream_app.report.window import ReportWindow
from stream_app.settings import Settings

# More rows make Evidently slower and its verdicts no better: in 10,000 a shift of 0.05 sd is already significant.
MOST_ROWS = 10_000
BATCH = 1024

Bounds = Mapping[int, tuple[int, int]]
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
    decode = LogDecoder(settings, runtime.manifest)
    records = _published(settings, _bounds(found), advance)
    rows = rescored(runtime, decode, records, step, lambda at: at in window)
    which = "every event" if step == 1 else f"one in {step} events"
    return Rows(*rows, _source(f"{which} of the window, from the input topic", decode))


def before_window(
    settings: Settings, runtime: Runtime, spans: Sequence[SummarySpan], window: ReportWindow, advance: Advance
) -> Rows:
    """The first events that the input topic still holds and that are older than the window; may be empty.

    Raises:
        BrokerError: the topic cannot be read.
    """
    decode = LogDecoder(settings, runtime.manifest)
    older = [span for span in spans if span.last < window.since]
    full = min((span.first for span in older), default=window.since) + decode.reach
    first: list[SummarySpan] = []
    for span in [span for span in older if span.first >= full] or older:
        first.append(span)
        if sum(entry.scored for entry in first) >= MOST_ROWS:
            break
    records = islice(_published(settings, _bounds(first), advance), MOST_ROWS) if first else iter(())
    rows = rescored(runtime, decode, records, 1, lambda at: at < window.since)
    return Rows(*rows, _source("the first events that the input topic holds before the window", decode))


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


def _published(settings: Settings, bounds: Bounds, advance: Advance) -> Iterator[Record]:
    for read, message in enumerate(read_to_end(settings, TRANSACTIONS, bounds=bounds)):
        if read % BATCH == 0:
            advance(read)
        yield message


def rescored(
    runtime: Runtime, decode: LogDecoder, records: Iterable[Record], step: int, wanted: Callable[[datetime], bool]
) -> tuple[list[str], np.ndarray, list[datetime]]:
    """The wanted events at every n-th offset; windows see those between."""
    names = _names(runtime)
    parts, times = [np.empty((0, len(names)), dtype=np.float32)], list[datetime]()
    if not runtime.manifest.definition.windows:
        records = (record for record in records if (record.offset() or 0) % step == 0)
    source = iter(records)
    while batch := list(islice(source, BATCH)):
        decoded = decode(batch)
        at_step = np.array([(batch[row].offset() or 0) % step == 0 for row in decoded.rows.tolist()], dtype=np.bool_)
        decoded, scored = score(runtime, decoded.keep(at_step))
        kept = [i for i, at in enumerate(decoded.event_times) if wanted(at)]
        parts.append(_columns(decoded.inputs, scored)[kept])
        times += [decoded.event_times[i] for i in kept]
    return names, np.concatenate(parts), times


def _source(words: str, decode: LogDecoder) -> str:
    return f"{words}; {decode.remark}" if decode.remark else words


def _names(runtime: Runtime) -> list[str]:
    manifest = runtime.manifest
    return [*(entry.name for entry in manifest.inputs), "score", *(f"latent {i}" for i in range(manifest.latent_size))]


def _columns(inputs: np.ndarray, scored: Scored) -> np.ndarray:
    return np.column_stack((inputs, scored.score, scored.latent))
