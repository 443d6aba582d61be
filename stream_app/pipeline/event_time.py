"""Times of events: numbers as times, what follows from the clock, and the refusal of times that cannot be.

Refused are events before 1990, after 2099, or further ahead of their record than is allowed. The clock is the timestamp
of the event's own record, so that a replay decides the same: the broker's, where the topic has LogAppendTime, otherwise
the producer's. A record without a timestamp that can be is judged by the calendar alone. Late events are not refused,
however late: a history may be replayed.
"""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np

from models.season import LAST_NIGHT_HOUR, SATURDAY
from schemas.definition import MICROSECONDS, ClockValue, EventFields
from schemas.scoring import RefusalCode
from stream_app.kafka.log import Record
from stream_app.kafka.records import EARLIEST, LATEST, is_plausible, moment_of
from stream_app.pipeline.batch import Decoded

DAY_US, HOUR_US = 86_400_000_000, 3_600_000_000
THURSDAY = 3  # the first day of 1970, of a week that begins with Monday as 0
_EARLIEST_MS, _LATEST_MS = (at.timestamp() * 1000 for at in (EARLIEST, LATEST))


def moments(written: Sequence[Any], event: EventFields) -> tuple[Sequence[datetime], np.ndarray | None]:
    """The times of events; of numbers also as int64 [m], microseconds since 1970. One that cannot be is 1970.

    Args:
        written: As the records have them: times, or numbers.
        event: Of the definition.
    """
    unit = event.unit
    if unit is None:
        return written, None
    us = np.array(written, dtype=np.float64) * MICROSECONDS[unit]
    possible = (us >= _EARLIEST_MS * 1000) & (us < _LATEST_MS * 1000)
    whole = np.floor(np.where(possible, us, 0) + 0.5).astype(np.int64)
    return [at.replace(tzinfo=UTC) for at in whole.astype("datetime64[us]").tolist()], whole


def clock_flags(event_times: Sequence[datetime], us: np.ndarray | None, clock: ClockValue) -> np.ndarray:
    """What the clock gives for each event, bool [m]; the times are UTC.

    Args:
        event_times: Of m events.
        us: The same as microseconds, where that is known already.
        clock: Which.
    """
    if us is None:
        us = np.array([at.timestamp() for at in event_times]) * 1e6
    if clock == "weekend":
        flags: np.ndarray = (us // DAY_US + THURSDAY) % 7 + 1 >= SATURDAY
        return flags
    night: np.ndarray = us % DAY_US // HOUR_US <= LAST_NIGHT_HOUR
    return night


def timely(
    decoded: Decoded, records: Sequence[Record], ahead_max: timedelta, written: tuple[EventFields, Sequence[Any]]
) -> Decoded:
    """The batch with those events moved to the refused ones.

    Args:
        decoded: The batch.
        records: The records that it was decoded from; none where they never were on a topic.
        ahead_max: How much later than its record an event may be.
        written: How the definition reads times, and the times of the m events as their records have them.
    """
    times = decoded.event_times
    if not times:
        return decoded
    stamps = [record.timestamp()[1] for record in records]
    first, last, oldest = min(times), max(times), min(stamps, default=_LATEST_MS)
    if is_plausible(first) and is_plausible(last) and (last - ahead_max).timestamp() * 1000 <= oldest:
        return decoded  # even the newest event is not ahead of the oldest record: so it is as a rule, at little cost
    wrong = _wrong(times, np.array(stamps, dtype=np.int64)[decoded.rows] if stamps else None, ahead_max)
    sentences = {}
    for i in np.flatnonzero(wrong).tolist():
        record = records[int(decoded.rows[i])] if stamps else None
        sentences[i] = _sentence(times[i], record, ahead_max, (written[0], written[1][i]))
    return decoded.refuse(sentences, RefusalCode.IMPLAUSIBLE_TIME) if sentences else decoded


def _wrong(times: Sequence[datetime], stamps: np.ndarray | None, ahead_max: timedelta) -> np.ndarray:
    """Bool [m], which events are refused."""
    at = np.array([time.timestamp() * 1000 for time in times])
    wrong = (at < _EARLIEST_MS) | (at >= _LATEST_MS)
    if stamps is not None:
        known = (stamps >= _EARLIEST_MS) & (stamps < _LATEST_MS)
        wrong |= known & (at > stamps + ahead_max.total_seconds() * 1000)
    return wrong


def _sentence(at: datetime, record: Record | None, ahead_max: timedelta, written: tuple[EventFields, Any]) -> str:
    if not is_plausible(at):
        unit = written[0].unit
        what = at.isoformat() if unit is None else f"{written[1]} {unit}"
        return (
            f"event_time {what} cannot be: it is not from {EARLIEST.year} to {LATEST.year - 1}, "
            f"as of a wrong unit or a clock that was never set{'' if unit is None else _fitting(written[1], unit)}"
        )
    clock = moment_of(record) if record is not None else None
    return (
        f"event_time {at.isoformat()} is later than its own record, of {clock:%Y-%m-%dT%H:%M:%SZ}, by more than "
        f"event_ahead_max_s ({ahead_max.total_seconds():g} s): a clock, a time zone or a unit is wrong"
    )


def _fitting(number: float | None, unit: str) -> str:
    """The unit in which a number would be a time."""
    for other, factor in MICROSECONDS.items():
        if number is not None and other != unit and _EARLIEST_MS <= number * factor / 1000 < _LATEST_MS:
            at = datetime.fromtimestamp(number * factor / 1e6, UTC)
            return f': in {other} it is {at:%Y-%m-%d %H:%M}, which the definition says by time_unit = "{other}"'
    return ""
