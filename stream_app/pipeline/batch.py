"""The forms that a micro-batch takes between the stages, from consume to commit, always with its own offsets."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import TYPE_CHECKING

import numpy as np

from schemas.scoring import RefusalCode, Severity
from stream_app.kafka.log import Record

if TYPE_CHECKING:  # commands read records, too, and need no torch for that
    from models.runtime import Scored
    from stream_app.pipeline.serving import SecondModel, Serving


@dataclass(frozen=True, slots=True)
class Raw:
    """One micro-batch as it came from the broker: n records in parallel columns, in the order of each partition.

    Attributes:
        values: The record values; None is a tombstone.
        partitions: Input partition of each record.
        offsets: Offset of each record.
        records: The client's own messages.
        spans: For each partition in the batch, the first offset that it covers and the offset after its last record.
            Spans of successive batches join without a gap, also over offsets without a record.
    """

    values: Sequence[bytes | None]
    partitions: Sequence[int]
    offsets: Sequence[int]
    records: Sequence[Record]
    spans: Mapping[int, tuple[int, int]]


@dataclass(frozen=True, slots=True)
class Refusal:
    """A record that will become a dead letter.

    Attributes:
        row: Its row in the raw batch.
        code: The stable reason.
        sentence: The reason for a person.
    """

    row: int
    code: RefusalCode
    sentence: str


@dataclass(frozen=True, slots=True)
class Past:
    """What windows look at in the accepted records of a micro-batch.

    Attributes:
        times: int64 [m], microseconds since 1970.
        columns: Path to the m values: int64 keys where only the identity counts, else float64 in the input's scale.
    """

    times: np.ndarray
    columns: Mapping[str, np.ndarray]

    def keep(self, rows: Sequence[int]) -> "Past":
        """Only these rows."""
        return Past(self.times[rows], {path: values[rows] for path, values in self.columns.items()})


@dataclass(frozen=True, slots=True)
class Decoded:
    """The accepted records of a micro-batch as columns of m rows, and the refused ones.

    Attributes:
        rows: int64 [m], row of each accepted record in the raw batch, ascending.
        inputs: float32 [m, inputs], raw values in the order of the manifest, NaN where missing.
        event_ids: m strings.
        entities: m strings.
        event_times: m timezone-aware datetimes.
        refused: One for each record that is not in `rows`.
        segments: int64 [m], segment of each, 0 for none; None if the model has no segments.
        texts: Column of each category to its m values, empty where there is none.
        past: What windows look at; None if the definition has none. Their columns of `inputs` are NaN until then.
    """

    rows: np.ndarray
    inputs: np.ndarray
    event_ids: Sequence[str]
    entities: Sequence[str]
    event_times: Sequence[datetime]
    refused: Sequence[Refusal]
    segments: np.ndarray | None = None
    texts: Mapping[int, Sequence[str]] = field(default_factory=dict)
    past: Past | None = None

    def keep(self, mask: np.ndarray) -> "Decoded":
        """The same batch with only the rows of `mask` (bool [m]); refused records stay refused."""
        kept = np.flatnonzero(mask).tolist()
        return replace(
            self,
            rows=self.rows[kept],
            inputs=self.inputs[kept],
            event_ids=[self.event_ids[i] for i in kept],
            entities=[self.entities[i] for i in kept],
            event_times=[self.event_times[i] for i in kept],
            segments=None if self.segments is None else self.segments[kept],
            texts={column: [values[i] for i in kept] for column, values in self.texts.items()},
            past=None if self.past is None else self.past.keep(kept),
        )

    def refuse(self, sentences: Mapping[int, str], code: RefusalCode) -> "Decoded":
        """The same batch with some of the m rows moved to the refused ones, each with its sentence."""
        mask = np.ones(len(self.rows), dtype=bool)
        mask[list(sentences)] = False
        refused = (Refusal(int(self.rows[i]), code, sentence) for i, sentence in sentences.items())
        return replace(self.keep(mask), refused=[*self.refused, *refused])


@dataclass(frozen=True, slots=True)
class Decided:
    """The rows of a micro-batch that one model decides.

    Attributes:
        author: The model in service, or the canary.
        decoded: The rows.
        scored: Its outputs, row by row.
    """

    author: "Serving | SecondModel"
    decoded: Decoded
    scored: "Scored"


@dataclass(frozen=True, slots=True)
class Reasoned:
    """The anomalies among the rows that a model decides, and why they are.

    Attributes:
        rows: int64 [a], which of the decided rows, ascending.
        p_values: float64 [a].
        severities: One for each.
        top: int64 [a, reasons], columns of the inputs that contribute most, largest first.
        shares: float64 [a, reasons], their parts of the score.
    """

    rows: np.ndarray
    p_values: np.ndarray
    severities: Sequence[Severity]
    top: np.ndarray
    shares: np.ndarray
