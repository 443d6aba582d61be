"""Times that cannot be are refused, one by one; by event and record alone, and never for being late."""

from dataclasses import replace

import pytest

from schemas.scoring import RefusalCode
from stream_app.pipeline.batch import Raw
from stream_app.pipeline.decode import Decoder
from stream_app.testing.memory_cluster import MemoryMessage
from tests.unit.stream_app.pipeline.rows import DEFINITION, encoded, raw

decode = Decoder(DEFINITION, 10_000)
NOON_MS = 1_772_366_400_000  # 2026-03-01T12:00Z
STAMPS_THAT_CANNOT_BE = [-1, 0, 1, NOON_MS // 1000, NOON_MS * 1000, NOON_MS * 10**6]


def at(*times: str, stamp: int = NOON_MS) -> Raw:
    """Events of these times among good ones, in records of one timestamp."""
    good = encoded(event_time="2026-03-01T11:59:59Z")
    taken = raw(good, *(encoded(event_time=time) for time in times), good)
    return replace(taken, records=[MemoryMessage(value, at=(1, stamp)) for value in taken.values])


NEVER = [
    "1970-01-01T00:00:00Z",
    "1970-01-21T12:19:26Z",
    "1989-12-31T23:59:59Z",
    "2100-01-01T00:00:00Z",
    "9999-12-31T23:59:59.999999Z",
    "9999-12-31T23:59:59-14:00",
    "0001-01-01T00:00:00Z",
    "0001-01-01T00:00:00+14:00",
]


@pytest.mark.parametrize("stamp", [NOON_MS, *STAMPS_THAT_CANNOT_BE])
@pytest.mark.parametrize("time", NEVER)
def test_a_year_that_cannot_be_is_refused_whatever_the_record_says(time: str, stamp: int) -> None:
    decoded = decode(at(time, stamp=stamp))
    assert [(refusal.row, refusal.code) for refusal in decoded.refused] == [(1, RefusalCode.IMPLAUSIBLE_TIME)]
    assert decoded.rows.tolist() == [0, 2]


def test_it_is_refused_also_where_there_is_no_record() -> None:
    decoded = decode(replace(at("1970-01-01T00:00:00Z"), records=()))
    assert [refusal.row for refusal in decoded.refused] == [1]


def test_an_event_later_than_its_record_allows_is_refused_with_both_times() -> None:
    decoded = decode(at("2026-03-01T13:00:00Z", "2026-03-01T13:00:01Z", "2026-03-03T00:00:00+02:00"))
    assert decoded.rows.tolist() == [0, 1, 4]
    assert [refusal.row for refusal in decoded.refused] == [2, 3]
    assert decoded.refused[0].sentence == (
        "event_time 2026-03-01T13:00:01+00:00 is later than its own record, of 2026-03-01T12:00:00Z, by more than "
        "event_ahead_max_s (3600 s): a clock, a time zone or a unit is wrong"
    )


def test_how_much_later_is_a_setting() -> None:
    patient = Decoder(DEFINITION, 10_000, ahead_max_s=14 * 3600.0)
    assert len(patient(at("2026-03-02T02:00:00Z", "2026-03-02T02:00:01Z")).refused) == 1


@pytest.mark.parametrize("time", ["2026-02-24T12:00:00Z", "2018-04-26T10:00:00Z", "1990-01-01T00:00:00Z"])
def test_a_late_event_is_scored_however_late(time: str) -> None:
    assert not decode(at(time)).refused


@pytest.mark.parametrize("stamp", STAMPS_THAT_CANNOT_BE)
def test_a_timestamp_that_cannot_be_refuses_nothing(stamp: int) -> None:
    assert not decode(at("2026-03-01T11:00:00Z", "2018-04-26T10:00:00Z", stamp=stamp)).refused


def test_each_is_judged_by_its_own_record_and_refusals_of_other_kinds_stay() -> None:
    taken = at("2026-03-05T00:00:00Z", "2026-03-05T00:00:00Z", "not a time")
    later = NOON_MS + 4 * 86_400_000
    records = [MemoryMessage(v, at=(1, later if row == 2 else NOON_MS)) for row, v in enumerate(taken.values)]
    decoded = decode(replace(taken, records=records))
    codes = {refusal.row: refusal.code for refusal in decoded.refused}
    assert codes == {1: RefusalCode.IMPLAUSIBLE_TIME, 3: RefusalCode.OUT_OF_RANGE}
    assert decoded.rows.tolist() == [0, 2, 4]
