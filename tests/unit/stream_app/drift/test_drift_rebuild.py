"""The fold wherever it is interrupted, and however the stream is spread over workers: the same alerts, none twice."""

from collections.abc import Iterator
from functools import cache

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.data.drift import DriftKind
from models.manifest import Manifest
from schemas.drift import DriftAlert, DriftSummary
from stream_app.drift.host import Replica
from stream_app.pipeline.sums import Bins, PartitionSums
from tests.unit.stream_app.drift.streams import (
    MANIFEST,
    SETTINGS,
    SHA,
    SUMMARY_ROWS,
    add,
    column,
    doubled,
    event_time,
    fold,
    stream,
    stuck,
    world,
)

pytestmark = pytest.mark.slow

BEFORE, AFTER = 2048, 5120


def moved(factor: float, signals: tuple[str, ...]):
    def fault(rows: np.ndarray) -> None:
        for signal in signals:
            rows[:, column(signal)] *= factor

    return fault


def missing_in(share: float):
    def fault(rows: np.ndarray) -> None:
        lost = np.random.default_rng(3).random(len(rows)) < share
        rows[np.ix_(lost, [column("input:average"), column("residual:average")])] = np.nan

    return fault


def permuted(signal: str):
    def fault(rows: np.ndarray) -> None:
        rows[:, column(signal)] = np.random.default_rng(3).permutation(rows[:, column(signal)])

    return fault


def swapped(rows: np.ndarray) -> None:
    one, other = column("input:amount"), column("input:count")
    rows[:, [one, other]] = rows[:, [other, one]]


def growing(rows: np.ndarray) -> None:
    for name in ("amount", "count", "average"):
        rows[:, column(f"input:{name}")] += np.linspace(0, 1, len(rows))


def struck(rows: np.ndarray) -> None:
    """An attack that is over before it is confirmed."""
    rows[:1024:20, column("input:amount")] += 12
    rows[:1024:20, column("residual:amount")] -= 12


FAULTS = {
    DriftKind.AMOUNT_SCALED: moved(1.3, ("input:amount",)),
    DriftKind.AMOUNT_UNIT: doubled,
    DriftKind.AMOUNT_SPREAD: moved(1.6, ("input:amount", "residual:amount")),
    DriftKind.FEATURE_STUCK: stuck,
    DriftKind.FEATURE_MISSING: missing_in(1.0),
    DriftKind.FEATURE_PARTLY_MISSING: missing_in(0.2),
    DriftKind.FEATURE_PERMUTED: permuted("input:average"),
    DriftKind.FEATURE_SHRUNK: moved(0.5, ("input:average",)),
    DriftKind.COLUMNS_SWAPPED: swapped,
    DriftKind.SPENDING_GROWING: growing,
    DriftKind.ATTACK_BURST: struck,
}
LENGTH = (BEFORE + AFTER) // SUMMARY_ROWS


@cache
def log_of(kind: DriftKind) -> list[DriftSummary]:
    return stream(BEFORE, AFTER, FAULTS[kind])


@cache
def undisturbed(kind: DriftKind) -> list[DriftAlert]:
    return fold(log_of(kind))


def owner(manifest: Manifest = MANIFEST) -> Replica:
    return Replica(SETTINGS, {SHA: manifest}.get)


def taken(replica: Replica, log: list[DriftSummary], start: int) -> list[DriftAlert]:
    return [a for i, summary in enumerate(log, start) for a in replica.take(i, msgspec.json.encode(summary))]


@pytest.mark.parametrize("kind", FAULTS)
@settings(max_examples=4)
@given(killed=st.integers(0, LENGTH), grown=st.integers(0, LENGTH), delivered_from=st.integers(0, LENGTH))
def test_an_aggregator_that_is_killed_anywhere_is_followed_by_the_same_alerts(kind, killed, grown, delivered_from):
    log, published = log_of(kind), []
    published += taken(owner(), log[:killed], 0)
    known = {(alert.alert_id, alert.phase) for alert in published}

    heir, until = owner(), max(killed, grown)
    published += [a for a in taken(heir, log[:until], 0) if (a.alert_id, a.phase) not in known]
    again = min(delivered_from, until)
    published += taken(heir, log[again:], again)

    assert published == undisturbed(kind)
    assert len(published) >= 1


def spread(rows: np.ndarray, workers: np.ndarray, order: np.random.Generator) -> Iterator[DriftSummary]:
    """Each commit of a stream in several summaries, one of each worker that has a part of it, in any order."""
    bins, done = Bins(MANIFEST.signals, MANIFEST.relations), dict.fromkeys(range(4), 0)
    for start in range(0, len(rows), SUMMARY_ROWS):
        owners = workers[start : start + SUMMARY_ROWS]
        for worker in order.permutation(np.unique(owners)).tolist():
            own = start + np.flatnonzero(owners == worker)
            sums, first = PartitionSums(bins), done[worker]
            add(bins, sums, rows[own])
            done[worker] = first + len(own)
            sums.add_times([event_time(int(row)) for row in own])
            yield bins.summary(worker, (first, done[worker]), sums, SHA, f"worker-{worker}")


def told(alert: DriftAlert):
    """What people are told; ids and offsets are of other partitions."""
    moved_signals = {(shift.signal, shift.detector) for shift in alert.signals}
    return alert.phase, alert.cause, alert.since, alert.severity, alert.events_observed, moved_signals


@settings(max_examples=12)
@given(
    kind=st.sampled_from(list(FAULTS)),
    weights=st.lists(st.integers(1, 20), min_size=2, max_size=4),
    seed=st.integers(0, 99),
)
def test_alerts_with_one_worker_and_with_four_are_the_same_however_uneven_the_partitions(kind, weights, seed):
    rows = world(BEFORE + AFTER)
    FAULTS[kind](rows[BEFORE:])
    rng = np.random.default_rng(seed)
    workers = rng.choice(len(weights), len(rows), p=np.array(weights) / sum(weights))
    alone = [told(alert) for alert in fold(list(spread(rows, np.zeros(len(rows), dtype=int), rng)))]
    assert [told(alert) for alert in fold(list(spread(rows, workers, rng)))] == alone
    assert alone
