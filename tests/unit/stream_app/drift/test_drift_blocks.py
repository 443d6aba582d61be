"""Blocks: filled by whole summaries of any partition, each knowing where it began."""

from hypothesis import given
from hypothesis import strategies as st

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
