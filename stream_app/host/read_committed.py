"""A Faust app in, the same app out, its agents handed committed records only.

Faust ties its consumer's isolation level to `processing_guarantee="exactly_once"` and to nothing else, so agents of any
other app are handed what aborted transactions wrote. Three classes of Faust's, each changed in one place.
"""

from typing import Any

import faust
from faust.transport.drivers.aiokafka import AIOKafkaConsumerThread, Consumer, Transport


class ReadCommittedThread(AIOKafkaConsumerThread):
    """Where Faust makes its consumer: before it is started, its isolation level is a plain attribute."""

    def _create_worker_consumer(self, transport: Any) -> Any:
        consumer = super()._create_worker_consumer(transport)
        consumer._isolation_level = "read_committed"
        return consumer


class ReadCommittedConsumer(Consumer):
    """Runs that thread."""

    def _new_consumer_thread(self) -> ReadCommittedThread:
        return ReadCommittedThread(self, loop=self.loop, beacon=self.beacon)


class ReadCommittedTransport(Transport):
    """Makes that consumer."""

    Consumer = ReadCommittedConsumer


def install(app: faust.App) -> None:
    """Give the app that transport, before any agent is declared; `faust.App(transport=...)` is ignored in silence."""
    app.transport = ReadCommittedTransport(app.conf.broker_consumer, app)
