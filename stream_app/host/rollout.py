"""Who controls rollouts: Faust says which worker owns the swap log, so that one controller decides, not N.

Faust is asked for ownership alone. Its agent on `model-swap` makes its consumer group assign the one partition to one
worker; the records themselves reach the controller through the follower, so a rebalance or a restart loses nothing.
"""

from collections.abc import Callable
from typing import Any

import faust
from faust.types import TP
from mode import Service

from schemas.topics import MODEL_SWAP
from stream_app.kafka import topics
from stream_app.rollout.registry_sync import RegistrySync
from stream_app.rollout.state import Rollout
from stream_app.settings import Settings

CHECK_S = 0.5


class Ownership:
    """Whether this worker owns the swap log's one partition, by the group's rebalances."""

    def __init__(self, settings: Settings) -> None:
        self.topic = topics.name(settings, MODEL_SWAP)
        self._partition = TP(self.topic, 0)
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


def install(app: faust.App, settings: Settings, owner: Ownership, rollout: Callable[[], Rollout | None]) -> None:
    """Make the app take part in the ownership of the swap log, and the owner keep the registry up to date.

    Args:
        app: The worker's Faust app, not yet started.
        settings: Which registry.
        owner: Kept up to date.
        rollout: What the swap log prescribes; None while it is not read to its end.
    """
    app.on_partitions_assigned.connect(owner.assigned)
    app.on_partitions_revoked.connect(owner.revoked)
    registry = RegistrySync(settings, rollout, owner)

    @app.agent(app.topic(owner.topic, value_type=bytes, value_serializer="raw"), name="model-swap-owner")
    async def claim(stream: Any) -> None:
        async for _ in stream:
            pass  # the follower has read it, see the module's docstring

    @app.service
    class RegistryTask(Service):
        """Keeps the registry up to date for as long as the app runs."""

        @Service.task
        async def update_the_registry(self) -> None:
            while not self.should_stop:
                await registry.step()
                await self.sleep(CHECK_S)
