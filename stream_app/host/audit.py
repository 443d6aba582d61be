"""The audit trail as a guest of the Faust worker: its settings on record at the start, seals while it owns the log."""

import asyncio
import logging
from collections.abc import Callable

import faust
from mode import Service

from stream_app.audit import configuration
from stream_app.audit.sealer import Sealer
from stream_app.kafka.clients import BrokerError
from stream_app.rollout.publish import Publisher
from stream_app.settings import Settings

logger = logging.getLogger(__name__)


def install(app: faust.App, settings: Settings, publisher: Publisher, owner: Callable[[], bool]) -> None:
    """Make the app keep the audit trail.

    Args:
        app: The worker's Faust app, not yet started.
        settings: Go on record where they have changed.
        publisher: Writes the records.
        owner: Whether this worker runs the controller, asked again and again.
    """

    @app.service
    class AuditTrail(Service):
        """The sealer's thread, for as long as the app runs."""

        async def on_start(self) -> None:
            self.sealer = Sealer(settings, publisher.audit, owner)
            self.sealer.start()

        async def on_stop(self) -> None:
            await asyncio.to_thread(self.sealer.stop)

        @Service.task
        async def put_settings_on_record(self) -> None:
            try:
                await asyncio.to_thread(configuration.put_on_record, settings, publisher.audit)
            except BrokerError as error:
                logger.warning("whether the settings have changed is not on record: %s", error)
