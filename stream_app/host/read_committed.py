"""Faust's transport, with committed records only, and with IPv6 addresses.

Faust ties its consumer's isolation level to `processing_guarantee="exactly_once"` and to nothing else, so agents of any
other app are handed what aborted transactions wrote. Three classes of Faust's, each changed in one place. Addresses of
brokers lose their brackets where Faust hands them to its client, which then takes the port for a part of the address.
"""

from typing import Any

import faust
from faust.transport.drivers import aiokafka as driver
from faust.transport.drivers.aiokafka import AIOKafkaConsumerThread, Consumer, Transport
from yarl import URL


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


def servers(urls: list[URL], default_port: int) -> list[str]:
    """The brokers as the settings name them: each has a port, and an IPv6 address its brackets."""
    return [f"[{url.host}]:{url.port}" if ":" in str(url.host) else f"{url.host}:{url.port}" for url in urls]


def install(app: faust.App) -> None:
    """Give the app that transport, before any agent is declared; `faust.App(transport=...)` is ignored in silence."""
    driver.server_list = servers
    app.transport = ReadCommittedTransport(app.conf.broker_consumer, app)
