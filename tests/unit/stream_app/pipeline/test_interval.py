"""The open interval: offsets without a gap, outcomes, and its age, which is from commit to commit."""

import math

from schemas.scoring import RefusalCode
from stream_app.pipeline.decode import Decoder
from stream_app.pipeline.interval import LATENCY_SAMPLE, Interval
from tests.unit.stream_app.pipeline.rows import DEFINITION, encoded, raw, reasoned

decode = Decoder(DEFINITION, 10_000)


def test_spans_of_batches_are_joined_and_their_ends_are_committed() -> None:
    interval = Interval()
    for spans in ({0: (5, 8)}, {0: (8, 8 + 3), 2: (100, 104)}, {2: (104, 110)}):
        taken = raw()
        interval.add(type(taken)((), (), (), (), spans), decode(taken), [])
    assert interval.spans == {0: (5, 11), 2: (100, 110)}
    assert interval.offsets == {0: 11, 2: 110}


def test_outcomes_are_counted_over_the_batches() -> None:
    interval = Interval()
    for values in ([encoded(), b"bad", encoded()], [None, encoded()]):
        taken = raw(*values)
        interval.add(taken, decode(taken), [reasoned(0.001), reasoned()])
    assert interval.scored == 3
    assert interval.refused == {RefusalCode.NOT_JSON: 1, RefusalCode.EMPTY: 1}
    assert interval.anomalies.total() == 2
    assert len(interval.timestamps) == 2


def test_of_a_large_batch_a_sample_of_timestamps_is_kept() -> None:
    interval, taken = Interval(), raw(*[encoded()] * (3 * LATENCY_SAMPLE))
    interval.add(taken, decode(taken), [])
    assert len(interval.timestamps) == 3


def test_it_is_as_old_as_the_commit_before_it_once_it_holds_something() -> None:
    interval = Interval(began_at=1000.0)
    assert interval.age_s(1010.0) == 0.0
    interval.is_dirty = True
    assert interval.age_s(1010.0) == 10.0


def test_what_comes_first_waits_for_nothing() -> None:
    assert Interval(is_dirty=True).age_s(5.0) == math.inf
