"""Every figure that Prometheus reads from a worker, declared here, each with the sentence that an operator needs.

Names and units follow Prometheus' conventions. Labels are bounded: stages, reason codes, partitions, signals of the
serving model, versions; never a customer, an event or a digest. The pipeline counts per batch, never per event,
and only what is committed. Lag, position and model are in `ops/progress_metrics.py`.
"""

import platform
from collections.abc import Iterable, Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version

import numpy as np
from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    Info,
    ProcessCollector,
    disable_created_metrics,
)
from prometheus_client.core import HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from schemas.drift import DriftSeverity
from schemas.scoring import RefusalCode, Severity

STAGES = ("consume", "decode", "enrich", "score", "compare", "explain", "summarise", "emit", "commit")

STAGE_BUCKETS = (1e-4, 2.5e-4, 5e-4, 1e-3, 2.5e-3, 5e-3, 1e-2, 2.5e-2, 5e-2, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0)
BATCH_BUCKETS = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 2048, 4096, 16_384, 65_536)
P_VALUE_BUCKETS = (0.0001, 0.001, 0.01, 0.05, 0.1, 0.25, 0.5, 0.75, 1.0)
LOAD_BUCKETS = (0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
# Steps of at most a third up to 1 s: an interpolated P50 or P99 is then at most that far off.
# fmt: off
LATENCY_BUCKETS = (
    0.001, 0.002, 0.003, 0.004, 0.005, 0.0065, 0.008, 0.01, 0.0125, 0.016, 0.02, 0.025, 0.03, 0.04, 0.05, 0.065, 0.08,
    0.1, 0.125, 0.16, 0.2, 0.25, 0.3, 0.4, 0.5, 0.65, 0.8, 1.0, 1.5, 2.0, 3.0, 5.0, 7.5, 10.0,
)
# fmt: on


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:  # a checkout on the path, not installed
        return "unknown"


class ArrayHistogram(Collector):
    """A Prometheus histogram that takes whole arrays: the client's own costs a microsecond a value, this 30 ns.

    One thread observes; any number may scrape. The state is replaced as a whole, so a scrape never sees half a batch.
    """

    def __init__(self, name: str, documentation: str, buckets: Sequence[float], registry: CollectorRegistry) -> None:
        self._name = name
        self._documentation = documentation
        self._edges = np.asarray(buckets, dtype=np.float64)
        self._state = (np.zeros(len(buckets) + 1, dtype=np.int64), 0.0)
        registry.register(self)

    def observe(self, values: np.ndarray) -> None:
        """Count a batch: a float array [n], in the unit of the name; NaN is not allowed."""
        counts, total = self._state
        places = np.searchsorted(
            self._edges, values, side="left"
        )  # a value on an edge belongs below: `le` is inclusive
        self._state = (counts + np.bincount(places, minlength=len(counts)), total + float(values.sum()))

    def collect(self) -> Iterable[Metric]:
        """The family as Prometheus reads it: cumulative counts."""
        counts, total = self._state
        bounds = [*map(str, map(float, self._edges)), "+Inf"]
        family = HistogramMetricFamily(self._name, self._documentation)
        family.add_metric([], [(b, float(c)) for b, c in zip(bounds, np.cumsum(counts), strict=True)], total)
        yield family


class Metrics:
    """The metrics of one worker.

    Attributes that are mappings hold one ready child for each label value, so that zeros are exposed from the start.

    Args:
        registry: Where they are registered: one for each worker, so tests and several workers in a process never meet.
    """

    def __init__(self, registry: CollectorRegistry) -> None:
        disable_created_metrics()  # type: ignore[no-untyped-call]  # a `_created` series beside each counter doubles the scrape and nobody reads it
        self.registry = registry
        self._declare_pipeline()
        self._declare_windows()
        self._declare_kafka()
        self._declare_rollout()
        self._declare_quality()
        ProcessCollector(registry=registry)
        versions = {"version": _version("stream-app"), "python": platform.python_version(), "torch": _version("torch")}
        build = Info("stream_app_build", "What runs: compare over workers to find one left behind.", registry=registry)
        build.info(versions)

    def skip(self, topic: str) -> None:
        """Count a record of one of the product's own topics that is passed over; the topic by its full name."""
        self._skipped.labels(topic).inc()

    def _counter(self, name: str, documentation: str, labels: Sequence[str] = ()) -> Counter:
        return Counter(f"stream_app_{name}", documentation, labels, registry=self.registry)

    def _gauge(self, name: str, documentation: str, labels: Sequence[str] = ()) -> Gauge:
        return Gauge(f"stream_app_{name}", documentation, labels, registry=self.registry)

    def _declare_pipeline(self) -> None:
        self.scored = self._counter("transactions_scored_total", "Events scored and committed.")
        refused = self._counter(
            "records_dead_lettered_total",
            "Records refused and committed to dead-letters, by reason: a rise means that a producer changed something.",
            ["reason"],
        )
        self.dead_lettered: Mapping[RefusalCode, Counter] = {c: refused.labels(c.value) for c in RefusalCode}
        anomalies = self._counter(
            "anomalies_total",
            "Events over the threshold, committed, by severity: the load on the analysts.",
            ["severity"],
        )
        self.anomalies: Mapping[Severity, Counter] = {s: anomalies.labels(s.value) for s in Severity}
        stages = Histogram(
            "stream_app_stage_seconds",
            "Time in each stage, once a batch (commit: once a commit): where the time goes when throughput falls.",
            ["stage"],
            buckets=STAGE_BUCKETS,
            registry=self.registry,
        )
        self.stages: Mapping[str, Histogram] = {stage: stages.labels(stage) for stage in STAGES}
        self.batch = Histogram(
            "stream_app_batch_records",
            "Records in a micro-batch: at batch_max_events the pipeline is working off a backlog.",
            buckets=BATCH_BUCKETS,
            registry=self.registry,
        )
        self.latency = ArrayHistogram(
            "stream_app_latency_seconds",
            "Broker timestamp of a record to the commit of its outcome: what consumers of the outputs feel.",
            LATENCY_BUCKETS,
            self.registry,
        )
        self.breaker_open = self._gauge(
            "breaker_open", "1 while the share of refused records holds the input back: look into dead-letters."
        )

    def _declare_windows(self) -> None:
        self.window_entities = self._gauge(
            "window_entities", "Entities whose past is held for windows: bounded by window_max_entities a partition."
        )
        self.window_bytes = self._gauge("window_bytes", "Memory that the windows take.")
        self.window_forgotten = self._counter(
            "window_entities_forgotten_total",
            "Entities forgotten because there were more than are held: if they come back, raise window_max_entities.",
        )
        self.window_late = self._counter(
            "window_late_events_total", "Events before the newest of their entity: each counts where it belongs."
        )
        self.window_lost = self._counter(
            "window_lost_events_total", "Late events of which a window had no place any more: clocks, or old files."
        )
        self.window_keyed_otherwise = self._counter(
            "window_keyed_otherwise_total",
            "Records whose key is not their entity: windows need the input keyed by it, and are wrong otherwise.",
        )
        self.window_incomplete = self._counter(
            "window_incomplete_reads_total",
            "Events whose windows of another entity were read before a partition had published all of it: it lags.",
        )
        left_out = self._counter(
            "window_labels_left_out_total",
            "Labels of frauds that do not count in windows: they do not say when the event was, or whose; or no such "
            "event came.",
            ["reason"],
        )
        reasons = "no_time", "no_entity", "unknown"
        self.window_labels_left_out: Mapping[str, Counter] = {reason: left_out.labels(reason) for reason in reasons}
        self.window_labels_unknown = self._gauge(
            "window_labels_unknown",
            "Labels of frauds at a shop, or of a card, without an event on that day: they count once there is one.",
        )
        self.window_partitions_waiting = self._gauge(
            "window_partitions_waiting",
            "Partitions of this worker that are not read yet: their windows are being filled from checkpoint and log.",
        )
        self.window_checkpoint_age = self._gauge(
            "window_checkpoint_age_seconds",
            "Since the oldest of the last checkpoints of windows: so much of the log a restart counts again.",
        )
        self.window_rebuild = Histogram(
            "stream_app_window_rebuild_seconds",
            "From checkpoint and log to the windows of a partition: how long it waits when a worker takes it up.",
            buckets=LOAD_BUCKETS,
            registry=self.registry,
        )

    def _declare_kafka(self) -> None:
        commits = self._counter(
            "commits_total",
            "Commits by outcome (committed, aborted): aborts repeat work; many mean an unstable broker.",
            ["outcome"],
        )
        self.commits: Mapping[str, Counter] = {o: commits.labels(o) for o in ("committed", "aborted")}
        rebalances = self._counter(
            "rebalances_total",
            "Changes of the assignment (assigned, revoked, lost): lost means that this worker was too slow or cut off.",
            ["kind"],
        )
        self.rebalances: Mapping[str, Counter] = {k: rebalances.labels(k) for k in ("assigned", "revoked", "lost")}
        self.sessions_reopened = self._counter(
            "sessions_reopened_total",
            "Times that the pipeline opened its Kafka clients anew, by cause (a class of error, one word).",
            ["cause"],
        )

        self.repeated = self._counter(
            "transactions_repeated_total",
            "Events whose id came shortly before, on this worker: a producer sends them twice. They are scored again; "
            "with repeat_window_s they are refused.",
        )
        self.lost = self._counter(
            "records_lost_total",
            "Input offsets that were never read (deleted before, or passed over by hand): losses, on record "
            "in the ledger. stream-app verify names them.",
        )

    def _declare_rollout(self) -> None:
        swaps = self._counter(
            "model_swaps_total",
            "Model changes on this worker by outcome (applied, rejected, rolled_back).",
            ["outcome"],
        )
        self.swaps: Mapping[str, Counter] = {o: swaps.labels(o) for o in ("applied", "rejected", "rolled_back")}
        second = self._counter(
            "second_model_rows_total",
            "Events of a shadow, canary or fresh activation by outcome (compared with the serving model, failed, "
            "skipped because too slow, decided): failed and skipped ones are decided by the serving model.",
            ["outcome"],
        )
        outcomes = ("compared", "failed", "skipped", "decided")
        self.second_model: Mapping[str, Counter] = {o: second.labels(o) for o in outcomes}
        self.guard_evidence = self._gauge(
            "guard_evidence_ratio",
            "How much speaks against the model on trial, by signal, as a share of what is needed to roll it back (1). "
            "Only on the worker that runs the controller.",
            ["signal"],
        )
        self.guard_advises_rollback = self._gauge(
            "guard_advises_rollback",
            "1 while the guard finds a model bad that decides (new, or a canary), and it is not rolled back. Only on "
            "the worker that runs the controller.",
        )
        actions = self._counter(
            "guard_actions_total",
            "What the guard did by itself (rolled_back, promoted): after a rollback look at audit for its reasons.",
            ["action"],
        )
        self.guard_actions: Mapping[str, Counter] = {a: actions.labels(a) for a in ("rolled_back", "promoted")}
        self.model_load = Histogram(
            "stream_app_model_load_seconds",
            "Fetch, check and warm-up of a model: how long a deploy waits for this worker.",
            buckets=LOAD_BUCKETS,
            registry=self.registry,
        )

    def _declare_quality(self) -> None:
        self.drift_psi = self._gauge(
            "drift_psi_ratio",
            "Population stability index by signal at the same hours; below 0.1 is calm. Only on the drift agent.",
            ["signal"],
        )
        self.drift_segments_unmatched = self._gauge(
            "drift_segments_unmatched",
            "Segments that the model watches and no event is in: events may write the value differently. Only on the "
            "drift agent.",
        )
        self.drift_distance = self._gauge(
            "drift_distance",
            "Distance from the reference at the same hours by signal: psi, kl and js in nats, wasserstein in reference "
            "standard deviations. Only on the drift agent.",
            ["distance", "signal"],
        )
        alerts = self._counter(
            "drift_alerts_total", "Drift alerts raised by the drift agent, by severity.", ["severity"]
        )
        self.drift_alerts: Mapping[DriftSeverity, Counter] = {s: alerts.labels(s.value) for s in DriftSeverity}
        self.p_values = ArrayHistogram(
            "stream_app_p_value",
            "p-values of all events, by the model in service: uniform while its calibration holds, a tenth up to 0.1. "
            "When not, its alert budget is not kept: stream-app recalibrate.",
            P_VALUE_BUCKETS,
            self.registry,
        )
        labels = self._counter(
            "labels_total", "Labels received, by kind; each worker reads all: max, not sum.", ["kind"]
        )
        self.labels: Mapping[str, Counter] = {k: labels.labels(k) for k in ("fraud", "legitimate")}
        self.precision = self._gauge(
            "anomaly_precision_ratio",
            "Share of frauds among the recent anomalies whose label is known; NaN while none is.",
        )
        self.precision.set(float("nan"))
        self._skipped = self._counter(
            "records_skipped_total",
            "Records of the product's own topics that this worker passed over, by topic: somebody else writes there.",
            ["topic"],
        )
        self.anomalies_labelled = self._gauge(
            "anomalies_labelled", "Recent anomalies whose label is known: how much stands behind the precision."
        )


class NotifyMetrics:
    """What `stream-app notify` counts; a process of its own."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._messages = Counter(
            "stream_app_notifications_total",
            "Messages by destination: delivered, retried (tries that failed), undelivered (kept in the file for that).",
            ["destination", "outcome"],
            registry=registry,
        )
        self._skipped = Counter(
            "stream_app_notify_records_skipped_total",
            "Records of anomalies and drift-alerts that nobody can be told of, by topic: somebody else writes there.",
            ["topic"],
            registry=registry,
        )

    def told(self, destination: str, outcome: str) -> None:
        """What became of a try."""
        self._messages.labels(destination, outcome).inc()

    def skipped(self, topic: str) -> None:
        """A record of this topic, by its full name, was passed over."""
        self._skipped.labels(topic).inc()
