"""A segment that no event is in is found, once it should have had some."""

import asyncio
import logging

import msgspec
import numpy as np
import pytest
from prometheus_client import CollectorRegistry, generate_latest

from schemas.drift import DriftAlert
from stream_app.drift.host import AggregatorHost, Replica
from stream_app.drift.unmatched import FEWEST_EXPECTED, SegmentCounts
from stream_app.metrics import Metrics
from tests.unit.stream_app.drift.streams import SETTINGS, SHA, summaries, world
from tests.unit.stream_app.drift.test_drift_segments import BY_COUNTRY

ROWS = 2048


class FromNowOn(Replica):
    """Finds an empty log."""

    def rebuild(self) -> list[DriftAlert]:
        return []


def log(*labels: str):
    """A stream whose transactions are in these segments in turn."""
    return list(summaries(world(ROWS), segment_of=np.resize(np.array(labels), ROWS)))


def test_a_segment_is_unmatched_when_chance_no_longer_explains_that_it_is_empty():
    counts, share = SegmentCounts(BY_COUNTRY.segments), {s.value: s.share for s in BY_COUNTRY.segments.watched}
    first = {}
    for summary in log("country=DE", "country=FR", "country=CH", ""):
        counts.add(summary)
        if counts.unmatched:
            first.setdefault(counts.unmatched, counts.scored)
    assert list(first) == [("country=AT",)]
    assert first["country=AT",] == pytest.approx(FEWEST_EXPECTED / share["AT"], abs=64)
    assert not counts.undecided


def test_the_worker_that_watches_drift_says_so_once_and_shows_it(caplog: pytest.LogCaptureFixture):
    registry, seconds = CollectorRegistry(), iter(range(10**6))
    host = AggregatorHost(
        lambda: FromNowOn(SETTINGS, {SHA: BY_COUNTRY}.get), Metrics(registry), clock=lambda: float(next(seconds))
    )

    async def watch() -> None:
        host.begin()
        for offset, summary in enumerate(log("country=DE", "country=FR", "country=AT", "")):
            await host.take(offset, msgspec.json.encode(summary))

    with caplog.at_level(logging.WARNING, "stream_app.drift.host"):
        asyncio.run(watch())
    lines = [record.getMessage() for record in caplog.records if "no event is in" in record.getMessage()]
    assert len(lines) == 1
    assert "country=CH" in lines[0]
    assert b"stream_app_drift_segments_unmatched 1.0" in generate_latest(registry)
