"""What a reader makes of a micro-batch: the fields of the good records, and the refusals of the others."""

from collections.abc import Callable, Sequence

import msgspec

from schemas.errors import UserError
from schemas.scoring import RefusalCode
from stream_app.pipeline.batch import Raw, Refusal
from stream_app.pipeline.shape import Tuples

Outcomes = tuple[Tuples, Sequence[int], list[Refusal]]
"""The fields of the good records, the row of each in the batch, and the refusals of the other rows."""
Reader = Callable[[Raw], Outcomes]


class RecordsError(UserError):
    """Records cannot be read as the definition says; the message says what to change."""


class SchemaError(Exception):
    """No record can be read by a schema; the message says what is wrong with it."""


def unread(row: int, value: bytes | None, limit: int) -> Refusal:
    """The refusal of a record without a value, or with one that is too large to be read."""
    if not value:
        what = "has no value (a tombstone)" if value is None else "is empty"
        return Refusal(row, RefusalCode.EMPTY, f"the record {what}")
    return Refusal(row, RefusalCode.TOO_LARGE, f"the record has {len(value)} bytes, {limit} are allowed")


def misfit(row: int, error: msgspec.ValidationError) -> Refusal:
    """The refusal of a record whose values are not as the definition says. The sentence names the path."""
    sentence = str(error)
    if "missing required field" in sentence:
        return Refusal(row, RefusalCode.MISSING_FIELD, sentence)
    # Numbers, lengths and times out of bounds: msgspec tells these apart only in its sentences.
    if any(sign in sentence for sign in ("out of range", ">=", "<=", "Invalid", "timezone")):
        return Refusal(row, RefusalCode.OUT_OF_RANGE, sentence)
    return Refusal(row, RefusalCode.WRONG_TYPE, sentence + _hint(sentence))


def _hint(sentence: str) -> str:
    """Where a type is wrong because the definition says another one than the producer has."""
    if sentence.startswith(("Expected `datetime`, got `int`", "Expected `datetime`, got `float`")):
        return '; a number needs its unit in the definition: time_unit = "ms" under [event]'
    return ""
