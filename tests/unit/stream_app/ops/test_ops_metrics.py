"""What Prometheus is promised: conventional names, stages in the order of the flow, zeros first, nothing stale."""

import re
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, Histogram, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from schemas.rollout import PartitionProgress
from schemas.scoring import RefusalCode, Severity
from stream_app.metrics import LATENCY_BUCKETS, STAGES, ArrayHistogram, Metrics
from stream_app.ops.progress_metrics import ProgressCollector
from stream_app.pipeline.progress import Progress, Snapshot
from tests.unit.stream_app.ops.ops_records import MODEL, NEXT_MODEL


@pytest.fixture
def registry() -> CollectorRegistry:
    return CollectorRegistry()


def test_every_metric_has_a_sentence_and_a_name_by_the_conventions(registry: CollectorRegistry) -> None:
    Metrics(registry)
    ProgressCollector(Progress(), registry)
    families = [f for f in registry.collect() if not f.name.startswith("process_")]
    assert len(families) > 20
    for family in families:
        assert re.fullmatch(r"stream_app_[a-z0-9_]+", family.name)
        assert family.documentation.endswith(".")
        assert not family.name.endswith(("_ms", "_milliseconds", "_percent"))


def test_stages_are_exposed_in_the_order_of_the_flow_before_anything_has_happened(registry: CollectorRegistry) -> None:
    Metrics(registry)
    counts = re.findall(r'stream_app_stage_seconds_count\{stage="(\w+)"\} 0\.0', generate_latest(registry).decode())
    assert tuple(counts) == STAGES


def test_every_reason_and_severity_is_there_as_zero_from_the_start(registry: CollectorRegistry) -> None:
    Metrics(registry)
    for code in RefusalCode:
        assert registry.get_sample_value("stream_app_records_dead_lettered_total", {"reason": code.value}) == 0
    for severity in Severity:
        assert registry.get_sample_value("stream_app_anomalies_total", {"severity": severity.value}) == 0


def test_precision_is_not_a_number_until_a_label_is_known(registry: CollectorRegistry) -> None:
    Metrics(registry)
    assert np.isnan(registry.get_sample_value("stream_app_anomaly_precision_ratio"))


@given(st.lists(st.floats(0, 20, allow_nan=False), max_size=200), st.integers(0, 200))
def test_a_histogram_fed_by_arrays_equals_one_fed_value_by_value(values: list[float], cut: int) -> None:
    ours, theirs = CollectorRegistry(), CollectorRegistry()
    arrays = ArrayHistogram("t_seconds", "T.", LATENCY_BUCKETS, ours)
    single = Histogram("t_seconds", "T.", buckets=LATENCY_BUCKETS, registry=theirs)
    arrays.observe(np.array(values[:cut]))
    arrays.observe(np.array(values[cut:]))
    for value in values:
        single.observe(value)
    for sample in next(iter(theirs.collect())).samples:
        if sample.name != "t_seconds_created":
            assert ours.get_sample_value(sample.name, sample.labels) == pytest.approx(sample.value)


def test_latency_buckets_place_a_percentile_within_a_third_between_one_millisecond_and_one_second() -> None:
    fine = [edge for edge in LATENCY_BUCKETS if 0.005 <= edge <= 1]
    assert all(upper / lower < 1.34 for lower, upper in pairwise(fine))
    assert LATENCY_BUCKETS[0] == 0.001
    assert LATENCY_BUCKETS[-1] == 10


def test_a_partition_that_was_given_away_leaves_no_series_behind(registry: CollectorRegistry) -> None:
    progress = Progress()
    ProgressCollector(progress, registry)
    progress.latest = Snapshot(partitions=(PartitionProgress(0, 10, 3), PartitionProgress(1, 20, 4)))
    assert registry.get_sample_value("stream_app_partition_lag_records", {"partition": "1"}) == 4
    progress.latest = replace(progress.latest, partitions=(PartitionProgress(0, 11, 2),))
    assert registry.get_sample_value("stream_app_partition_lag_records", {"partition": "1"}) is None
    assert registry.get_sample_value("stream_app_partition_position_offset", {"partition": "0"}) == 11


def test_models_are_named_by_version_and_role_never_by_digest(registry: CollectorRegistry) -> None:
    progress = Progress()
    progress.latest = Snapshot(model=NEXT_MODEL, previous=MODEL)
    ProgressCollector(progress, registry)
    text = generate_latest(registry).decode()
    assert 'stream_app_model_info{name="card-fraud",role="serving",version="8"} 1.0' in text
    assert 'stream_app_model_info{name="card-fraud",role="previous",version="7"} 1.0' in text
    assert NEXT_MODEL.sha256 not in text


def test_two_workers_in_one_process_do_not_meet() -> None:
    first, second = CollectorRegistry(), CollectorRegistry()
    Metrics(first).scored.inc(5)
    Metrics(second)
    assert second.get_sample_value("stream_app_transactions_scored_total") == 0
    assert list(text_string_to_metric_families(generate_latest(first).decode()))
