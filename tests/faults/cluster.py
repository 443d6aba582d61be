"""A Kafka cluster of several nodes, or one with access lists: what the product's own broker does not need to be."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Self

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient, ClusterMetadata

from stream_app.embedded import jars, node, supervisor
from stream_app.embedded.broker import JVM
from tests.conftest import free_port

Wait = Callable[..., None]
UP_S = 120.0

THREE_COPIES = {
    "default.replication.factor": 3,
    "min.insync.replicas": 2,
    "offsets.topic.replication.factor": 3,
    "transaction.state.log.replication.factor": 3,
    "transaction.state.log.min.isr": 2,
}
ACCESS_LISTS = {
    "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
    "allow.everyone.if.no.acl.found": "true",
}


@dataclass(frozen=True)
class Entrance:
    """Where clients come in: the protocol of the listener, and what these tests' own client says there.

    Attributes:
        protocol: As Kafka names it.
        client: librdkafka's properties.
        format: Further options of the tool that makes a node's folder.
    """

    protocol: str = "PLAINTEXT"
    client: Mapping[str, str] = field(default_factory=dict)
    format: tuple[str, ...] = ()


class Cluster:
    """Nodes that are broker and controller each, on this machine; inside the context all are up.

    Args:
        folder: Where they keep their data.
        size: How many.
        properties: Of every node, over those of the embedded broker.
        wait_until: The tests' own way to wait.
        entrance: Open to everybody, unless told otherwise.
    """

    def __init__(
        self, folder: Path, size: int, properties: dict[str, object], wait_until: Wait, entrance: Entrance = Entrance()
    ) -> None:
        self._folder = folder
        self._entrance = entrance
        self._properties = {**node.PROPERTIES, **properties}
        self._wait_until = wait_until
        self._java: list[str] = []
        self._ports = {number: (free_port(), free_port()) for number in range(1, size + 1)}
        self._supervisors: dict[int, subprocess.Popen[bytes]] = {}
        self._pids: dict[int, int] = {}

    @property
    def bootstrap_servers(self) -> str:
        return ",".join(f"{node.HOST}:{port}" for port, _ in self._ports.values())

    @property
    def nodes(self) -> list[int]:
        """Their ids."""
        return list(self._ports)

    def __enter__(self) -> Self:
        self._java = [str(jars.java()), *JVM, "-cp", os.pathsep.join(map(str, jars.classpath(print)))]
        try:
            for number in self.nodes:
                self._format(number)
            for number in self.nodes:
                self._launch(number)
            self._wait_until(self.is_whole, UP_S)
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(self, _k: type[BaseException] | None, _e: BaseException | None, _t: TracebackType | None) -> None:
        for number in list(self._supervisors):
            self.kill(number)
        shutil.rmtree(self._folder, ignore_errors=True)

    def kill(self, number: int) -> None:
        """As a power cut would."""
        process = self._supervisors.pop(number)
        os.kill(self._pids.pop(number), 9)
        process.communicate()

    def start(self, number: int) -> None:
        """Bring a killed one back, and return once every partition has all its copies again."""
        self._launch(number)
        self._wait_until(self.is_whole, UP_S)

    def is_whole(self) -> bool:
        """Every node answers, and every copy of every partition is in sync."""
        metadata = self._metadata()
        return (
            metadata is not None
            and len(metadata.brokers) == len(self.nodes)
            and all(
                place.leader >= 0 and len(place.isrs) == len(place.replicas)
                for topic in metadata.topics.values()
                for place in topic.partitions.values()
            )
        )

    def leader(self, topic: str, partition: int = 0) -> int:
        """The node that leads a partition."""
        metadata = self._metadata()
        assert metadata is not None
        return int(metadata.topics[topic].partitions[partition].leader)

    def _metadata(self) -> ClusterMetadata | None:
        try:
            place = {"bootstrap.servers": self.bootstrap_servers, "log_level": 0}
            return AdminClient({**place, **self._entrance.client}).list_topics(timeout=5)
        except KafkaException:
            return None

    def _home(self, number: int) -> Path:
        return self._folder / str(number)

    def _format(self, number: int) -> None:
        home = self._home(number)
        home.mkdir(parents=True)
        (home / "log4j2.properties").write_text(node.LOGGING)
        (port, controller), protocol = self._ports[number], self._entrance.protocol
        placed = {
            "node.id": number,
            "listeners": f"{protocol}://{node.HOST}:{port},CONTROLLER://{node.HOST}:{controller}",
            "advertised.listeners": f"{protocol}://{node.HOST}:{port}",
            "inter.broker.listener.name": protocol,
            "listener.security.protocol.map": f"{protocol}:{protocol},CONTROLLER:PLAINTEXT",
            "controller.quorum.voters": ",".join(f"{n}@{node.HOST}:{own}" for n, (_, own) in self._ports.items()),
            "log.dirs": home / "data",
        }
        lines = [f"{name}={value}\n" for name, value in {**self._properties, **placed}.items()]
        (home / "server.properties").write_text("".join(lines))
        tool = [*self._java, "kafka.tools.StorageTool", "format", "-t", "k0000000000000000000AA"]
        subprocess.run(
            [*tool, "-c", str(home / "server.properties"), *self._entrance.format], check=True, capture_output=True
        )

    def _launch(self, number: int) -> None:
        home = self._home(number)
        logging = f"-Dlog4j2.configurationFile={home / 'log4j2.properties'}"
        kafka = [self._java[0], logging, *self._java[1:], "kafka.Kafka", str(home / "server.properties")]
        process = subprocess.Popen(
            [sys.executable, "-I", "-S", supervisor.__file__, str(os.getpid()), str(home / "broker.log"), "-", *kafka],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            start_new_session=True,
        )
        assert process.stdout is not None
        self._supervisors[number], self._pids[number] = process, int(process.stdout.readline())
