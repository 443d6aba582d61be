"""The drift aggregator as a Faust agent: it runs in the one worker that is assigned the partition of the summaries."""

from collections.abc import Callable
from typing import Any

from models.manifest import Manifest
from schemas.topics import DRIFT_SUMMARIES
from stream_app.drift.host import AggregatorHost, Replica
from stream_app.kafka import topics
from stream_app.metrics import Metrics
from stream_app.rollout.swap_log import Swap
from stream_app.settings import Settings


def install(
    app: Any,
    settings: Settings,
    reference: Callable[[str], Manifest | None],
    swap_to: Callable[[str], Swap | None],
    is_ready: Callable[[], bool],
    metrics: Metrics,
) -> None:
    """Add the drift agent to a Faust app.

    Args:
        app: The worker's `faust.App`, not yet started; its agents read committed records only.
        reference: The manifest of a model by its digest, or None.
        swap_to: The latest swap to a model by its digest, or None.
        is_ready: Whether the swap log has been read, from which both come.
        metrics: Of the worker.
    """
    name = topics.name(settings, DRIFT_SUMMARIES)
    aggregator = AggregatorHost(lambda: Replica(settings, reference, metrics.skip, swap_to), metrics, is_ready)

    async def assigned(*args: Any, **_: Any) -> None:
        if any(place.topic == name for place in args[1]):
            aggregator.begin()

    async def revoked(*args: Any, **_: Any) -> None:
        if any(place.topic == name for place in args[1]):
            aggregator.end()

    app.on_partitions_assigned.connect(assigned)
    app.on_partitions_revoked.connect(revoked)

    @app.agent(app.topic(name, value_type=bytes, value_serializer="raw"), name="drift")  # type: ignore[untyped-decorator]
    async def drift(stream: Any) -> None:
        async for event in stream.events():
            await aggregator.take(event.message.offset, event.value)
