"""The aggregator waits for the swap log, from which models are known; without it a model would never be watched."""

import asyncio

from prometheus_client import CollectorRegistry

from schemas.drift import DriftAlert
from stream_app.drift.host import AggregatorHost, Replica
from stream_app.metrics import Metrics
from tests.unit.stream_app.drift.streams import SETTINGS


def test_the_log_is_read_only_once_the_models_are_known() -> None:
    told: list[str] = []
    answers = iter([False, False, True])

    def is_ready() -> bool:
        told.append("asked")
        return next(answers)

    class Told(Replica):
        def rebuild(self) -> list[DriftAlert]:
            told.append("rebuilt")
            return []

    async def watch() -> None:
        host = AggregatorHost(lambda: Told(SETTINGS, lambda _: None), Metrics(CollectorRegistry()), is_ready)
        host.begin()
        await host.take(0, None)

    asyncio.run(watch())
    assert told == ["asked", "asked", "asked", "rebuilt"]
