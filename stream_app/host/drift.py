"""The summaries' topic in, `drift-alerts` out: the fold as a Faust agent, in one worker at a time.

The state moves with the topic's one partition, and is never stored: whoever is assigned the partition reads the topic
to its end, raises what an owner before it did not live to raise, and goes on with what Faust delivers. Of that it
passes over what it has read already.
"""

from collections.abc import Callable
from typing import Any

from models.manifest import Manifest
from schemas.topics import DRIFT_SUMMARIES
from stream_app.drift.replica import Replica
from stream_app.drift.watcher import Watcher
from stream_app.kafka import topics
from stream_app.metrics import Metrics
from stream_app.settings import Settings


def install(app: Any, settings: Settings, reference: Callable[[str], Manifest | None], metrics: Metrics) -> None:
    """Make a Faust app watch for drift wherever it is assigned the summaries' partition.

    Args:
        app: The worker's `faust.App`, not yet started; its agents read committed records only.
        settings: Names of the topics, and what the detectors are to find.
        reference: The manifest of a model by its digest, or None.
        metrics: Where alerts are counted, and the distances shown.
    """
    name = topics.name(settings, DRIFT_SUMMARIES)
    watcher = Watcher(lambda: Replica(settings, reference), metrics)

    async def assigned(*args: Any, **_: Any) -> None:
        if any(place.topic == name for place in args[1]):
            watcher.begin()

    async def revoked(*args: Any, **_: Any) -> None:
        if any(place.topic == name for place in args[1]):
            watcher.end()

    app.on_partitions_assigned.connect(assigned)
    app.on_partitions_revoked.connect(revoked)

    @app.agent(app.topic(name, value_type=bytes, value_serializer="raw"), name="drift")  # type: ignore[untyped-decorator]
    async def drift(stream: Any) -> None:
        async for event in stream.events():
            await watcher.take(event.message.offset, event.value)
