"""Metrics and progress say what is committed, and rates fall while nothing is."""

from datetime import UTC, datetime
from types import SimpleNamespace

import msgspec
import pytest
from prometheus_client import CollectorRegistry

from schemas.rollout import AlertVolume, PartitionProgress
from schemas.scoring import ModelRef, RefusalCode, Severity
from stream_app.audit.record import audit_record
from stream_app.metrics import Metrics
from stream_app.pipeline.clock import Clock
from stream_app.pipeline.interval import Interval
from stream_app.pipeline.progress import Progress, Snapshot
from stream_app.pipeline.serving import Serving
from stream_app.pipeline.tally import WINDOW_S, Tally
from stream_app.testing.memory_kafka import MemoryKafka
from stream_app.verify.acknowledged import ACKNOWLEDGE, Acknowledgements

BUDGET = SimpleNamespace(manifest=SimpleNamespace(calibration=SimpleNamespace(budget=0.02), recalibrated=None))
ANEW = SimpleNamespace(manifest=SimpleNamespace(calibration=SimpleNamespace(budget=0.02), recalibrated="of another"))
ONE, TWO = (ModelRef("tiny", version, version * 64) for version in "12")
SERVING = Serving(BUDGET, ONE, None, "deploy-1")  # type: ignore[arg-type]
PLACES = (PartitionProgress(0, 30, 7),)


class Watch:
    """Time that passes when the test says so; both clocks are at the same second."""

    def __init__(self) -> None:
        self.at = 1000.0

    @property
    def clock(self) -> Clock:
        return Clock(lambda: self.at, lambda: datetime.fromtimestamp(self.at, UTC))


@pytest.fixture
def watch() -> Watch:
    return Watch()


@pytest.fixture
def progress() -> Progress:
    return Progress()


@pytest.fixture
def tally(watch: Watch, progress: Progress) -> Tally:
    return Tally(Metrics(CollectorRegistry()), progress, watch.clock)


def interval(scored: int = 10) -> Interval:
    found = Interval(is_dirty=True, scored=scored, timestamps=[999_000, 999_500])
    found.refused[RefusalCode.NOT_JSON] = 2
    found.anomalies[Severity.HIGH] = 1
    return found


def sample(tally: Tally, name: str, **labels: str) -> float | None:
    return tally._metrics.registry.get_sample_value(f"stream_app_{name}", labels)


def test_what_is_committed_is_counted_and_published(tally: Tally, progress: Progress) -> None:
    for _ in range(2):
        tally.committed(interval(), PLACES, SERVING)
    assert sample(tally, "transactions_scored_total") == 20
    assert sample(tally, "records_dead_lettered_total", reason="not_json") == 4
    assert sample(tally, "anomalies_total", severity="high") == 2
    assert sample(tally, "commits_total", outcome="committed") == tally.commits == 2
    latest = progress.latest
    assert (latest.scored, latest.dead_lettered, latest.anomalies, latest.partitions) == (20, 4, 2, PLACES)
    assert (latest.ready, latest.model, latest.command_id) == (True, SERVING.model, "deploy-1")


def test_latency_is_from_the_record_to_its_commit(tally: Tally, progress: Progress) -> None:
    tally.committed(interval(), PLACES, SERVING)
    assert (progress.latest.latency_p50_ms, sample(tally, "latency_seconds_sum")) == (750.0, 1.5)


def test_rates_fall_while_nothing_is_committed(tally: Tally, progress: Progress, watch: Watch) -> None:
    tally.committed(interval(8), PLACES, SERVING)
    assert (progress.latest.events_per_second, progress.latest.refused_per_second) == (10 / WINDOW_S, 2 / WINDOW_S)
    watch.at += WINDOW_S + 1
    tally.loop_turned("running", lambda: (PartitionProgress(0, 30, 9),))
    latest = progress.latest
    assert (latest.events_per_second, latest.latency_p50_ms, latest.partitions[0].lag) == (0.0, None, 9)
    assert (latest.looped_at, latest.moved_at) == (watch.at, watch.at - WINDOW_S - 1)


def test_a_commit_of_barriers_alone_is_no_movement(tally: Tally, progress: Progress, watch: Watch) -> None:
    tally.committed(interval(), PLACES, SERVING)
    watch.at += 1
    tally.committed(Interval(is_dirty=True), PLACES, SERVING)
    assert (progress.latest.moved_at, progress.latest.looped_at) == (1000.0, 1001.0)


def test_another_command_s_model_is_news_once(tally: Tally, progress: Progress) -> None:
    tally.committed(interval(), PLACES, SERVING)
    assert progress.news.is_set()
    progress.news.clear()
    tally.committed(interval(), PLACES, SERVING)
    assert not progress.news.is_set()


def test_where_nothing_is_scored_no_partition_is_held_and_the_totals_stay(tally: Tally, progress: Progress) -> None:
    assert progress.latest == Snapshot()
    tally.committed(interval(), PLACES, SERVING)
    tally.not_ready("reconnecting")
    assert (progress.latest.ready, progress.latest.state, progress.latest.partitions) == (False, "reconnecting", ())
    assert progress.latest.scored == 10


@pytest.mark.parametrize("stamp", [0, -1, 1, 1_772_366_400, 1_772_366_400_000_000, 1_772_366_400_000_000_000])
def test_a_timestamp_that_is_no_time_of_arrival_is_no_latency(
    tally: Tally, progress: Progress, watch: Watch, stamp: int
) -> None:
    watch.at = 1_772_366_400.0
    good = [1_772_366_399_000] * 3
    tally.committed(Interval(is_dirty=True, scored=4, timestamps=[*good, stamp]), PLACES, SERVING)
    assert (progress.latest.latency_p50_ms, progress.latest.latency_p99_ms) == (1000.0, 1000.0)
    assert (sample(tally, "latency_seconds_sum"), sample(tally, "latency_seconds_count")) == (3.0, 3.0)


def test_where_no_timestamp_is_one_there_is_no_latency(tally: Tally, progress: Progress, watch: Watch) -> None:
    watch.at = 1_772_366_400.0
    tally.committed(Interval(is_dirty=True, scored=1, timestamps=[0]), PLACES, SERVING)
    assert (progress.latest.latency_p50_ms, sample(tally, "latency_seconds_count")) == (None, 0.0)


def test_a_producer_whose_clock_is_a_little_ahead_waits_for_nothing(tally: Tally, watch: Watch) -> None:
    watch.at = 1_772_366_400.0
    tally.committed(Interval(is_dirty=True, scored=1, timestamps=[1_772_366_402_000]), PLACES, SERVING)
    assert (sample(tally, "latency_seconds_sum"), sample(tally, "latency_seconds_count")) == (0.0, 1.0)


def test_alerts_of_another_model_are_counted_anew_beside_what_was_usual(tally: Tally, progress: Progress) -> None:
    def volume(scored: int, alerts: int, model: ModelRef, previous: ModelRef | None) -> AlertVolume | None:
        found = Interval(is_dirty=True, scored=scored)
        found.anomalies[Severity.HIGH] = alerts
        tally.committed(found, PLACES, Serving(BUDGET, model, previous, "deploy"))  # type: ignore[arg-type]
        return progress.latest.volume

    assert volume(500, 5, ONE, None) == AlertVolume(500, 5, 0.02)
    assert volume(500, 5, ONE, None) == AlertVolume(1000, 10, 0.02)
    assert volume(2000, 1740, TWO, ONE) == AlertVolume(2000, 1740, 0.01)
    assert volume(100, 1, ONE, None) == AlertVolume(100, 1, 0.01)  # rolled back: 87 % was not usual
    assert volume(10, 9, TWO, ONE) == AlertVolume(10, 9, 0.01)  # of 100 nothing is usual


def test_of_a_model_that_was_calibrated_anew_its_budget_is_the_usual_share(tally: Tally, progress: Progress) -> None:
    many = Interval(is_dirty=True, scored=2000)
    many.anomalies[Severity.HIGH] = 400
    tally.committed(many, PLACES, Serving(BUDGET, ONE, None, "deploy"))  # type: ignore[arg-type]
    tally.committed(Interval(is_dirty=True, scored=10), PLACES, Serving(ANEW, TWO, ONE, "again"))  # type: ignore[arg-type]
    assert progress.latest.volume == AlertVolume(10, 0, 0.02)


def test_a_loss_is_reported_until_a_person_has_acknowledged_it_and_a_later_one_anew(
    tally: Tally, progress: Progress, watch: Watch
) -> None:
    def reported() -> list[str]:
        tally.loop_turned("running", lambda: PLACES)
        return [notice.sentence for notice in progress.latest.notices]

    watch.at = 1_772_366_400.0  # a time that records may have
    tally.notice("made again")
    tally.notice("first", is_loss=True)
    assert reported() == ["made again", "first"]
    watch.at += 60
    kafka = MemoryKafka()
    known, other = (audit_record("ann", action, "partition 0") for action in (ACKNOWLEDGE, "stage"))
    kafka.append("audit", msgspec.json.encode(other), b"no record", at=watch.clock.now())
    acknowledgements = Acknowledgements(progress)
    acknowledgements.read(kafka.visible["audit"], True)
    assert reported() == ["made again", "first"]
    kafka.append("audit", msgspec.json.encode(known), at=watch.clock.now())
    acknowledgements.read(kafka.visible["audit"][2:], True)
    assert reported() == ["made again"]
    watch.at += 60
    tally.notice("second", is_loss=True)
    assert reported() == ["made again", "second"]
