"""The ledger: every way in which an account can be wrong is found and named with its offsets."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream_app.verify import ledger
from stream_app.verify.ledger import LedgerBreak, LedgerSpan, Loss

A = LedgerSpan(0, 10, 9, 1, 2)
B = LedgerSpan(10, 25, 12, 0, 0)  # three offsets hold no record
C = LedgerSpan(25, 30, 5, 0, 1)


def joins(*spans: LedgerSpan, start: int | None = 0, committed: int = 30) -> list[LedgerBreak]:
    return list(ledger.joins(3, spans, start, committed))


def test_spans_that_join_up_to_the_committed_offset_are_in_order():
    assert joins(A, B, C) == []


def test_a_lost_summary_is_named_with_the_offsets_it_held():
    assert joins(A, C) == [LedgerBreak(3, 10, 25, "not accounted for: neither scored nor dead-lettered")]


def test_a_repeated_summary_is_named():
    assert joins(A, B, B, C) == [LedgerBreak(3, 10, 25, "accounted for twice")]


def test_an_overlap_is_named_with_the_offsets_that_overlap():
    assert joins(A, LedgerSpan(7, 25, 18, 0, 0), C) == [LedgerBreak(3, 7, 10, "accounted for twice")]


def test_a_commit_beyond_the_last_summary_is_named():
    assert joins(A, B) == [LedgerBreak(3, 25, 30, "committed, but neither scored nor dead-lettered")]


def test_what_the_input_held_before_the_first_summary_is_missed_and_what_it_has_lost_is_not():
    assert joins(B, C, start=4) == [LedgerBreak(3, 4, 10, "not accounted for: neither scored nor dead-lettered")]
    assert joins(B, C, start=10) == []
    assert joins(B, C, start=27) == []


def test_an_account_whose_beginning_has_been_deleted_begins_with_what_is_left():
    assert joins(B, C, start=None) == []
    assert joins(start=None) == []


def test_more_outcomes_than_offsets_are_named():
    assert joins(LedgerSpan(0, 5, 6, 0, 0), committed=5) == [LedgerBreak(3, 0, 5, "1 more outcomes than offsets")]


def test_a_partition_without_summaries_must_have_committed_nothing():
    assert joins(start=0, committed=0) == []
    assert joins(start=0, committed=4) == [LedgerBreak(3, 0, 4, "committed, but neither scored nor dead-lettered")]


@pytest.mark.parametrize(
    ("found", "young"),
    [
        ([1, 2, 25], None),
        ([25], True),
        ([], True),
        ([1, 2], False),
        ([1, 25], False),
        ([1, 1, 25], False),
    ],
)
def test_outputs_that_are_missing_of_the_oldest_spans_alone_are_those_of_a_topic_made_again(found, young):
    assert ledger.is_young([(span, span.anomalies) for span in (A, B, C)], found) is young


def outputs(found: list[int], complete: bool = True) -> list[LedgerBreak]:
    return list(ledger.outputs(0, [(A, A.anomalies), (B, B.anomalies)], found, "anomaly", complete))


def test_outputs_as_promised_are_in_order():
    assert outputs([7, 2]) == []


def test_a_duplicate_is_named_with_its_offset():
    assert outputs([2, 7, 7]) == [LedgerBreak(0, 7, 8, "2 records of one anomaly")]


def test_a_missing_output_is_named_unless_retention_may_have_taken_it():
    assert outputs([2]) == [LedgerBreak(0, 0, 10, "2 promised, 1 found: anomaly")]
    assert outputs([2], complete=False) == []


def test_an_output_that_nobody_promised_is_named():
    assert outputs([2, 7, 12]) == [LedgerBreak(0, 10, 25, "0 promised, 1 found: anomaly")]


def test_offsets_called_empty_must_hold_no_record():
    assert list(ledger.emptiness(0, [B], [*range(10, 22)])) == []
    assert list(ledger.emptiness(0, [B], [*range(10, 24)])) == [LedgerBreak(0, 10, 25, "14 records, 12 outcomes")]


@given(st.lists(st.integers(1, 5), min_size=2, max_size=12), st.data())
def test_any_span_taken_out_or_doubled_breaks_the_chain_and_no_other_order_holds(sizes, data):
    ends = [sum(sizes[: i + 1]) for i in range(len(sizes))]
    spans = [LedgerSpan(end - size, end, size, 0, 0) for size, end in zip(sizes, ends, strict=True)]
    assert not joins(*spans, committed=ends[-1])
    victim = data.draw(st.integers(0, len(spans) - 1))
    assert joins(*spans[:victim], *spans[victim + 1 :], committed=ends[-1])
    assert joins(*spans[:victim], spans[victim], *spans[victim:], committed=ends[-1])


@pytest.mark.parametrize(("committed", "left"), [(30, [A, B, C]), (29, [A, B]), (0, [])])
def test_what_is_committed_after_we_looked_is_left_for_the_next_time(committed, left):
    assert ledger.up_to([A, B, C], committed) == left


def test_what_was_lost_is_accounted_for_and_named():
    chain = [LedgerSpan(0, 100, 90, 10, 5), LedgerSpan(100, 400, 50, 0, 0, topic_id="a", lost=250)]
    assert joins(*chain, committed=400) == []
    assert chain[1].empty == 0
    assert ledger.losses("a", 0, chain) == [Loss("a", 0, 100, 350)]
    assert str(ledger.losses("a", 0, chain)[0]) == "partition 0, offsets 100 to 350 of topic a"


def test_each_topic_that_had_the_name_has_a_ledger_of_its_own():
    """Spans by a version that did not write the id are of the topic of the span after them."""
    old = [LedgerSpan(0, 100, 100, 0, 0), LedgerSpan(100, 200, 100, 0, 0, topic_id="a")]
    new = [LedgerSpan(0, 50, 50, 0, 0, topic_id="b"), LedgerSpan(50, 60, 10, 0, 0, topic_id="b")]
    assert ledger.by_topic([*old, *new], "b") == {"a": old, "b": new}
    assert ledger.by_topic(old[:1], "b") == {"b": old[:1]}
