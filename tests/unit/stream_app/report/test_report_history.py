"""The log of summaries as blocks of each model and its segments, and where in the input they were counted."""

import msgspec
import numpy as np
import pytest
from msgspec.structs import replace

from schemas.drift import DriftPhase
from schemas.scoring import ModelRef
from stream_app.report.history import History, SummarySpan, total
from stream_app.report.report import history_of as read_history
from stream_app.report.report import lasts_into
from stream_app.report.window import ReportWindow
from stream_app.testing.memory_cluster import MemoryMessage
from tests.unit.stream_app.drift.streams import (
    MANIFEST,
    OTHER_SHA,
    SHA,
    START,
    SUMMARY_ROWS,
    event_time,
    summaries,
    world,
)
from tests.unit.stream_app.report.alerts_for_tests import an_alert

ROWS, BLOCK = 1024, 128
END = event_time(ROWS)


@pytest.fixture(scope="module")
def log():
    return list(summaries(world(ROWS), anomalies=0.05))


def history_of(log):
    history = History(BLOCK)
    for summary in log:
        history.add(summary)
    return history


def blocks(log, sha256=SHA, since=START, until=END, at_most=1000, segment=""):
    return history_of(log).blocks(sha256, since, until, at_most, segment)


def scored(found):
    return sum(block.sums.scored for block in found)


def test_every_transaction_of_the_log_is_in_a_block(log):
    found = blocks(log)
    assert len(found) == ROWS // BLOCK
    assert scored(found) == ROWS == sum(span.scored for span in history_of(log).spans)


def test_blocks_are_in_the_order_of_the_log_and_know_their_event_times(log):
    found = blocks(log)
    assert [block.begins for block in found] == [event_time(i) for i in range(0, ROWS, BLOCK)]
    assert [block.ends for block in found] == [event_time(i + BLOCK - 1) for i in range(0, ROWS, BLOCK)]


def test_a_span_says_where_a_summary_was_counted(log):
    first, second, third = history_of(log).spans[:3]
    assert first == SummarySpan(0, 0, SUMMARY_ROWS, SUMMARY_ROWS, event_time(0), event_time(SUMMARY_ROWS - 1), SHA)
    assert (second.partition, second.from_offset) == (1, 0)
    assert (third.partition, third.from_offset) == (0, SUMMARY_ROWS)


def test_more_blocks_than_can_be_told_apart_are_joined(log):
    joined = blocks(log, at_most=3)
    assert len(joined) == 3
    assert scored(joined) == ROWS
    assert (joined[0].begins, joined[-1].ends) == (event_time(0), event_time(ROWS - 1))


def test_blocks_outside_of_the_window_are_left_out(log):
    found = blocks(log, since=event_time(2 * BLOCK), until=event_time(3 * BLOCK - 1))
    assert [block.begins for block in found] == [event_time(2 * BLOCK)]


def test_each_model_has_its_own_blocks_and_the_last_one_is_known(log):
    other = list(summaries(world(BLOCK), sha256=OTHER_SHA, start=ROWS))
    history = history_of(log + other)
    assert history.latest_model == OTHER_SHA
    assert scored(history.blocks(OTHER_SHA, event_time(0), event_time(2 * ROWS), 1000)) == BLOCK
    assert scored(history.blocks(SHA, event_time(0), event_time(2 * ROWS), 1000)) == ROWS
    assert history.blocks("c" * 64, event_time(0), event_time(2 * ROWS), 1000) == []


def test_a_segment_has_blocks_of_its_own():
    here = ["country=CH" if i % 2 else "" for i in range(ROWS)]
    log = list(summaries(world(ROWS), segment_of=np.array(here)))
    assert scored(blocks(log)) == ROWS
    assert scored(blocks(log, segment="country=CH")) == ROWS // 2


def test_summaries_of_a_worker_that_knew_less_count_where_they_were_scored_but_fill_no_block(log):
    older = [replace(summary, sums=None) for summary in log[:4]]
    history = history_of(older + log[4:])
    assert scored(history.blocks(SHA, event_time(0), END, 1000)) == ROWS - 4 * SUMMARY_ROWS
    assert len(history.spans) == len(log)


def test_a_summary_in_which_nothing_was_scored_is_no_span(log):
    nothing = replace(log[0], scored=0, dead_lettered=3, event_time_min=None, event_time_max=None)
    history = history_of([nothing])
    assert (history.spans, history.latest_model) == ([], None)


def test_the_total_of_blocks_is_the_sum_of_what_is_in_them(log):
    found = blocks(log)
    sums = total(found)
    assert sums.scored == ROWS
    assert sums.anomalies == sum(block.sums.anomalies for block in found) == round(ROWS * 0.05)


@pytest.mark.parametrize(
    ("phase", "sha256", "lasts"),
    [
        (DriftPhase.RAISED, SHA, True),
        (DriftPhase.CONFIRMED, SHA, True),
        (DriftPhase.OVER, SHA, False),
        (DriftPhase.CONFIRMED, OTHER_SHA, False),
    ],
)
def test_an_incident_that_is_not_over_is_in_every_window_in_which_its_model_has_scored(log, phase, sha256, lasts):
    model = ModelRef("card-fraud", "1", sha256)
    alert = an_alert(since=event_time(100), raised_at=event_time(200), phase=phase, model=model)
    assert lasts_into(ReportWindow(event_time(800), event_time(900)), alert, history_of(log)) is lasts
    assert lasts_into(ReportWindow(event_time(150), event_time(900)), alert, history_of(log))
    assert not lasts_into(ReportWindow(event_time(0), event_time(99)), alert, history_of(log))


def test_sums_that_cannot_be_of_their_model_are_passed_over_wherever_they_stand(log):
    empty = replace(log[0], sums=replace(log[0].sums, missing=[]))
    stranger = replace(log[0], sums=replace(log[0].sums, tail=[]), model_sha256=OTHER_SHA)
    messages = [MemoryMessage(msgspec.json.encode(summary)) for summary in (empty, stranger, *log, empty)]
    history = read_history(messages, BLOCK, {SHA: MANIFEST}.get, lambda _: None)
    assert scored(history.blocks(SHA, START, END, 1000)) == ROWS
    assert history.blocks(OTHER_SHA, START, END, 1000) == []
    assert [span.model_sha256 for span in history.spans] == [OTHER_SHA, *[SHA] * len(log)]
