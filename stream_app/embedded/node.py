"""The folder of a KRaft node: formatted once, configured at each start. For one machine, not for production.

data/                the logs; `meta.properties` in it names the cluster
server.properties    the broker's configuration, written at each start
log4j2.properties    its logging, warnings and worse
broker.log           its log since the last start
"""

import secrets
import socket
import subprocess
from base64 import urlsafe_b64encode
from pathlib import Path

from stream_app.kafka.clients import RECORD_BYTES, BrokerNotStarted

HOST = "127.0.0.1"

PROPERTIES = {
    "process.roles": "broker,controller",
    "node.id": 1,
    "controller.listener.names": "CONTROLLER",
    "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT",
    # One copy of everything
    "default.replication.factor": 1,
    "offsets.topic.replication.factor": 1,
    "transaction.state.log.replication.factor": 1,
    "transaction.state.log.min.isr": 1,
    "share.coordinator.state.topic.replication.factor": 1,
    "share.coordinator.state.topic.min.isr": 1,
    # Few partitions of its own topics: the first group and the first transaction wait for their creation
    "offsets.topic.num.partitions": 4,
    "transaction.state.log.num.partitions": 4,
    "group.initial.rebalance.delay.ms": 0,
    # The transaction of a killed worker holds readers up until this has looked
    "transaction.abort.timed.out.transaction.cleanup.interval.ms": 1000,
    # A killed broker may register again only when its former life has timed out; shorter, and a busy machine loses it
    "broker.session.timeout.ms": 3000,
    "broker.heartbeat.interval.ms": 500,
    "auto.create.topics.enable": "false",
    "message.max.bytes": RECORD_BYTES + 64 * 1024,  # a record and its batch header
    "log.segment.bytes": 256 * 1024 * 1024,
    "log.cleaner.dedupe.buffer.size": 4 * 1024 * 1024,  # the default takes 128 MB of heap at once
    "num.network.threads": 2,
    "num.io.threads": 4,
    "background.threads": 2,
    "num.recovery.threads.per.data.dir": 1,
    "controlled.shutdown.enable": "false",  # there is no other broker to hand over to
}

LOGGING = """\
status=error
appender.console.type=Console
appender.console.name=console
appender.console.layout.type=PatternLayout
appender.console.layout.pattern=%d{ISO8601} %p %c{1}: %m%n
rootLogger.level=warn
rootLogger.appenderRef.console.ref=console
"""


def format_folder(command: list[str], home: Path) -> str:
    """Make the folder a new cluster, unless it is one already.

    Args:
        command: Java with its class path.
        home: The folder.

    Returns:
        The id of the cluster.

    Raises:
        BrokerNotStarted: Kafka refuses the folder.
    """
    known = _read_properties(home / "data" / "meta.properties").get("cluster.id")
    if known is not None:
        return known
    cluster_id = (
        "k" + urlsafe_b64encode(secrets.token_bytes(15)).decode() + "A"
    )  # a leading dash would look like an option
    config = configure(home, port=free_port())
    done = subprocess.run(  # noqa: S603
        [
            command[0],
            "-XX:TieredStopAtLevel=1",
            *command[1:],
            "kafka.tools.StorageTool",
            "format",
            "-t",
            cluster_id,
            "-c",
            str(config),
        ],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        lines = (done.stderr or done.stdout).strip().splitlines() or ["it said nothing"]
        raise BrokerNotStarted(f"Kafka cannot use {home}: {lines[-1]}")
    return cluster_id


def configure(home: Path, port: int) -> Path:
    """Write the configuration for a start on that port.

    Args:
        home: The folder.
        port: Where clients connect; the controller's listener takes a free one.

    Returns:
        The file.
    """
    controller = free_port()
    placed = {
        "listeners": f"PLAINTEXT://{HOST}:{port},CONTROLLER://{HOST}:{controller}",
        "advertised.listeners": f"PLAINTEXT://{HOST}:{port}",
        "controller.quorum.voters": f"1@{HOST}:{controller}",
        "log.dirs": home / "data",
    }
    (home / "log4j2.properties").write_text(LOGGING)
    path = home / "server.properties"
    path.write_text("".join(f"{name}={value}\n" for name, value in {**PROPERTIES, **placed}.items()))
    return path


def _read_properties(path: Path) -> dict[str, str]:
    if not path.exists():
        return {}
    pairs = (line.partition("=") for line in path.read_text().splitlines() if not line.startswith("#"))
    return {name: value for name, _, value in pairs}


def free_port() -> int:
    """A port that is free at this moment."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])
