"""Precision of the recent anomalies: right whatever the order of labels and anomalies, in bounded memory."""

from hypothesis import given
from hypothesis import strategies as st

from stream_app.ops.feedback import Feedback
from tests.unit.stream_app.ops.ops_records import label

steps = st.lists(st.tuples(st.integers(0, 8), st.sampled_from(["anomaly", "fraud", "legitimate"])), max_size=60)


def take(feedback: Feedback, number: int, kind: str) -> None:
    if kind == "anomaly":
        feedback.anomaly(f"tx{number}")
    else:
        feedback.label(label(number, kind == "fraud"))


@given(steps)
def test_precision_is_the_share_of_frauds_by_the_last_label_of_each_anomaly(history: list[tuple[int, str]]) -> None:
    feedback = Feedback()
    for step in history:
        take(feedback, *step)
    anomalies = {number for number, kind in history if kind == "anomaly"}
    last = {number: kind == "fraud" for number, kind in history if kind != "anomaly"}
    known = [last[number] for number in anomalies if number in last]
    assert feedback.labelled == len(known)
    assert feedback.precision == (sum(known) / len(known) if known else None)


@given(steps)
def test_memory_is_bounded_and_the_counts_are_those_of_what_is_remembered(history: list[tuple[int, str]]) -> None:
    feedback = Feedback(capacity=3)
    for step in history:
        take(feedback, *step)
    verdicts = list(feedback._verdicts.values())
    assert len(verdicts) <= 3
    assert len(feedback._early) <= 3
    assert feedback.labelled == sum(verdict is not None for verdict in verdicts)
    assert feedback.frauds == sum(verdict is True for verdict in verdicts)


def test_a_label_that_is_corrected_counts_once_as_corrected() -> None:
    feedback = Feedback()
    feedback.anomaly("tx1")
    feedback.label(label(1, True))
    feedback.label(label(1, False))
    assert (feedback.labelled, feedback.precision, feedback.verdict("tx1")) == (1, 0.0, False)


def test_nothing_is_claimed_while_no_label_is_known() -> None:
    feedback = Feedback()
    feedback.anomaly("tx1")
    feedback.label(label(2, True))
    assert feedback.precision is None
    assert feedback.verdict("tx1") is None
