"""Reads records in JSON: parsed and validated in one pass.

A micro-batch is parsed in one call, a record a line, if that cannot mistake one record for another; in any doubt its
records are decoded one by one, and only there refused.
"""

from collections.abc import Sequence
from typing import Any

import msgspec

from schemas.scoring import RefusalCode
from stream_app.pipeline.batch import Raw, Refusal
from stream_app.pipeline.formats.outcomes import Outcomes, misfit, unread
from stream_app.pipeline.shape import Shape

# Only a top level takes two values side by side, so an incomplete record cannot be completed by the next one.
BETWEEN = b"\nnull\nnull\n"

Events = tuple[list[Any], Sequence[int], list[Refusal]]
"""Structs, the row of each in the batch, and the refusals of the other rows."""


class JsonReader:
    """Reads the records of one shape.

    Args:
        shape: What is wanted of each.
        record_max_bytes: Larger values are refused unread.
    """

    def __init__(self, shape: Shape, record_max_bytes: int) -> None:
        self._shape = shape
        self._record_max_bytes = record_max_bytes
        self._decode = msgspec.json.Decoder(shape.kind).decode
        self._decode_lines = msgspec.json.Decoder(shape.kind | None).decode_lines

    def __call__(self, raw: Raw) -> Outcomes:
        """The fields of a micro-batch."""
        events, rows, refused = self._at_once(raw.values) or self._one_by_one(raw.values)
        return self._shape.read(events), rows, refused

    def _at_once(self, values: Sequence[bytes | None]) -> Events | None:
        """All records in one call, which saves a fifth of the time; None unless all are certainly good."""
        try:
            lines = BETWEEN.join(values)  # type: ignore[arg-type]  # a tombstone is a TypeError
            if len(lines) > self._record_max_bytes < max(map(len, values)):  # type: ignore[arg-type]
                return None
            found = self._decode_lines(lines)
        except (TypeError, msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return None
        events = found[::3]
        whole = len(found) == 3 * len(values) - 2 and all(events) and not any(found[1::3]) and not any(found[2::3])
        return (events, range(len(events)), []) if whole else None

    def _one_by_one(self, values: Sequence[bytes | None]) -> Events:
        """Record by record, each with its own fate."""
        events, rows, refused = [], [], []
        decode, limit = self._decode, self._record_max_bytes
        for row, value in enumerate(values):
            if value is None or len(value) > limit:
                refused.append(unread(row, value, limit))
                continue
            try:
                events.append(decode(value))
                rows.append(row)
            except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
                refused.append(_refusal(row, value, error))
        return events, rows, refused


def _refusal(row: int, value: bytes, error: Exception) -> Refusal:
    """The refusal for a decoding error. Its sentence is the decoder's own, which names the path."""
    if not value.strip():
        return Refusal(row, RefusalCode.EMPTY, "the record is empty")
    if isinstance(error, RecursionError):
        return Refusal(row, RefusalCode.TOO_DEEP, "the JSON is nested too deeply")
    if not isinstance(error, msgspec.ValidationError):
        return Refusal(row, RefusalCode.NOT_JSON, str(error))
    return misfit(row, error)
