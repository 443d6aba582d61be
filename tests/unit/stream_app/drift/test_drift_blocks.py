"""Blocks: filled by whole summaries of any partition, each knowing where it began."""

from datetime import datetime, timedelta, timezone

from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from stream_app.drift.blocks import Blocks
from tests.unit.stream_app.drift.streams import SUMMARY_ROWS, event_time, summaries, world


def test_a_block_closes_with_the_summary_that_fills_it():
    blocks = Blocks(256)
    made = [blocks.add(summary) for summary in summaries(world(1024))]
    assert [i for i, block in enumerate(made) if block] == [3, 7, 11, 15]
    assert all(block.sums.scored == 256 for block in made if block)


def test_a_block_knows_its_first_offsets_and_its_time():
    blocks = Blocks(256)
    made = [block for summary in summaries(world(512), partitions=2) if (block := blocks.add(summary))]
    assert made[0].offsets == {0: 0, 1: 0}
    assert made[1].offsets == {0: 128, 1: 128}
    assert (made[1].begins, made[1].ends) == (event_time(256), event_time(511))


def test_partitions_that_are_silent_keep_their_place():
    log = list(summaries(world(1024), partitions=2))
    blocks = Blocks(256)
    made = [block for s in [*log[:4], *(s for s in log[4:] if s.partition == 0)] if (block := blocks.add(s))]
    assert made[1].offsets == {0: 128, 1: 128}


@given(sizes=st.lists(st.integers(1, 2000), min_size=1, max_size=30))
def test_nothing_is_lost_and_a_backlog_becomes_one_larger_block(sizes):
    blocks, given_out = Blocks(256), []
    for size in sizes:
        (summary,) = (s for s in summaries(world(SUMMARY_ROWS), partitions=1) if s.partition == 0)
        scaled = type(summary)(**{**{f: getattr(summary, f) for f in summary.__struct_fields__}, "scored": size})
        given_out.append(blocks.add(scaled))
    closed = [block.sums.scored for block in given_out if block]
    last = max((i for i, block in enumerate(given_out) if block), default=-1)
    assert sum(closed) == sum(sizes[: last + 1])
    assert all(256 <= events < 256 + max(sizes) for events in closed)
    assert sum(sizes[last + 1 :]) < 256


DAY = timedelta(days=1)


def times(*changes):
    """Event times of one block for each change, which is made to the span of the second of its four summaries."""
    blocks, log = Blocks(256), list(summaries(world(256 * len(changes))))
    found = []
    for number, change in enumerate(changes):
        four = log[4 * number : 4 * number + 4]
        four[1] = replace(four[1], **change(four[1]))
        found += [(block.begins, block.ends) for summary in four if (block := blocks.add(summary))]
    return found


def usual(_):
    return {}


USUAL = [(event_time(256 * block), event_time(256 * block + 255)) for block in range(4)]


def test_a_few_late_transactions_do_not_date_a_block_back():
    found = times(usual, lambda s: {"event_time_min": s.event_time_min - 5 * DAY}, usual)
    assert found[0] == USUAL[0]
    assert USUAL[0][0] <= found[1][0] <= USUAL[1][0]
    assert found[1][1] == USUAL[1][1]
    assert found[2] == USUAL[2]


def test_a_transaction_whose_clock_is_ahead_does_not_date_a_block_forward():
    found = times(usual, lambda s: {"event_time_max": s.event_time_max + 400 * DAY}, usual)
    assert found[0] == USUAL[0]
    assert found[1][0] == USUAL[1][0]
    assert USUAL[0][1] <= found[1][1] <= USUAL[1][1]
    assert found[2] == USUAL[2]


def test_a_stream_that_pauses_or_is_replayed_is_dated_as_it_is():
    log = list(summaries(world(768)))
    blocks, apart = Blocks(256), [timedelta(0), 400 * DAY, -30 * DAY]
    moved = [
        replace(s, event_time_min=s.event_time_min + apart[i // 4], event_time_max=s.event_time_max + apart[i // 4])
        for i, s in enumerate(log)
    ]
    found = [(block.begins, block.ends) for summary in moved if (block := blocks.add(summary))]
    assert found == [(begins + by, ends + by) for (begins, ends), by in zip(USUAL[:3], apart, strict=True)]


def test_times_that_cannot_be_are_of_no_block():
    never = datetime(9999, 12, 31, 23, 59, 59, tzinfo=timezone(-timedelta(hours=14)))
    found = times(usual, lambda s: {"event_time_min": never, "event_time_max": never})
    assert found == USUAL[:2]
