"""The controller as a guest of the Faust worker, which says who owns the swap log: one controller decides, not N.

Faust is asked for ownership alone. Its agent on `model-swap` makes its consumer group assign the one partition to one
worker; what stands in the log reaches the controller through the follower, so a rebalance or a restart loses nothing.
"""

import asyncio
from typing import Any

import faust
from faust.types import TP
from mode import Service

from schemas.topics import MODEL_SWAP
from stream_app.host import audit as audit_host
from stream_app.kafka import topics
from stream_app.metrics import Metrics
from stream_app.rollout import controller
from stream_app.rollout.follower import Follower
from stream_app.rollout.publish import Publisher
from stream_app.rollout.registry_sync import RegistrySync
from stream_app.settings import Settings

CHECK_S = 0.5


class Ownership:
    """Whether this worker owns the swap log's one partition, as the group's rebalances say."""

    def __init__(self, topic: str) -> None:
        self._partition = TP(topic, 0)
        self._owned = False

    def __call__(self) -> bool:
        """Readable from any thread."""
        return self._owned

    async def assigned(self, *args: Any, **_: Any) -> None:
        """The app, and the group's new assignment, whole."""
        self._owned = self._partition in args[1]

    async def revoked(self, *args: Any, **_: Any) -> None:
        """The app, and the partitions given back at the start of a rebalance."""
        if self._partition in args[1]:
            self._owned = False


def install(app: faust.App, settings: Settings, follower: Follower, publisher: Publisher, metrics: Metrics) -> None:
    """Make the app run the controller wherever it owns the swap log. Whoever made the follower starts and stops it.

    Args:
        app: The worker's Faust app, not yet started.
        settings: Time limits, topic names.
        follower: Started or about to be.
        publisher: Where decisions are written.
        metrics: Where the guard says what it finds.
    """
    name = topics.name(settings, MODEL_SWAP)
    owner = Ownership(name)
    app.on_partitions_assigned.connect(owner.assigned)
    app.on_partitions_revoked.connect(owner.revoked)
    audit_host.install(app, settings, publisher, owner)
    registry = RegistrySync(settings, lambda: follower.rollout if follower.read_to_end else None, owner)

    @app.agent(app.topic(name, value_type=bytes, value_serializer="raw"), name="model-swap-owner")
    async def claim(stream: Any) -> None:
        async for _ in stream:
            pass  # the follower has read it, see the module's docstring

    @app.service
    class RolloutControl(Service):
        """The controller's thread, for as long as the app runs; if it or the follower dies, so does the worker."""

        async def on_start(self) -> None:
            self.control = await asyncio.to_thread(controller.connect, settings, follower, publisher, owner, metrics)
            self.control.start()

        async def on_stop(self) -> None:
            await asyncio.to_thread(self.control.stop)

        @Service.task
        async def watch(self) -> None:
            while not self.should_stop:
                if failure := self.control.failure or follower.failure:
                    raise failure
                await self.sleep(CHECK_S)

        @Service.task
        async def update_the_registry(self) -> None:
            while not self.should_stop:
                await registry.step()
                await self.sleep(CHECK_S)
