"""Reads records in Avro, of one writer's schema at a time: all records of a micro-batch in one call."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import numpy as np

from schemas.definition import EventFields
from schemas.scoring import RefusalCode
from stream_app.pipeline.batch import Refusal
from stream_app.pipeline.formats import avro_machine as m
from stream_app.pipeline.formats.avro_schema import MILLIS, NANOS, compile_schema
from stream_app.pipeline.formats.leaves import AnyLeaves, Column, Leaves
from stream_app.pipeline.formats.outcomes import Outcomes

NO_TEXT, NO_TIME = 100, 101  # beside what the machine finds wrong with a record
WRONG = {
    m.CUT_SHORT: "it ends before its last field",
    m.TOO_LONG: "it goes on after its last field",
    m.ENDLESS: "a list or a map in it has more items than the record has bytes",
    m.NO_LENGTH: "a text in it has a negative length",
    m.NO_BRANCH: "a union in it has a branch that the schema has not",
    m.NO_SYMBOL: "an enum in it has a symbol that the schema has not",
    m.NO_TRUTH: "a truth value in it is neither 0 nor 1",
    m.NO_NUMBER: "an integer in it has more than 64 bits",
    NO_TEXT: "a text in it is not UTF-8",
}
FIRST_US, LAST_US = -62_135_596_800_000_000, 253_402_300_799_999_999  # of the years 1 to 9999
NUMBERS = np.isin(np.arange(256), (m.MISSING, m.WHOLE, m.REAL))


class AvroReader:
    """Reads the records of one writer's schema.

    Args:
        text: The schema.
        referred: Those that it refers to.
        leaves: What is wanted.
        event: How the definition reads times.

    Raises:
        SchemaError: it is no Avro schema.
    """

    def __init__(self, text: str, referred: Sequence[str], leaves: Leaves | AnyLeaves, event: EventFields) -> None:
        paths = leaves.paths
        time = paths.index(event.time) if event.time_unit is None and event.time in paths else None
        self._program, self._symbols = compile_schema(text, paths, time, referred)
        self._leaves = leaves
        self._has_times = time is not None

    def __call__(self, values: Sequence[bytes], skipped: int, rows: Sequence[int]) -> Outcomes:
        """The fields of records.

        Args:
            values: Of the records.
            skipped: How many bytes of each stand before the record itself.
            rows: Of the records in the batch.
        """
        joined = b"".join(values)
        sizes = np.fromiter(map(len, values), np.int64, len(values))
        ends = np.cumsum(sizes)
        columns = _columns(len(values), len(self._leaves.paths))
        data = np.frombuffer(joined or b"\0", dtype=np.uint8)
        status = m.run(self._program, data, ends - sizes + skipped, ends, columns)
        if self._has_times:
            status[(status == m.GOOD) & _beyond_the_calendar(columns)] = NO_TIME
        good = np.flatnonzero(status == m.GOOD)
        try:
            taken = self._taken(columns, good, joined)
        except UnicodeDecodeError:
            status[_not_text(columns, good, joined)] = NO_TEXT
            good = np.flatnonzero(status == m.GOOD)
            taken = self._taken(columns, good, joined)
        found, kept, refused = self._leaves.outcomes(taken, [rows[i] for i in good.tolist()])
        bad = np.flatnonzero(status != m.GOOD).tolist()
        return found, kept, [*(_refusal(rows[i], int(status[i])) for i in bad), *refused]

    def _taken(self, columns: m.Columns, good: np.ndarray, joined: bytes) -> list[Column]:
        """The values of every leaf in the good records."""
        some = columns if len(good) == len(columns.tags) else m.Columns(*(part[good] for part in columns))
        columns = m.Columns(*(np.ascontiguousarray(part.T) for part in some))
        return [self._column(slot, columns, joined) for slot in range(len(columns.tags))]

    def _column(self, slot: int, columns: m.Columns, joined: bytes) -> Column:
        tags = columns.tags[slot]
        if slot in self._leaves.numbers and NUMBERS[tags].all():
            numbers: np.ndarray = columns.real[slot]
            return numbers
        if (tags == tags[:1]).all():
            return self._values(int(tags[0]), slot, columns, joined) if len(tags) else []
        values: list[Any] = [None] * len(tags)
        for tag in np.unique(tags).tolist():
            places = np.flatnonzero(tags == tag)
            some = m.Columns(*(part[:, places] for part in columns))
            for place, value in zip(places.tolist(), self._values(tag, slot, some, joined), strict=True):
                values[place] = value
        return values

    def _values(self, tag: int, slot: int, columns: m.Columns, joined: bytes) -> list[Any]:  # noqa: PLR0911
        """The values of a leaf where all have the same tag."""
        whole: list[int] = columns.whole[slot].tolist()
        if tag == m.WRITTEN:
            ends = (columns.whole[slot] + columns.more[slot]).tolist()
            return [joined[at:end].decode() for at, end in zip(whole, ends, strict=True)]
        if tag == m.WHOLE:
            return whole
        if tag == m.REAL:
            return list(columns.real[slot].tolist())
        if tag == m.TRUTH:
            return [value == 1 for value in whole]
        if tag == m.TIME:
            return times(_microseconds(columns.whole[slot], columns.more[slot]))
        more = columns.more[slot].tolist()
        if tag == m.SYMBOL:
            return [self._symbols[symbols][number] for number, symbols in zip(whole, more, strict=True)]
        if tag in (m.BYTES, m.DECIMAL):
            parts = [joined[at : at + size] for at, size in zip(whole, more, strict=True)]
            scales = map(int, columns.real[slot].tolist())
            return parts if tag == m.BYTES else list(map(_decimal, parts, scales))
        return [{m.OBJECT: {}, m.LIST: []}.get(tag)] * len(whole)


def times(us: np.ndarray) -> list[datetime]:
    """Microseconds since 1970 as times."""
    return [at.replace(tzinfo=UTC) for at in us.astype("datetime64[us]").tolist()]


def _columns(records: int, slots: int) -> m.Columns:
    shape = records, slots
    return m.Columns(
        np.zeros(shape, np.uint8), np.zeros(shape, np.int64), np.full(shape, np.nan), np.zeros(shape, np.int64)
    )


def _microseconds(written: np.ndarray, unit: np.ndarray) -> np.ndarray:
    """Of times in the units of their schema; as far off as can be where there are more than 64 bits of them."""
    us = np.where(unit == NANOS, written // 1000, written)
    far = (unit == MILLIS) & (np.abs(written // 1000) > LAST_US // 1_000_000)
    scaled: np.ndarray = np.where(far, LAST_US + 1, np.where(unit == MILLIS, us * 1000, us))
    return scaled


def _beyond_the_calendar(columns: m.Columns) -> np.ndarray:
    """Bool [records], which have a time that no calendar has."""
    us = _microseconds(columns.whole, columns.more)
    beyond: np.ndarray = ((columns.tags == m.TIME) & ((us < FIRST_US) | (us > LAST_US))).any(axis=1)
    return beyond


def _not_text(columns: m.Columns, good: np.ndarray, joined: bytes) -> list[int]:
    """The records of which a text is not UTF-8."""
    found = []
    for at in good.tolist():
        for slot in np.flatnonzero(columns.tags[at] == m.WRITTEN).tolist():
            begins = int(columns.whole[at, slot])
            try:
                joined[begins : begins + int(columns.more[at, slot])].decode()
            except UnicodeDecodeError:
                found.append(at)
                break
    return found


def _decimal(digits: bytes, scale: int) -> float | None:
    """The number nearest to a decimal; None of none."""
    return int.from_bytes(digits, "big", signed=True) / 10**scale if digits else None


def _refusal(row: int, status: int) -> Refusal:
    if status == m.DEEP:
        return Refusal(row, RefusalCode.TOO_DEEP, "the record is nested too deeply")
    if status == NO_TIME:
        return Refusal(row, RefusalCode.IMPLAUSIBLE_TIME, "event_time is in no calendar: its unit or a clock is wrong")
    return Refusal(row, RefusalCode.NOT_AVRO, f"the record is not of the schema that it names: {WRONG[status]}")
