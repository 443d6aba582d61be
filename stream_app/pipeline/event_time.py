"""Refuses events whose time cannot be: before 1990, after 2099, or further ahead of their record than is allowed.

The clock is the timestamp of the event's own record, so that a replay decides the same: the broker's, where the topic
has LogAppendTime, otherwise the producer's. A record without a timestamp that can be is judged by the calendar alone.
Late events are not refused, however late: a history may be replayed.
"""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta

import numpy as np

from schemas.transactions import RefusalCode
from stream_app.kafka.log import Record
from stream_app.kafka.records import EARLIEST, LATEST, is_plausible, moment_of
from stream_app.pipeline.batch import Decoded, Refusal

_EARLIEST_MS, _LATEST_MS = (at.timestamp() * 1000 for at in (EARLIEST, LATEST))


def timely(decoded: Decoded, records: Sequence[Record], ahead_max: timedelta) -> Decoded:
    """The batch with those events moved to the refused ones.

    Args:
        decoded: The batch.
        records: The records that it was decoded from; none where they never were on a topic.
        ahead_max: How much later than its record an event may be.
    """
    times = decoded.event_times
    if not times:
        return decoded
    stamps = [record.timestamp()[1] for record in records]
    first, last, oldest = min(times), max(times), min(stamps, default=_LATEST_MS)
    if is_plausible(first) and is_plausible(last) and (last - ahead_max).timestamp() * 1000 <= oldest:
        return decoded  # even the newest event is not ahead of the oldest record: so it is as a rule, at little cost
    wrong = _wrong(times, np.array(stamps, dtype=np.int64)[decoded.rows] if stamps else None, ahead_max)
    refused = [
        Refusal(row, RefusalCode.IMPLAUSIBLE_TIME, _sentence(times[i], records[row] if stamps else None, ahead_max))
        for i, row in ((i, int(decoded.rows[i])) for i in np.flatnonzero(wrong).tolist())
    ]
    return replace(decoded.keep(~wrong), refused=[*decoded.refused, *refused]) if refused else decoded


def _wrong(times: Sequence[datetime], stamps: np.ndarray | None, ahead_max: timedelta) -> np.ndarray:
    """Bool [m], which events are refused."""
    at = np.array([time.timestamp() * 1000 for time in times])
    wrong = (at < _EARLIEST_MS) | (at >= _LATEST_MS)
    if stamps is not None:
        known = (stamps >= _EARLIEST_MS) & (stamps < _LATEST_MS)
        wrong |= known & (at > stamps + ahead_max.total_seconds() * 1000)
    return wrong


def _sentence(at: datetime, record: Record | None, ahead_max: timedelta) -> str:
    if not is_plausible(at):
        return (
            f"event_time {at.isoformat()} cannot be: it is not from {EARLIEST.year} to {LATEST.year - 1}, "
            "as of a wrong unit or a clock that was never set"
        )
    clock = moment_of(record) if record is not None else None
    return (
        f"event_time {at.isoformat()} is later than its own record, of {clock:%Y-%m-%dT%H:%M:%SZ}, by more than "
        f"event_ahead_max_s ({ahead_max.total_seconds():g} s): a clock, a time zone or a unit is wrong"
    )
