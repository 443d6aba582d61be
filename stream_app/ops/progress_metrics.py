"""Prometheus figures that are read from the pipeline's snapshot at each scrape.

A partition that was given away leaves no stale series behind, as it would in a gauge that somebody has to clear.
"""

from collections.abc import Iterable

from prometheus_client import CollectorRegistry
from prometheus_client.core import GaugeMetricFamily, InfoMetricFamily, Metric
from prometheus_client.registry import Collector

from stream_app.pipeline.progress import Progress


class ProgressCollector(Collector):
    """Lag, position, readiness and models, read from the pipeline's snapshot at each scrape."""

    def __init__(self, progress: Progress, registry: CollectorRegistry) -> None:
        self._progress = progress
        registry.register(self)

    def collect(self) -> Iterable[Metric]:
        """One family for each part of the snapshot."""
        snapshot = self._progress.latest
        ready = "1 when a model serves and the input is assigned: the same as /health/ready."
        yield GaugeMetricFamily("stream_app_ready", ready, value=float(snapshot.ready))
        lag = GaugeMetricFamily(
            "stream_app_partition_lag_records", "Records not yet committed, by input partition.", labels=["partition"]
        )
        position = GaugeMetricFamily(
            "stream_app_partition_position_offset",
            "Next input offset, by partition: lag without movement here is a stall.",
            labels=["partition"],
        )
        held = GaugeMetricFamily(
            "stream_app_partition_behind_open_transaction_records",
            "Offsets that nobody may read until an upstream producer ends its transaction, by input partition.",
            labels=["partition"],
        )
        expires = GaugeMetricFamily(
            "stream_app_partition_oldest_unread_expires_seconds",
            "Until the broker deletes the oldest unread record, by input partition; absent where nothing is unread.",
            labels=["partition"],
        )
        for entry in snapshot.partitions:
            held.add_metric([str(entry.partition)], entry.behind_open_transaction)
            if entry.expires_in_s is not None:
                expires.add_metric([str(entry.partition)], entry.expires_in_s)
            lag.add_metric([str(entry.partition)], entry.lag)
            position.add_metric([str(entry.partition)], entry.position)
        yield lag
        yield position
        yield held
        yield expires
        models = InfoMetricFamily(
            "stream_app_model", "Which model serves, is tried out, and would serve after a rollback.", labels=["role"]
        )
        roles = {"serving": snapshot.model, "previous": snapshot.previous, "candidate": snapshot.candidate}
        for role, model in roles.items():
            if model is not None:
                models.add_metric([role], {"name": model.name, "version": model.version})
        yield models
