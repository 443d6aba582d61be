"""The charts' points: the whole group in each, a gap where nobody was heard."""

from schemas.rollout import Phase
from stream_app.ops.series import POINTS, Series
from tests.unit.stream_app.ops.ops_records import after, heartbeat

LOST_AFTER = 5.0


def fed(*beats: tuple[str, float]) -> Series:
    series = Series(LOST_AFTER)
    for worker, seconds in beats:
        series.observe(heartbeat(worker, partitions={0: 7}), after(seconds))
    return series


def test_a_point_sums_the_workers_and_takes_latency_from_the_slowest() -> None:
    series = Series(LOST_AFTER)
    series.observe(heartbeat("a", partitions={0: 7}, latency_p99_ms=50.0), after(0.1))
    series.observe(heartbeat("b", partitions={1: 5}, latency_p99_ms=80.0), after(0.2))
    series.observe(heartbeat("a"), after(2.1))
    (point,) = series.points
    assert (point.events_per_second, point.lag, point.latency_p99_ms) == (200.0, 12, 80.0)


def test_a_worker_whose_beat_falls_beside_a_step_still_counts_in_it() -> None:
    series = fed(("a", 0.1), ("b", 1.9), ("a", 2.1), ("a", 3.9), ("b", 4.1), ("a", 6.1))
    assert [point.events_per_second for point in series.points] == [200.0, 200.0, 200.0]


def test_a_silent_worker_stops_counting_after_the_patience() -> None:
    series = fed(("b", 0), *(("a", second) for second in range(12)))
    assert series.points[0].events_per_second == 200
    assert series.points[-1].events_per_second == 100


def test_a_worker_that_stopped_stops_counting_at_once() -> None:
    series = fed(("a", 0), ("b", 0))
    series.observe(heartbeat("b", phase=Phase.STOPPED), after(1))
    series.observe(heartbeat("a"), after(2.1))
    assert series.points[-1].events_per_second == 100


def test_an_outage_is_a_gap_not_a_line() -> None:
    series = fed(("a", 0), ("a", 2.1), ("a", 60.1), ("a", 62.1))
    times = [point.at - after(0).timestamp() for point in series.points]
    assert times == [2, 4, 62]


def test_memory_is_bounded() -> None:
    assert len(fed(*(("a", 2.0 * step) for step in range(POINTS * 2))).points) == POINTS
